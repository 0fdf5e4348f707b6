"""The attacks of bench/siege.py: each runs in a process of its own against one real daemon, over real sockets.

    python bench/raids.py NAME SECONDS < target.json

``target``: swarm host, port and peer id, the URLs of RPC and gateway, CIDs. Ends after SECONDS, or when nothing is left
to do.
"""

from __future__ import annotations

import datetime
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from cidery.bitswap.message import PROTOCOL_1_2, Entry, Message
from cidery.errors import CideryError
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipld.block import Block
from cidery.libp2p.protocols import identify, multistream, noise, yamux
from cidery.libp2p.protocols.steps import Handshake
from cidery.libp2p.protocols.tls import TlsIdentity
from cidery.libp2p.protocols.upgrade import UpgradeConfig, upgrade_outbound
from cidery.libp2p.protocols.yamux import DATA, FIN, HEADER, PING, SYN, WINDOW_UPDATE
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field
from cidery.multiformats.varint import encode_uvarint

WINDOW = 256 * 1024
CLIENTS = 1000
"""Slow readers of the gateway, from ADDRESSES addresses."""
ADDRESSES = 16
STREAMS = 16
"""Streams of a connection that are read at once: on further ones a flood would only wait."""
PUSHES_PER_SECOND = 1000
UPLOADS = 256
IDLE_CONNECTIONS = 900
PARTS = 1_000_000
MIXED_WANTS = 1000
"""Wants in a message of the attack by wants."""
CROWD = 1000
"""Connections of the attack by many, from PARTIES processes."""
PARTIES = 4
CROWD_WANTS = 64
"""Wants that each sends at once, half of them of blocks that are there, and withdraws each second."""


class Raider:
    """One connection to a node's swarm: an honest handshake, then whatever is wanted."""

    def __init__(self, target: dict[str, Any]) -> None:
        self.socket = socket.create_connection((target["host"], target["port"]), timeout=20)
        key = PrivateKey.generate_ed25519(os.urandom)
        tls = TlsIdentity(key, (yamux.PROTOCOL,), datetime.datetime.now(datetime.UTC))
        config = UpgradeConfig(key, tls, os.urandom, security=(noise.PROTOCOL,))
        handshake = Handshake(upgrade_outbound(config, PeerId.parse(target["peer"])))
        while True:
            if out := handshake.data_to_send():
                self.socket.sendall(out)
            if handshake.done:
                break
            handshake.receive_data(self.socket.recv(65536))
        secured = handshake.result
        assert secured is not None  # done
        self._channel = secured.channel
        self.socket.settimeout(None)
        self.credit: dict[int, int] = {}
        self.lost = threading.Event()
        self._lock = threading.Condition()
        threading.Thread(target=self._read, args=(bytes(handshake.rest),), daemon=True).start()

    def _read(self, sealed: bytes) -> None:
        """Windows grow by what comes; everything else is dropped."""
        plain = bytearray()
        skip = 0
        while True:
            used = self._channel.receive(memoryview(sealed), plain.extend)
            sealed = sealed[used:]
            at = 0
            while True:
                step = min(skip, len(plain) - at)
                at, skip = at + step, skip - step
                if skip or len(plain) - at < HEADER.size:
                    break
                _, kind, _, stream, length = HEADER.unpack_from(plain, at)
                at += HEADER.size
                if kind == DATA:
                    skip = length
                elif kind == WINDOW_UPDATE:
                    with self._lock:
                        self.credit[stream] = self.credit.get(stream, WINDOW) + length
                        self._lock.notify_all()
            del plain[:at]
            try:
                data = self.socket.recv(262144)
            except OSError:
                data = b""
            if not data:
                self.lost.set()
                with self._lock:
                    self._lock.notify_all()
                return
            sealed += data

    def send(self, plain: bytes) -> None:
        """Raises OSError when the connection ended."""
        if self.lost.is_set():
            raise ConnectionResetError
        out = memoryview(bytearray(self._channel.sealed_size))
        size = self._channel.plain_size
        for at in range(0, len(plain), size):
            self.socket.sendall(out[: self._channel.seal_into(memoryview(plain[at : at + size]), out)])

    def open(self, stream: int, protocol: str) -> None:
        opening = multistream.optimistic_opening(protocol)
        self.credit.setdefault(stream, WINDOW)
        self.send(HEADER.pack(0, WINDOW_UPDATE, SYN, stream, 0))
        self.data(stream, opening)

    def data(self, stream: int, body: bytes, flags: int = 0) -> None:
        """Within the window, waiting for it to grow."""
        at = 0
        while at < len(body) or flags:
            with self._lock:
                while self.credit[stream] <= 0 and not self.lost.is_set():
                    self._lock.wait()
                size = min(self.credit[stream], len(body) - at, 256 * 1024)
                self.credit[stream] -= size
            last = at + size == len(body)
            self.send(HEADER.pack(0, DATA, flags if last else 0, stream, size) + body[at : at + size])
            at += size
            if last:
                return


def again(target: dict[str, Any], until: float, raid: Callable[[Raider, int], None]) -> None:
    """Attack over one connection until the time is up; one that is ended is made again, as an attacker would."""
    number = 0
    while time.monotonic() < until:
        try:
            raider = Raider(target)
            number += 1
            raid(raider, number)
        except OSError:
            time.sleep(0.05)
        except Exception as exc:
            print(f"raid: {exc!r}", file=sys.stderr)
            time.sleep(0.05)


def together(target: dict[str, Any], until: float, raid: Callable[[Raider, int], None], count: int = 2) -> None:
    """From several connections at once."""
    several = [threading.Thread(target=again, args=(target, until, raid), daemon=True) for _ in range(count)]
    for one in several:
        one.start()
    for one in several:
        one.join(max(0.0, until - time.monotonic()))


# --- the swarm


def flood(target: dict[str, Any], until: float, data: bytes, streams: int) -> None:
    """The same bytes over several Bitswap streams of one connection, again and again."""

    def raid(raider: Raider, _: int) -> None:
        for at in range(streams):
            raider.open(2 * at + 1, PROTOCOL_1_2)
        while time.monotonic() < until:
            for at in range(streams):
                raider.data(2 * at + 1, data)

    again(target, until, raid)


def empty_fields(target: dict[str, Any], until: float) -> None:
    """Zero bytes over several streams: empty messages, one a byte."""
    flood(target, until, bytes(32 * 1024), STREAMS)


def empty_entries(target: dict[str, Any], until: float) -> None:
    """Messages of fields that are empty: presences, wants, blocks without anything."""
    body = b"\x1a\x00" * (2 * 1024 * 1024)
    flood(target, until, encode_uvarint(len(body)) + body, STREAMS)


def unknown_fields(target: dict[str, Any], until: float) -> None:
    """Messages of 4 MiB, a wantlist of unknown inner fields."""
    body = bytes_field(1, b"\x78\x00" * (2 * 1024 * 1024 - 8))
    flood(target, until, encode_uvarint(len(body)) + body, 1)


def wants_and_cancels(target: dict[str, Any], until: float) -> None:
    """Wants cancelled and sent again at line speed."""
    cids = [CID.of(b"%d" % at) for at in range(MIXED_WANTS)]
    wants = [Entry(cid, send_dont_have=True) for cid in cids]
    cancels = [Entry(cid, cancel=True) for cid in cids]
    body = b"".join(map(bytes, Message(entries=wants + cancels).encode()))
    message = encode_uvarint(len(body)) + body
    flood(target, until, message, 4)


def parked(target: dict[str, Any], until: float) -> None:
    """Three connections of 256 streams, each with what its window takes of a message that never ends."""

    def raid(raider: Raider, _: int) -> None:
        body = b"\xff\xff\xff\x01" + os.urandom(200 * 1024)
        for at in range(256):
            raider.open(2 * at + 1, PROTOCOL_1_2)
            raider.data(2 * at + 1, body)
        while time.monotonic() < until and not raider.lost.is_set():
            time.sleep(1)

    together(target, until, raid, 3)


def tiny_blocks(target: dict[str, Any], until: float) -> None:
    """Messages of 16,000 blocks of a byte that nobody asked for."""
    body = b"".join(
        map(bytes, Message(blocks=[Block(CID.of(b"%d" % at), b"%d" % at) for at in range(16_000)]).encode())
    )
    message = encode_uvarint(len(body)) + body
    flood(target, until, message, 8)


def pushes(target: dict[str, Any], until: float) -> None:
    """identify/push a thousand times a second from each of two connections."""
    said = identify.Identify(b"", (), (), b"", "", "raider/1")
    body = next(iter(said.messages()))
    message = encode_uvarint(len(body)) + body

    def raid(raider: Raider, _: int) -> None:
        began, count = time.monotonic(), 0
        while time.monotonic() < until:
            stream = 2 * count + 1
            opening = multistream.optimistic_opening(identify.PUSH_PROTOCOL) + message
            raider.send(
                HEADER.pack(0, WINDOW_UPDATE, SYN, stream, 0)
                + HEADER.pack(0, DATA, FIN, stream, len(opening))
                + opening
            )
            count += 1
            time.sleep(max(0.0, began + count / PUSHES_PER_SECOND - time.monotonic()))

    together(target, until, raid)


def _small_frames(frames: bytes) -> Callable[[dict[str, Any], float], None]:
    batch = frames * (60 * 1024 // len(frames))

    def attack(target: dict[str, Any], until: float) -> None:
        def raid(raider: Raider, _: int) -> None:
            raider.open(1, PROTOCOL_1_2)
            while time.monotonic() < until:
                raider.send(batch)

        together(target, until, raid)

    return attack


class Stranger:
    """One of a thousand connections: it asks for more than it reads, sends garbage, or never ends its handshake."""

    def __init__(self, target: dict[str, Any], number: int) -> None:
        self._number = number
        self._raider: Raider | None = None
        kind = number % 5
        if kind < 3:
            self._raider = Raider(target)
            self._raider.open(1, PROTOCOL_1_2)
            self._body = self._wants(target) if kind < 2 else os.urandom(16 * 1024)
            return
        self._socket = socket.create_connection((target["host"], target["port"]), timeout=20)
        self._socket.setblocking(False)
        self._socket.send(os.urandom(64) if kind == 3 else b"\x13/multistream/1.0.0\n\x07/noise\n\x00")

    def _wants(self, target: dict[str, Any]) -> bytes:
        there = [CID.parse(target[name]) for name in ("honest", "large", "block")]
        absent = [CID.of(b"%d %d" % (self._number, at)) for at in range(CROWD_WANTS // 2)]
        cids = [there[at % len(there)] for at in range(CROWD_WANTS // 2)] + absent
        entries = [Entry(cid, send_dont_have=True) for cid in cids]
        body = b"".join(map(bytes, Message(entries=entries, full=True).encode()))
        return encode_uvarint(len(body)) + body

    def act(self) -> None:
        """Once a second. Raises OSError when the connection has ended."""
        if self._raider is not None:
            self._raider.send(HEADER.pack(0, DATA, 0, 1, len(self._body)) + self._body)
            return
        try:
            if not self._socket.recv(4096):
                raise ConnectionResetError
        except BlockingIOError:
            pass

    def close(self) -> None:
        (self._raider.socket if self._raider is not None else self._socket).close()


def a_thousand(target: dict[str, Any], until: float) -> None:
    """A thousand connections from four processes: floods of wants, garbage, handshakes that never end."""
    for _ in range(PARTIES - 1):
        if not os.fork():
            break
    held: list[Stranger] = []
    number = counted = 0
    while time.monotonic() < until:
        began = time.monotonic()
        for one in held[:]:
            try:
                one.act()
            except OSError:
                one.close()
                held.remove(one)
        while len(held) < CROWD // PARTIES and time.monotonic() < until:
            number += 1
            try:
                held.append(Stranger(target, number))
            except (OSError, CideryError):
                time.sleep(0.01)
        counted = max(counted, len(held))
        time.sleep(max(0.0, began + 1.0 - time.monotonic()))
    print(f"# {counted} connections at a time, {number} in all, of one process of {PARTIES}", file=sys.stderr)


window_updates = _small_frames(HEADER.pack(0, WINDOW_UPDATE, 0, 1, 0))
empty_data = _small_frames(HEADER.pack(0, DATA, 0, 1, 0))
pings = _small_frames(HEADER.pack(0, PING, SYN, 0, 7))


# --- HTTP


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None  # the daemon wrote them
    return parts.hostname, parts.port


def slow_readers(target: dict[str, Any], until: float) -> None:
    """A thousand clients that ask for a large CAR and read a KiB each second."""
    _slow(target, until, f"/ipfs/{target['large']}?format=car")


def slow_block_readers(target: dict[str, Any], until: float) -> None:
    """The same with one block of 1 MiB each."""
    _slow(target, until, f"/ipfs/{target['block']}?format=raw")


def _slow(target: dict[str, Any], until: float, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    clients: list[socket.socket] = []
    while time.monotonic() < until:
        while len(clients) < CLIENTS and time.monotonic() < until:
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.bind((f"127.0.1.{1 + len(clients) % ADDRESSES}", 0))
            try:
                one.settimeout(2)
                one.connect(_endpoint(target["gateway"]))
                one.sendall(request)
                one.setblocking(False)
                clients.append(one)
            except OSError:
                one.close()
                time.sleep(0.1)
        for one in clients[:]:
            try:
                if not one.recv(1024):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                one.close()
                clients.remove(one)
        time.sleep(1)


def _upload_head(target: dict[str, Any], length: int) -> bytes:
    return (
        f"POST /api/v0/add HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def slow_uploads(target: dict[str, Any], until: float) -> None:
    """256 uploads of which nothing comes after the first part's head."""
    held: list[socket.socket] = []
    while time.monotonic() < until:
        for one in held[:]:
            one.setblocking(False)
            try:
                if not one.recv(4096):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                pass
            one.close()
            held.remove(one)
        while len(held) < UPLOADS and time.monotonic() < until:
            try:
                one = socket.create_connection(_endpoint(target["rpc"]), timeout=2)
                one.sendall(_upload_head(target, 1 << 30) + PART)
                held.append(one)
            except OSError:
                time.sleep(0.1)
        time.sleep(0.5)


def empty_parts(target: dict[str, Any], until: float) -> None:
    """One upload of a million empty parts."""
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\n\r\n' % at for at in range(PARTS)
    )
    parts += b"--b--\r\n"
    while time.monotonic() < until:
        try:
            with socket.create_connection(_endpoint(target["rpc"]), timeout=5) as one:
                one.settimeout(None)
                threading.Thread(target=_drain, args=(one,), daemon=True).start()
                one.sendall(_upload_head(target, len(parts)) + parts)
                time.sleep(max(0.0, until - time.monotonic()))
        except OSError:
            time.sleep(0.2)


def _drain(one: socket.socket) -> None:
    try:
        while one.recv(65536):
            pass
    except OSError:
        pass


def idle_connections(target: dict[str, Any], until: float) -> None:
    """900 connections to the RPC that say nothing, for a daemon that may open 1,024 files."""
    held: list[socket.socket] = []
    while time.monotonic() < until:
        for one in held[:]:
            one.setblocking(False)
            try:
                if not one.recv(4096):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                one.close()
                held.remove(one)
        while len(held) < IDLE_CONNECTIONS and time.monotonic() < until:
            try:
                held.append(socket.create_connection(_endpoint(target["rpc"]), timeout=1))
            except OSError:
                time.sleep(0.05)
        time.sleep(0.25)


ATTACKS: dict[str, Callable[[dict[str, Any], float], None]] = {
    "gateway-slow-readers": slow_readers,
    "gateway-slow-blocks": slow_block_readers,
    "bitswap-empty-messages": empty_fields,
    "bitswap-empty-fields": empty_entries,
    "bitswap-unknown-fields": unknown_fields,
    "bitswap-wants-and-cancels": wants_and_cancels,
    "bitswap-tiny-blocks": tiny_blocks,
    "bitswap-parked": parked,
    "identify-pushes": pushes,
    "yamux-window-updates": window_updates,
    "yamux-empty-data": empty_data,
    "yamux-pings": pings,
    "a-thousand": a_thousand,
    "a-thousand-kept": a_thousand,
    "rpc-slow-uploads": slow_uploads,
    "rpc-empty-parts": empty_parts,
    "rpc-idle-connections": idle_connections,
}


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    target = json.load(sys.stdin)
    ATTACKS[name](target, time.monotonic() + seconds)
    sys.stdout.flush()
    os._exit(0)  # threads may hang in sockets


if __name__ == "__main__":
    main()
