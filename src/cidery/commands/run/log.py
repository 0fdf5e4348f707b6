"""The log group."""

import asyncio
import logging
from collections.abc import AsyncIterator

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.log import LEVELS, LogLine, Strings
from cidery.commands.definitions.message_output import MessageOutput
from cidery.commands.moment import moment

ROOT = "cidery"
MAX_WAITING = 1000
"""Lines held for a slow reader of log tail; further ones are counted and left out."""
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


async def tail(context: Context, call: Call) -> AsyncIterator[LogLine]:
    """Lines from now on; one line says how many a slow reader has missed. Cancellation: safe."""
    least = call.text("log-level") or "debug"
    following = _Following(asyncio.get_running_loop(), _PYTHON.get(least, least.upper()))
    root = logging.getLogger(ROOT)
    root.addHandler(following)
    try:
        while True:
            record = await following.lines.get()
            if missed := following.take_missed():
                yield _log_line(record, f"{missed} lines were left out: the reader is slow", "WARNING")
            yield _log_line(record, record.getMessage(), record.levelname)
    finally:
        root.removeHandler(following)


class _Following(logging.Handler):
    """Hands records to the event loop, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, level: str) -> None:
        super().__init__(level)
        self.lines: asyncio.Queue[logging.LogRecord] = asyncio.Queue(MAX_WAITING)
        self._loop = loop
        self._missed = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._loop.call_soon_threadsafe(self._take, record)

    def _take(self, record: logging.LogRecord) -> None:
        if self.lines.full():
            self._missed += 1
        else:
            self.lines.put_nowait(record)

    def take_missed(self) -> int:
        missed, self._missed = self._missed, 0
        return missed


def _log_line(record: logging.LogRecord, message: str, level: str) -> LogLine:
    return LogLine(
        level=level.lower().replace("warning", "warn").replace("critical", "fatal"),
        ts=moment(record.created),
        logger=record.name,
        caller=f"{record.module}:{record.lineno}",
        msg=message,
    )
