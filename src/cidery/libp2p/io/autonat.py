"""AutoNAT over the swarm: asks others whether this node's addresses can be dialled, and dials theirs when asked.

A server dials exactly one address, over a connection of its own, never a private one, and another host than the
asker's only after the asker has sent more bytes than the dial costs. Its work is limited per peer and in all.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from cidery import budgets
from cidery.errors import CideryError, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols import autonat
from cidery.libp2p.protocols.addresses import Scope, group_of, host_of, relayed, scope_of
from cidery.libp2p.protocols.autonat import AutonatError, Data, DataRequest, DialRequest, DialResponse
from cidery.libp2p.protocols.reachability import Question, Reachability, State
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.tasks import Tasks

log = logging.getLogger("cidery.libp2p")

MAX_A_MINUTE, MAX_A_MINUTE_PER_PEER = budgets.AUTONAT_DIALS.amount, budgets.AUTONAT_DIALS_OF_PEER.amount
MAX_FOR_OTHER_HOSTS = budgets.AUTONAT_OTHER_HOSTS.amount
LOOK_EVERY, LOOK_SOONEST = 10.0, 0.25
"""Seconds between two looks whether an address is to be asked about, and where a new server or an answer is there."""
DIAL_BACK_BASE = 10.0
"""Seconds, beside round trips, that a dial for somebody else may take."""
MAX_NONCES = 64
"""Nonces of ours that may be out at once."""


NO_ROUTE = frozenset((errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))
"""Errors of the system before anything was sent: this machine lacks the network, IPv6 say."""


class NoRoute(Unavailable):
    """This node cannot dial such addresses, which says nothing about them: no verdict."""

    def __str__(self) -> str:
        return "no route to the address from here"


class Autonat:
    """Client and server. ``on_change`` is called when the verdict on the node as a whole changes."""

    def __init__(
        self,
        swarm: Swarm,
        *,
        candidates: Callable[[], Sequence[Multiaddr]],
        speaks: Callable[[PeerId, str], bool],
        agent_of: Callable[[PeerId], str],
        on_change: Callable[[bool], None],
        entropy: Callable[[int], bytes],
        serve: bool = True,
    ) -> None:
        """``candidates``: addresses of ours that may be reachable, likeliest first."""
        self.reachability = Reachability()
        self.reachable = False
        self._swarm = swarm
        self._candidates = candidates
        self._speaks = speaks
        self._agent_of = agent_of
        self._on_change = on_change
        self._entropy = entropy
        self._nonces: dict[int, asyncio.Event] = {}
        self._served: deque[tuple[float, PeerId, bool]] = deque()
        self._tasks = Tasks()
        self._wake = asyncio.Event()
        swarm.handlers[autonat.DIAL_BACK] = self._dialled_back
        if serve:
            swarm.handlers[autonat.DIAL_REQUEST] = self._serve
            swarm.handlers[autonat.V1] = self._serve_v1

    def start(self) -> None:
        self._tasks.spawn(self._run())

    async def close(self) -> None:
        await self._tasks.close()

    def notice(self) -> None:
        """There may be a server, or an address, to ask."""
        self._wake.set()

    @property
    def verdict(self) -> State:
        """On the node as a whole: unreachable once every address that may be reachable is known not to be."""
        known = set(self.states().values())
        if State.REACHABLE in known:
            return State.REACHABLE
        return State.UNREACHABLE if known == {State.UNREACHABLE} else State.UNKNOWN

    def states(self) -> dict[Multiaddr, State]:
        """What is known of each candidate."""
        return {addr: self.reachability.state(addr.encode()) for addr in self._candidates()}

    # --- asking

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SOONEST)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY - LOOK_SOONEST):
                    await self._wake.wait()
            self._wake.clear()
            self._look()

    def _look(self) -> None:
        addrs = [addr.encode() for addr in self._candidates()]
        self.reachability.keep_only(addrs)
        servers = self._servers()
        for question in self.reachability.questions(addrs, list(servers), self._swarm.clock()):
            self._tasks.spawn(self._put(question, *servers[question.server]))
        now = any(self.reachability.state(addr) is State.REACHABLE for addr in addrs)
        if now != self.reachable:
            self.reachable = now
            self._on_change(now)

    async def _put(self, question: Question, server: PeerId, modern: bool) -> None:
        """One question, to its end."""
        try:
            verdict = await (self._ask if modern else self._ask_v1)(server, question.addr)
        finally:
            self.reachability.unanswered(question.addr, question.server)
        if verdict is not None:
            self.reachability.answered(question.addr, question.server, verdict)
        self.notice()

    def _servers(self) -> dict[bytes, tuple[PeerId, bool]]:
        """A connected server of each address group and whether it speaks version 2; those that do come first."""
        found: list[tuple[bool, bytes, bytes, PeerId]] = []
        for peer in self._swarm.peers():
            connection = self._swarm.best(peer)
            if connection is None or connection.relayed:
                continue  # it would not know from where this node is seen
            modern = self._speaks(peer, autonat.DIAL_REQUEST)
            if modern or self._speaks(peer, autonat.V1) and autonat.answers_v1(self._agent_of(peer)):
                found.append((not modern, self._entropy(4), _group(self._swarm, peer), peer))
        out: dict[bytes, tuple[PeerId, bool]] = {}
        for old, _, group, peer in sorted(found):
            out.setdefault(group, (peer, not old))
        return out

    async def _ask(self, server: PeerId, addr: bytes) -> bool | None:
        """Version 2: the server's verdict, None if it gave none, or one that the nonce does not prove."""
        connection = self._swarm.best(server)
        if connection is None or len(self._nonces) >= MAX_NONCES:
            return None
        nonce = int.from_bytes(self._entropy(8), "big")
        dialled = self._nonces[nonce] = asyncio.Event()
        stream: Stream | None = None
        try:
            async with asyncio.timeout(connection.wait(2 * DIAL_BACK_BASE, 8.0)):
                stream = await connection.open_stream([autonat.DIAL_REQUEST])
                await stream.write_message(DialRequest((addr,), nonce).encode())
                response = await self._pay(stream)
            if response.status != autonat.OK or response.index != 0:
                return None
            if response.dial == autonat.OK:
                return True if dialled.is_set() else None
            return False if response.dial == autonat.DIAL_ERROR else None
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("autonat at %s: %s", server, exc)
            return None
        finally:
            del self._nonces[nonce]
            if stream is not None:
                stream.reset("autonat is over")

    async def _pay(self, stream: Stream) -> DialResponse:
        """The response; before it the data that the server asks for, within reason. Raises AutonatError."""
        for _ in range(2):
            data = await stream.read_message(autonat.MAX_MESSAGE)
            message = autonat.decode(data or b"")
            if isinstance(message, DialResponse):
                return message
            if not isinstance(message, DataRequest) or message.size > autonat.MOST_DATA:
                break
            for _ in range(-(-message.size // autonat.DATA_CHUNK)):
                await stream.write_message(Data(autonat.DATA_CHUNK).encode())
        raise AutonatError("neither an answer nor a sensible request for data")

    async def _dialled_back(self, stream: Stream) -> None:
        """The other side of our question: a nonce that is ours proves the dial, on a connection that was dialled."""
        assert isinstance(stream.connection, Connection)
        if stream.connection.outbound:
            raise AutonatError("a dial-back over a connection that was made from here")
        async with asyncio.timeout(stream.connection.wait(DIAL_BACK_BASE)):
            data = await stream.read_message(autonat.MAX_MESSAGE)
            dialled = self._nonces.get(autonat.decode_nonce(data or b""))
            if dialled is None:
                raise AutonatError("a nonce that was never sent")
            dialled.set()
            await stream.write_message(autonat.DIAL_BACK_OK)

    async def _ask_v1(self, server: PeerId, addr: bytes) -> bool | None:
        connection = self._swarm.best(server)
        if connection is None:
            return None
        try:
            async with asyncio.timeout(connection.wait(2 * DIAL_BACK_BASE, 8.0)):
                stream = await connection.open_stream([autonat.V1])
                try:
                    request = autonat.V1Request(self._swarm.local_peer.multihash, (addr,))
                    await stream.write_message(request.encode())
                    data = await stream.read_message(autonat.MAX_MESSAGE)
                finally:
                    stream.reset("autonat is over")
            status = autonat.V1Response.decode(data or b"").status
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("autonat v1 at %s: %s", server, exc)
            return None
        return {autonat.V1_OK: True, autonat.V1_DIAL_ERROR: False}.get(status)

    # --- serving

    def _admit(self, peer: PeerId, other_host: bool) -> bool:
        now = self._swarm.clock()
        while self._served and now - self._served[0][0] >= 60.0:
            self._served.popleft()
        per_peer = Counter(one[1] for one in self._served)
        others = sum(one[2] for one in self._served)
        if len(self._served) >= MAX_A_MINUTE or per_peer[peer] >= MAX_A_MINUTE_PER_PEER:
            return False
        if other_host and others >= MAX_FOR_OTHER_HOSTS:
            return False
        self._served.append((now, peer, other_host))
        return True

    async def _serve(self, stream: Stream) -> None:
        connection = stream.connection
        assert isinstance(connection, Connection)
        async with asyncio.timeout(connection.wait(3 * DIAL_BACK_BASE, 12.0)):
            request = autonat.decode(await stream.read_message(autonat.MAX_MESSAGE) or b"")
            if not isinstance(request, DialRequest):
                raise AutonatError("the first message is no request")
            picked = next(
                ((at, addr) for at, raw in enumerate(request.addrs) if (addr := _dialable(self._swarm, raw))), None
            )
            if picked is None:
                await stream.write_message(DialResponse(autonat.REFUSED).encode())
                return
            index, addr = picked
            if connection.relayed:
                await stream.write_message(DialResponse(autonat.REJECTED).encode())
                return
            other = _seen_host(connection) != host_of(addr.encode())
            if not self._admit(connection.peer, other):
                await stream.write_message(DialResponse(autonat.REJECTED).encode())
                return
            if other:
                await self._charge(stream, index)
            try:
                status = await self._dial_back(connection, addr, request.nonce)
            except NoRoute:
                await stream.write_message(DialResponse(autonat.REFUSED).encode())
                return
            await stream.write_message(DialResponse(autonat.OK, index, status).encode())

    async def _charge(self, stream: Stream, index: int) -> None:
        """Have the asker send more bytes than a handshake costs. Raises AutonatError."""
        size = autonat.LEAST_DATA + int.from_bytes(self._entropy(2), "big") % autonat.LEAST_DATA
        await stream.write_message(DataRequest(index, size).encode())
        got = 0
        while got < size:
            message = autonat.decode(await stream.read_message(autonat.MAX_MESSAGE) or b"")
            if not isinstance(message, Data) or not 0 < message.size <= autonat.DATA_CHUNK:
                raise AutonatError("not the data that was asked for")
            got += message.size

    async def _dial(self, asker: Connection, addr: Multiaddr) -> Connection | None:
        """A connection for a dial-back, None if the address cannot be reached. Raises NoRoute."""
        try:
            return await self._swarm.probe(asker.peer, addr, asker.wait(DIAL_BACK_BASE))
        except OSError as exc:  # TimeoutError is one
            if exc.errno in NO_ROUTE:
                raise NoRoute() from exc
            return None
        except CideryError:
            return None

    async def _dial_back(self, asker: Connection, addr: Multiaddr, nonce: int) -> int:
        connection = await self._dial(asker, addr)
        if connection is None:
            return autonat.DIAL_ERROR
        try:
            async with asyncio.timeout(connection.wait(DIAL_BACK_BASE)):
                stream = await connection.open_stream([autonat.DIAL_BACK])
                await stream.write_message(autonat.encode_nonce(nonce))
                await stream.read_message(autonat.MAX_MESSAGE)
        except (CideryError, TimeoutError, OSError):
            return autonat.DIAL_BACK_ERROR
        finally:
            connection.close("dial-back is over")
        return autonat.OK

    async def _serve_v1(self, stream: Stream) -> None:
        connection = stream.connection
        assert isinstance(connection, Connection)
        async with asyncio.timeout(connection.wait(3 * DIAL_BACK_BASE, 12.0)):
            request = autonat.V1Request.decode(await stream.read_message(autonat.MAX_MESSAGE) or b"")
            host = None if connection.relayed else _seen_host(connection)
            # only the host the asker is seen at: nobody shall be dialled on somebody else's word
            addrs = [
                addr
                for raw in request.addrs
                if host_of(raw) == host and (addr := _dialable(self._swarm, raw)) is not None
            ]
            if request.peer != connection.peer.multihash or not addrs or not self._admit(connection.peer, False):
                await stream.write_message(autonat.V1Response(autonat.V1_REFUSED).encode())
                return
            try:
                dialled = await self._dial(connection, addrs[0])
            except NoRoute:
                await stream.write_message(autonat.V1Response(autonat.V1_REFUSED).encode())
                return
            if dialled is None:
                await stream.write_message(autonat.V1Response(autonat.V1_DIAL_ERROR).encode())
                return
            dialled.close("dial-back is over")
            await stream.write_message(autonat.V1Response(autonat.V1_OK, addrs[0].encode()).encode())


def _dialable(swarm: Swarm, raw: bytes) -> Multiaddr | None:
    """A public address with an IP that a transport here dials, None for every other one, such as relayed ones."""
    if relayed(raw) or scope_of(raw) is not Scope.PUBLIC or host_of(raw) is None:
        return None
    try:
        addr = Multiaddr.decode(raw)
    except MultiaddrError:
        return None
    return addr if swarm.takes(addr) else None


def _seen_host(connection: Connection) -> object:
    return host_of(connection.remote_addr.encode()) if connection.remote_addr is not None else None


def _group(swarm: Swarm, peer: PeerId) -> bytes:
    """The address group of a connected peer, its id if its address has none: verdicts count once per network."""
    connection = swarm.best(peer)
    addr = connection.remote_addr if connection is not None else None
    return (group_of(addr.encode()) if addr is not None else None) or peer.multihash
