"""Definitions of the pubsub group, and of name pubsub.

Over the RPC topics and data are multibase texts in base64url, since topics may be any bytes that are UTF-8.

Spec: https://docs.ipfs.tech/reference/kubo/rpc/#api-v0-pubsub-ls
"""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Input, Output, Repo, Value, Where, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict

_ON = "Pubsub.Enabled or `cidery daemon --enable-pubsub-experiment` turns pubsub on."
_NAMES_ON = "Ipns.UsePubsub or `cidery daemon --enable-namesys-pubsub` lets records of names go over pubsub, too."


class Strings(TypedDict):
    Strings: list[str]


class PubsubMessage(TypedDict):
    """The first three but ``from`` are multibase."""

    data: str
    seqno: str
    topicIDs: list[str]


class Reset(TypedDict):
    deleted: int


class State(TypedDict):
    Enabled: bool


class Canceled(TypedDict):
    Canceled: bool


def bytes_of(text: str) -> bytes:
    """The bytes of a base64url multibase text of an answer, which may be longer than any other such text."""
    import base64

    digits = text.removeprefix("u")
    return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))


def _data(value: Value, call: Call) -> str:
    return bytes_of(value["data"]).decode("utf-8", "replace")


def _topics(value: Value, call: Call) -> str:
    from cidery.commands.escaping import escaped

    return "".join(f"{escaped(bytes_of(one).decode('utf-8', 'replace'))}\n" for one in value["Strings"])


def _lines(value: Value, call: Call) -> str:
    return "".join(f"{one}\n" for one in value["Strings"])


_TOPIC = Argument("topic", "Name of the topic", multibase=True)
_BASE = text("ipns-base", "Multibase of the name; b58mh: the older form", default="base36")
COMMANDS = (
    Command(
        ("pubsub", "pub"),
        "Publish data to a topic",
        "cidery.commands.run.pubsub:pub",
        "cidery pubsub pub weather report.txt",
        (_TOPIC, Argument("data", "File; standard input if absent", Input.FILE_OR_STDIN)),
        output=Output.NOTHING,
        where=Where.DAEMON,
        repo=Repo.READ,
        description=f"Every peer that follows the topic and is connected, directly or over others, gets it.\n{_ON}",
    ),
    Command(
        ("pubsub", "sub"),
        "Print what is published to a topic, until it is interrupted",
        "cidery.commands.run.pubsub:sub",
        "cidery pubsub sub weather",
        (_TOPIC,),
        output=Output.STREAM,
        result=PubsubMessage,
        text=_data,
        verbatim=True,
        where=Where.DAEMON,
        repo=Repo.READ,
        live=True,
        description=f"With --enc=json also who published it; bytes that are no text are whole there only.\n{_ON}",
    ),
    Command(
        ("pubsub", "ls"),
        "List the topics that this node follows",
        "cidery.commands.run.pubsub:ls",
        "cidery pubsub ls",
        result=Strings,
        text=_topics,
        verbatim=True,
        where=Where.DAEMON,
        repo=Repo.READ,
        description=_ON,
    ),
    Command(
        ("pubsub", "peers"),
        "List the connected peers that take part, or that follow a topic",
        "cidery.commands.run.pubsub:peers",
        "cidery pubsub peers weather",
        (_TOPIC._replace(required=False),),
        result=Strings,
        text=_lines,
        where=Where.DAEMON,
        repo=Repo.READ,
        description=_ON,
    ),
    Command(
        ("pubsub", "reset"),
        "Forget which messages of an author are old",
        "cidery.commands.run.pubsub:reset",
        "cidery pubsub reset --peer=12D3KooWGRMVjhzu6GMtfW1RXCuW4jGSmNhEKGorfMiWE2uSHjHY",
        options=(text("peer", "Of this author only", short="p"),),
        result=Reset,
        text=lambda value, call: f"Reset validator state of {value['deleted']} authors\n",
        where=Where.DAEMON,
        repo=Repo.READ,
        description="Copies of what they had published could go round again. For tests, and after an author's clock was"
        f" wrong.\n{_ON}",
    ),
    Command(
        ("name", "pubsub", "state"),
        "Say whether records of names go over pubsub",
        "cidery.commands.run.pubsub:state",
        "cidery name pubsub state",
        result=State,
        text=lambda value, call: "enabled\n" if value["Enabled"] else "disabled\n",
        where=Where.DAEMON,
        repo=Repo.READ,
        description=_NAMES_ON,
    ),
    Command(
        ("name", "pubsub", "subs"),
        "List the names that are followed by pubsub",
        "cidery.commands.run.pubsub:subs",
        "cidery name pubsub subs",
        options=(_BASE,),
        result=Strings,
        text=_lines,
        where=Where.DAEMON,
        repo=Repo.READ,
        description=f"A name that was looked up or published is followed until the daemon stops.\n{_NAMES_ON}",
    ),
    Command(
        ("name", "pubsub", "cancel"),
        "Stop following a name by pubsub",
        "cidery.commands.run.pubsub:cancel",
        "cidery name pubsub cancel k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
        (Argument("name", "IPNS name (k51...) or peer id, with or without /ipns/"),),
        result=Canceled,
        text=lambda value, call: "canceled\n" if value["Canceled"] else "no subscription\n",
        where=Where.DAEMON,
        repo=Repo.READ,
        description=f"The next look-up follows it again. {_NAMES_ON}",
    ),
)
