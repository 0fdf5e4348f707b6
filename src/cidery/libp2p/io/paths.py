"""More TCP connections below one connection, where a round trip takes seconds (protocols/paths.py).

TCP begins with ten segments and doubles what it has on its way in each round trip. Over ten seconds and 1 Mbit/s that
is a minute until the line is full, and neither those ten nor the window that the receiver begins with can be chosen by
a program. Several connections begin with ten each. They are opened while the handshake of the first one is under way,
and are there when it has been told who is at the other end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

from cidery.budgets import PATHS, PATHS_DIALLED
from cidery.errors import CideryError
from cidery.libp2p.io.connection import ConnectionFailed
from cidery.libp2p.io.joining import Joining
from cidery.libp2p.io.long_line import FIRST_WINDOW, LONG_ROUND_TRIP, LongLine
from cidery.libp2p.protocols.paths import ACCEPTED, Join, Order, propose, record
from cidery.libp2p.protocols.steps import Handshake

FIRST_RATE = 32 * 1024
"""Bytes per second that a line of a round trip of seconds is taken to carry: so many paths begin to fill it."""
PIECE = 8 * 1024
"""Bytes sealed at a time while there are paths: what one has to send, and another could."""
SHORT_PIECE = 2 * 1024
"""Bytes up to which something goes over the connection itself, where what follows does not wait for much."""
PATH_UNSENT = 8 * 1024
"""Bytes of a path that the system takes beyond what is on its way."""
PATH_BUFFER = 16 * 1024
DEAD_SECONDS, DEAD_ROUND_TRIPS = 30.0, 8.0
"""Until what was sent over a path has to be acknowledged: a router may have forgotten it, and all waits for it."""


Connect = Callable[[Callable[[], "Path"]], Awaitable["Path"]]
"""Connects once more to where the connection goes. Raises OSError, CideryError kinds."""


class Owner(Protocol):
    """The connection."""

    def came_by_path(self, count: int) -> None:
        """More of a path is here."""
        ...

    def path_has_room(self) -> None: ...

    def ends_soon(self, reason: str) -> None:
        """A path was closed: what is on its way over the others is still read for a while."""
        ...

    def fail(self, exc: CideryError) -> None: ...


def paths_for(round_trip: float) -> int:
    """How many to open; 0: the line is not long."""
    if round_trip < LONG_ROUND_TRIP:
        return 0
    return min(PATHS.amount, int(round_trip * FIRST_RATE / FIRST_WINDOW))


class Path(asyncio.BufferedProtocol):
    """One of them. The side that opens it says at once what it is, and whose in begin()."""

    def __init__(self, number: int, paths: Paths) -> None:
        self.number = number
        self.carries = False
        """Whether the other side has it, too."""
        self.full = False
        self.counted = True
        self._paths = paths
        self._opening: Handshake[None] | None = None
        self._asked = self._ended = False
        self._aborting: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(PATH_BUFFER))
        self.rests = False

    def begin(self, secret: bytes) -> None:
        """Ask the other side to take it. Raises ConnectionFailed."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionFailed("the path has ended")
        self._asked = True
        self._transport.write(Join(secret, self.number).said)

    def takes_over(self, transport: asyncio.Transport) -> None:
        """One that came from outside, and was agreed on."""
        transport.set_protocol(self)
        self._begun(transport)
        self.carries = True
        transport.write(ACCEPTED)
        transport.resume_reading()

    def write(self, piece: memoryview) -> None:
        assert self._transport is not None  # it carries
        self._transport.write(piece)

    @property
    def unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def begun(self) -> bool:
        """Whether there was ever a socket."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def rest(self, rests: bool) -> None:
        """Read no more for a while, or again."""
        if rests != self.rests and self.is_open and self._transport is not None:
            self.rests = rests
            if rests:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def close(self, grace: float) -> None:
        """After what was written has left, or ``grace`` seconds."""
        if self._transport is not None:
            self._transport.close()
            if self._aborting is None and not self._ended:
                self._aborting = asyncio.get_running_loop().call_later(grace, self._transport.abort)

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._begun(transport)
        self._opening = Handshake(propose())
        cast(asyncio.Transport, transport).write(self._opening.data_to_send())

    def _begun(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._transport.set_write_buffer_limits(0)
        self._paths.line.add(transport)
        _watch(transport.get_extra_info("socket"), self._paths.line.round_trip)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        data = self._buffer[:count]
        if (opening := self._opening) is not None:
            try:
                opening.receive_data(data)
            except CideryError:  # a peer of another kind, or one that has enough of them
                self._paths.remove(self)
                return
            if not opening.done:
                return
            if not self._asked:  # it takes what was not asked
                self._paths.remove(self)
                return
            self._opening, self.carries = None, True
            data = memoryview(bytes(opening.rest))
            self._paths.has_room()
        elif not self.carries:
            return  # it was removed
        if len(data):
            self._paths.received(self, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        if self._aborting is not None:
            self._aborting.cancel()
        if self._transport is not None:
            self._paths.line.remove(self._transport)
        self._buffer = memoryview(b"")
        self._paths.lost(self, exc)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._paths.has_room()


class Paths:
    """Those of one connection."""

    def __init__(self, owner: Owner, line: LongLine, joining: Joining, *, outbound: bool) -> None:
        """``joining``: where they are counted; ``outbound``: whether this side opens them."""
        self.order = Order()
        self.line = line
        self._owner = owner
        self._joining = joining
        self._outbound = outbound
        self._paths: dict[int, Path] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = 0
        self._closed = False

    def open(self, count: int, connect: Connect, upgraded: asyncio.Future[None], secret: Callable[[], bytes]) -> None:
        """Begin to open so many; one that cannot be had is done without.

        ``upgraded``: done when the handshake is over; ``secret``: their token then.
        """
        for number in range(1, 1 + min(count, PATHS_DIALLED.amount - self._joining.dialled)):
            path = Path(number, self)
            self._joining.dialled += 1
            task = asyncio.get_running_loop().create_task(self._open(path, connect, upgraded, secret))
            self._tasks.add(task)
            task.add_done_callback(partial(self._opened, path))

    def _opened(self, path: Path, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not path.begun:
            self._uncount(path)

    async def _open(
        self, path: Path, connect: Connect, upgraded: asyncio.Future[None], secret: Callable[[], bytes]
    ) -> None:
        try:
            await connect(lambda: path)
            await asyncio.shield(upgraded)
            self.order.add(path.number)
            self._paths[path.number] = path
            path.begin(secret())
        except (CideryError, OSError):
            self.remove(path)
        except BaseException:
            path.close(0.0)
            raise

    def join(self, number: int, transport: asyncio.Transport) -> None:
        """One that came from outside. Raises PathError, ConnectionFailed."""
        if self._closed:
            raise ConnectionFailed("closed")
        self.order.add(number)
        self._paths[number] = path = Path(number, self)
        path.takes_over(transport)
        self.has_room()

    @property
    def carry(self) -> bool:
        """Whether there is one to send over, and the line needs it."""
        return self.line.is_long and any(path.carries for path in self._paths.values())

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process for the system to take them."""
        return sum(path.unsent for path in self._paths.values())

    @property
    def full(self) -> bool:
        return all(path.full or not path.carries for path in self._paths.values())

    def send(self, piece: memoryview) -> bytes | None:
        """Send it over the next path in turn that has room; returns what the connection has to say of it, or None."""
        for number in (*range(self._last + 1, PATHS.amount + 1), *range(1, self._last + 1)):
            path = self._paths.get(number)
            if path is not None and path.carries and not path.full and path.is_open:
                path.write(piece)
                self._last = number
                return record(number, len(piece))
        return None

    def rest(self, rests: bool) -> None:
        """Read no more of any for a while, or again as far as there is room."""
        for path in self._paths.values():
            path.rest(rests or not self.order.has_room(path.number))

    def read_due(self) -> bool:
        """Read more of the path whose bytes are the next ones; False: those of the connection are, or they are read."""
        path = self._paths.get(self.order.due)
        if path is None or not path.rests:
            return False
        path.rest(False)
        return True

    def close(self, grace: float) -> None:
        """Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for path in list(self._paths.values()):
            path.close(grace)

    # --- told by the paths

    def received(self, path: Path, data: memoryview) -> None:
        self.order.received(path.number, data)
        self._owner.came_by_path(len(data))

    def has_room(self) -> None:
        self._owner.path_has_room()

    def remove(self, path: Path) -> None:
        """The other side does not take it."""
        if self._paths.get(path.number) is path:
            del self._paths[path.number]
            self.order.remove(path.number)
        path.close(0.0)

    def lost(self, path: Path, exc: Exception | None) -> None:
        self._uncount(path)
        if self._paths.get(path.number) is not path:
            return
        if not path.carries:
            self.remove(path)
        elif exc is None and self.order.due != path.number:
            del self._paths[path.number]  # what came over it is still in order
            self._owner.ends_soon("a path of it was closed")
        else:
            self._owner.fail(ConnectionFailed(f"a path of it has ended: {exc or 'closed'}"))

    def _uncount(self, path: Path) -> None:
        if path.counted:
            path.counted = False
            if self._outbound:
                self._joining.dialled -= 1
            else:
                self._joining.left()


def _watch(sock: socket.socket | None, round_trip: float) -> None:
    """Have the system send little ahead, and end a path over which nothing is acknowledged."""
    if sock is None:
        return
    dead = DEAD_SECONDS + DEAD_ROUND_TRIPS * round_trip
    with suppress(OSError, ValueError):  # the connection may have ended
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_NOTSENT_LOWAT", PATH_UNSENT),
            ("TCP_KEEPIDLE", int(DEAD_SECONDS)),
            ("TCP_USER_TIMEOUT", int(1000 * dead)),
        ):
            if (option := getattr(socket, name, None)) is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
