"""Definitions of swarm filters."""

from cidery.commands.definition import Argument, Command, Input, Where
from cidery.commands.definitions.network import Strings, strings_text

_NET = Argument("net", "A net such as /ip4/10.0.0.0/ipcidr/8", Input.TEXT_OR_STDIN, variadic=True)


COMMANDS = (
    Command(
        ("swarm", "filters"),
        "List the networks that are neither dialled nor accepted",
        "cidery.commands.run.filters:filters",
        "cidery swarm filters",
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
        description="They are Swarm.AddrFilters of the config.",
    ),
    Command(
        ("swarm", "filters", "add"),
        "Neither dial nor accept these networks, from now on",
        "cidery.commands.run.filters:add",
        "cidery swarm filters add /ip4/10.0.0.0/ipcidr/8",
        (_NET,),
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
        description="Connections to them are closed. Swarm.AddrFilters of the config is changed, too.",
    ),
    Command(
        ("swarm", "filters", "rm"),
        "Dial and accept these networks again",
        "cidery.commands.run.filters:rm",
        "cidery swarm filters rm /ip4/10.0.0.0/ipcidr/8   # or: all",
        (_NET,),
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
        description="`all` stands for every net that is listed. Swarm.AddrFilters of the config is changed, too.",
    ),
)
