"""log level and log ls."""

import logging

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.log import LEVELS, Strings
from cidery.commands.definitions.message_output import MessageOutput

ROOT = "cidery"
_PYTHON = {"warn": "WARNING", "dpanic": "CRITICAL", "panic": "CRITICAL", "fatal": "CRITICAL"}


def _names() -> list[str]:
    known = (name for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger))
    return sorted({ROOT, *(name for name in known if name.startswith(f"{ROOT}."))})


async def level(context: Context, call: Call) -> MessageOutput:
    subsystem, wanted = call.one("subsystem"), call.one("level").lower()
    if wanted not in LEVELS:
        raise BadCall(f"{wanted[:40]!r} is no level; choose from {', '.join(LEVELS)}")
    name = ROOT if subsystem in ("all", "*") else subsystem
    if name not in _names():
        raise BadCall(f"nothing logs as {name[:40]!r}; see: cidery log ls")
    if not logging.root.handlers:
        logging.basicConfig()
    chosen = _names() if name == ROOT else [name]
    for one in chosen:
        logging.getLogger(one).setLevel(_PYTHON.get(wanted, wanted.upper()))
    return MessageOutput(Message=f"Changed log level of '{subsystem}' to '{wanted}'\n")


async def ls(context: Context, call: Call) -> Strings:
    return Strings(Strings=_names())
