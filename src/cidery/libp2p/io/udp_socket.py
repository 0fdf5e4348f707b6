"""One bound UDP socket under the running loop: whole batches in and out, segmented by the kernel where it can."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from cidery.libp2p.protocols.quic_core import Endpoint

Datagrams = list[tuple[bytes, tuple[object, ...]]]
READ_SLICE = 512 * 1024
"""Bytes read that end the socket's turn of the loop: a millisecond or two of work. One read may give 2 MiB."""
BUFFERS = 7 * 1024 * 1024
"""Bytes asked for each of the kernel's buffers, as quic-go does; it gives what net.core.rmem_max allows."""
LARGEST = 65535
"""Bytes of a datagram."""
NOT_SEGMENTED = frozenset({errno.EIO, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
"""Errors of sending that a device without segmentation has (quinn-udp and qh3 take them so, too)."""
SINGLY = 64
"""Datagrams read one by one where the system has no batches."""


class Batching(Protocol):
    """qh3's UdpSocketState: recvmmsg, sendmmsg, GSO, GRO."""

    def recv(self) -> Datagrams: ...

    def send(self, datagrams: list[bytes], addr: tuple[object, ...]) -> int: ...

    def disable_gso(self) -> None: ...


class DatagramSocket(Protocol):
    """What is needed of a socket: UdpSocket, or one of a network in memory."""

    endpoint: Endpoint
    closed: bool

    @property
    def blocked(self) -> bool: ...

    def batch_by(self, make: Callable[[int], Batching]) -> None: ...

    def call_when_writable(self, resume: Callable[[], None]) -> None: ...

    def send(self, datagrams: list[bytes], target: Endpoint) -> None: ...

    def close(self) -> None: ...


Bind = Callable[[str, int, Callable[[Datagrams], None]], DatagramSocket]
"""Binds an IP address and port for a receiver. Raises OSError."""


class UdpSocket:
    """Reads until close(). ``receive`` is given each batch; datagrams of one source are in the order they came."""

    def __init__(self, sock: socket.socket, receive: Callable[[Datagrams], None]) -> None:
        self._socket = sock
        self._batching: Batching | None = None
        self._segments = True
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()
        self._unsent: deque[tuple[list[bytes], Endpoint]] = deque()
        name = sock.getsockname()
        self.endpoint: Endpoint = (str(name[0]), int(name[1]))
        self.closed = False
        self._loop.add_reader(sock.fileno(), self._on_readable)

    @classmethod
    def bound(cls, host: str, port: int, receive: Callable[[Datagrams], None]) -> UdpSocket:
        """Bind ``host``, an IP address. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFERS)
            sock.bind(socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4])
            return cls(sock, receive)
        except BaseException:
            sock.close()
            raise

    def batch_by(self, make: Callable[[int], Batching]) -> None:
        """Until now one datagram a call; from now on many, by what ``make`` returns for the descriptor."""
        if self._batching is None:
            self._batching = make(self._socket.fileno())

    @property
    def blocked(self) -> bool:
        """Whether the system takes nothing now."""
        return bool(self._unsent)

    def call_when_writable(self, resume: Callable[[], None]) -> None:
        """Once, when it takes more."""
        self._waiting.append(resume)

    def send(self, datagrams: list[bytes], target: Endpoint) -> None:
        """Send now, or as soon as the system takes them: ask ``blocked`` before making more. Never raises."""
        if self.closed:
            return
        if self._unsent:
            self._unsent.append((datagrams, target))
            return
        sent = self._try(datagrams, target)
        if sent < len(datagrams):
            self._unsent.append((datagrams[sent:], target))
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def _try(self, datagrams: list[bytes], target: Endpoint) -> int:
        """How many are done with: sent, or impossible to send."""
        done = 0
        while done < len(datagrams):
            try:
                if self._batching is not None and len(datagrams) - done > 1:
                    done += self._batching.send(datagrams[done:], target)
                else:
                    self._socket.sendto(datagrams[done], target)
                    done += 1
            except (BlockingIOError, InterruptedError) as exc:
                return done + int(getattr(exc, "datagrams_sent", 0))
            except OSError as exc:
                done += int(getattr(exc, "datagrams_sent", 0))
                if exc.errno in NOT_SEGMENTED and self._batching is not None and self._segments:
                    self._segments = False  # the kernel can, the device cannot
                    self._batching.disable_gso()
                elif exc.errno == errno.ENOBUFS:
                    return len(datagrams)
                else:
                    done += 1  # too long for the path, refused, no route: a lost one, which QUIC notices
        return done

    def _on_writable(self) -> None:
        while self._unsent:
            datagrams, target = self._unsent.popleft()
            sent = self._try(datagrams, target)
            if sent < len(datagrams):
                self._unsent.appendleft((datagrams[sent:], target))
                return
        self._loop.remove_writer(self._socket.fileno())
        while self._waiting and not self._unsent:
            self._waiting.popleft()()

    def _on_readable(self) -> None:
        left = READ_SLICE
        while left > 0:
            try:
                batch = self._read()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # an ICMP message about something sent before; the next read is clean
            if not batch:
                return
            left -= sum(len(data) for data, _ in batch)
            self._receive(batch)
            if self.closed:
                return

    def _read(self) -> Datagrams:
        if self._batching is not None:
            return self._batching.recv()
        batch: Datagrams = []
        for _ in range(SINGLY):
            try:
                batch.append(self._socket.recvfrom(LARGEST))
            except (BlockingIOError, InterruptedError):
                break
        return batch

    def close(self) -> None:
        """Idempotent. What waits to be sent is dropped."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._batching = None  # it has a descriptor of its own, which would keep the port
            self._socket.close()
            self._unsent.clear()
            self._waiting.clear()
