"""The gateway's log of requests: one line for each when it ends, written by a thread.

The loop only puts a few values into a bounded queue; when the disk is slower than the requests, lines are lost and
counted, and nobody waits.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from cidery.budgets import ACCESS_LINES
from cidery.errors import Unavailable
from cidery.gateway.visitor import address_of
from cidery.http.dates import MONTHS
from cidery.http.message import Answered
from cidery.multiformats.address_filter import Net

BATCH = 1024
"""Lines written at a time."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether the file was moved away."""
WARN_EVERY = 60.0
"""Seconds between two warnings that lines are lost."""
CLOSE_SECONDS = 5.0
"""Longest wait for the last lines when the daemon stops."""
MAX_FIELD = 2048
"""Characters kept of what a client says of itself and its target."""
NO_ANSWER = 499
"""The status of a request whose client left before its answer began, as nginx writes it."""

log = logging.getLogger("cidery.gateway")


class CannotLog(Unavailable):
    """The file cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the access log {self.path} cannot be written: {self.reason}; change Gateway.AccessLog, or remove it"


class Line(NamedTuple):
    """The values of a line."""

    at: float
    """Seconds since 1970."""
    client: str
    method: str
    target: str
    version: str
    status: int
    sent: int
    seconds: float
    whole: bool
    host: str
    referrer: str
    agent: str


def line_of(answered: Answered, at: float, proxies: Sequence[Net] = ()) -> Line:
    """``at``: its end, seconds since 1970. ``proxies``: see visitor_of()."""
    request = answered.request
    status = answered.status or NO_ANSWER
    said = [request.headers.get(name, "")[:MAX_FIELD] for name in ("host", "referer", "user-agent")]
    return Line(
        at,
        address_of(request, proxies),
        request.method[:MAX_FIELD],
        request.target[:MAX_FIELD],
        answered.version,
        status,
        answered.sent,
        answered.seconds,
        answered.whole,
        *said,
    )


def common(line: Line) -> str:
    """Common Log Format, as Apache and nginx: %h %l %u %t "%r" %>s %b."""
    when = time.gmtime(line.at)
    stamp = f"{when.tm_mday:02}/{MONTHS[when.tm_mon - 1]}/{when.tm_year}:{time.strftime('%H:%M:%S', when)} +0000"
    asked = f"{line.method} {line.target} HTTP/{line.version}" if line.method else ""
    size = str(line.sent) if line.sent else "-"
    return f'{_quoted(line.client) or "-"} - - [{stamp}] "{_quoted(asked) or "-"}" {line.status} {size}\n'


def combined(line: Line) -> str:
    """Combined Log Format: the common one, and whence and by which program."""
    return f'{common(line)[:-1]} "{_quoted(line.referrer) or "-"}" "{_quoted(line.agent) or "-"}"\n'


def as_json(line: Line) -> str:
    """An object on one line."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(line.at))
    value = {
        "time": f"{when}.{int(line.at % 1 * 1000):03}Z",
        "client": line.client,
        "method": line.method,
        "host": line.host,
        "target": line.target,
        "status": line.status,
        "bytes": line.sent,
        "seconds": round(line.seconds, 6),
        "whole": line.whole,
        "referrer": line.referrer,
        "agent": line.agent,
    }
    return json.dumps(value, separators=(",", ":")) + "\n"


FORMATS: dict[str, Callable[[Line], str]] = {"common": common, "combined": combined, "json": as_json}
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100))} | {0x22: '\\"', 0x5C: "\\\\"}


def _quoted(text: str) -> str:
    """Printable ASCII without quotes: whatever a client writes, it stays in its field. Headers are latin-1."""
    return text.encode("latin-1", "replace").decode("latin-1").translate(_ESCAPES)


class AccessLog:
    """Writes lines to a file that others may move away. Closed by close()."""

    def __init__(self, path: Path | None, form: str, clock: Callable[[], float], proxies: Sequence[Net] = ()) -> None:
        """``path`` None: standard output. ``form``: one of FORMATS. ``proxies``: are believed when they name a client.

        Raises CannotLog.
        """
        self._proxies = proxies
        self._path = path
        self._form = FORMATS[form]
        self._clock = clock
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._reopen = False
        self.lost = 0
        """Lines that were not written."""
        self._told = (0, float("-inf"))
        self._looked = 0.0
        try:
            self._fd = self._opened()
        except OSError as exc:
            raise CannotLog(str(path), exc.strerror or str(exc)) from exc
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def __call__(self, answered: Answered) -> None:
        """Log a request; never waits."""
        if self._queue.qsize() >= ACCESS_LINES.amount:
            self.lost += 1
        else:
            self._queue.put(line_of(answered, self._clock(), self._proxies))

    def reopen(self) -> None:
        """Open the file anew with the next line, as after it was moved away."""
        self._reopen = True

    def close(self) -> None:
        """Write what waits, for CLOSE_SECONDS at most."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    # --- in the thread

    def _opened(self) -> int:
        if self._path is None:
            return sys.stdout.fileno()
        more = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody reads is not waited for
        try:
            # others than the user need not know who read what
            opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | more, 0o640)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                raise OSError(errno.ENXIO, "nobody reads this pipe") from exc
            raise
        if more:
            os.set_blocking(opened, True)  # the thread may wait
        return opened

    def _run(self) -> None:
        going = True
        while going:
            lines = [self._queue.get()]
            while len(lines) < BATCH and not self._queue.empty():
                lines.append(self._queue.get())
            going = None not in lines
            self._write([line for line in lines if line is not None])
        if self._path is not None:
            os.close(self._fd)

    def _write(self, lines: list[Line]) -> None:
        try:
            self._follow()
            data = memoryview("".join(map(self._form, lines)).encode("ascii"))
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as exc:
            self.lost += len(lines)
            self._warn(str(exc))
        else:
            if self.lost > self._told[0]:
                self._warn("requests end faster than lines are written")

    def _follow(self) -> None:
        """Open the file anew if it was moved away, or that was asked for. Raises OSError."""
        if self._path is None:
            return
        now = time.monotonic()
        moved = False
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            moved = not self._is_there()
        if moved or self._reopen:
            self._reopen = False
            fresh = self._opened()
            os.close(self._fd)
            self._fd = fresh

    def _is_there(self) -> bool:
        assert self._path is not None  # checked by the caller
        try:
            there, ours = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _warn(self, reason: str) -> None:
        lost, at = self._told
        if time.monotonic() - at >= WARN_EVERY:
            count = self.lost - lost
            what = "1 line of the access log is" if count == 1 else f"{count} lines of the access log are"
            log.warning("%s lost: %s", what, reason)
            self._told = (self.lost, time.monotonic())


@asynccontextmanager
async def access_log(path: Path | None, form: str, proxies: Sequence[Net]) -> AsyncIterator[AccessLog]:
    """An open log. Raises CannotLog."""
    opened = AccessLog(path, form, time.time, proxies)
    try:
        yield opened
    finally:
        import asyncio

        await asyncio.to_thread(opened.close)
