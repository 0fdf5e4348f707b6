"""A byte stream in the binary messages of a WebSocket. Where its messages and frames begin and end means nothing.

The HTTP before the first frame is the library `websockets`'s. The frames are ours: the library hands a frame out when
it is whole, and a stream need neither wait for that nor hold it.

Spec: https://www.rfc-editor.org/rfc/rfc6455, https://github.com/libp2p/specs/tree/master/websockets
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum

import numpy
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from cidery.errors import RemoteProtocolError
from cidery.multiformats.varint import Buffer

LARGEST_UPGRADE = 16 * 1024
"""Bytes of the HTTP request or response before the first frame; browsers send their cookies of the host, too."""
IDLE_FRAMES = 1000
"""Frames in a row that carry no data of the stream: pings of a living peer have others between them."""
WORDS_FROM = 32
"""Bytes from which on a mask is put on words, and these are aligned: that takes a third of the time."""
LARGEST_CONTROL = 125
"""Bytes: "all control frames MUST have a payload length of 125 bytes or less"."""
NORMAL, PROTOCOL_ERROR = 1000, 1002
_HEAD_END = b"\r\n\r\n"
_FIN, _RESERVED, _OPCODE, _MASKED = 0x80, 0x70, 0x0F, 0x80


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_KNOWN = frozenset(Opcode)


class WebSocketError(RemoteProtocolError):
    """What came is no WebSocket, or breaks its rules or our bounds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"WebSocket: {self.reason}"


class WebSocket:
    """One end, from the HTTP request on. Once ``open``, payloads come and go."""

    def __init__(self, http: ClientProtocol | ServerProtocol, entropy: Callable[[int], bytes]) -> None:
        self.open = False
        """Whether both have agreed to speak WebSocket."""
        self.ended = False
        """Whether the other end has said that it closes, or this one has."""
        self._http = http
        self._client = isinstance(http, ClientProtocol)
        self._entropy = entropy
        self._head = bytearray()
        """Of the HTTP, then of a frame, as far as it has come."""
        self._out: list[bytes] = []
        self._idle = 0
        self._in_message = False
        self._opcode = Opcode.CONTINUATION
        self._left = 0
        """Bytes of the frame that are still to come."""
        self._mask = b""
        self._control = bytearray()

    @classmethod
    def server(cls, entropy: Callable[[int], bytes]) -> WebSocket:
        """The end that is dialled. Any path, host and origin is welcome: Noise or TLS inside says who is there."""
        return cls(ServerProtocol(), entropy)

    @classmethod
    def client(
        cls, entropy: Callable[[int], bytes], authority: str, path: str = "/", *, secure: bool = False
    ) -> WebSocket:
        """The end that dials. ``authority``: host and port of the request. Its request is the first data_to_send().

        Raises WebSocketError when they do not make a URL.
        """
        try:
            uri = parse_uri(f"{'wss' if secure else 'ws'}://{authority}{path}")
        except (InvalidURI, ValueError) as exc:
            raise WebSocketError(f"{authority[:80]}{path[:80]} makes no URL") from exc
        http = ClientProtocol(uri)
        http.send_request(http.connect())
        made = cls(http, entropy)
        made._out += http.data_to_send()
        return made

    @property
    def left(self) -> int:
        """Bytes of the payload that are still to come of the frame that comes now; of a control frame none."""
        return self._left if self._opcode < Opcode.CLOSE else 0

    @property
    def largest_head(self) -> int:
        """Bytes of the longest head of a frame from the other end."""
        return 10 if self._client else 14

    def receive_data(self, data: memoryview) -> list[memoryview]:
        """Payloads, in order: views of ``data``, which is written to. data_to_send() is to be sent after it.

        Raises WebSocketError; then nothing more is received.
        """
        payloads: list[memoryview] = []
        if not self.open:
            data = self._upgrade(data)
        while len(data) and not self.ended:
            data = self._piece(data, payloads) if self._left else self._begin(data, payloads)
        return payloads

    def data_to_send(self) -> list[bytes]:
        """What is to be sent beside the payloads: the upgrade, pongs, the answer to a close."""
        out, self._out = self._out, []
        return out

    def send(self, data: Buffer) -> tuple[bytes, Buffer]:
        """A payload as one message: its head and its bytes, ``data`` itself where it need not be masked, or can be.

        Of a client: a memoryview that can be written to is overwritten.
        """
        return self._frame(Opcode.BINARY, data)

    def close(self, code: int = NORMAL) -> None:
        """Send a farewell; nothing can be sent after it. Idempotent."""
        if self.open and not self.ended:
            self._say(Opcode.CLOSE, code.to_bytes(2, "big"))
        self.ended = True

    # --- the upgrade

    def _upgrade(self, data: memoryview) -> memoryview:
        """What comes after it."""
        before = len(self._head)
        self._head += data[: LARGEST_UPGRADE + 1 - before]
        end = self._head.find(_HEAD_END, max(0, before - len(_HEAD_END)))
        if end < 0:
            if len(self._head) > LARGEST_UPGRADE:
                raise WebSocketError(f"more than {LARGEST_UPGRADE} bytes of HTTP, and no upgrade")
            return data[:0]
        head = bytes(self._head[: end + len(_HEAD_END)])
        self._head.clear()
        if self._client and head.split(b" ", 2)[1:2] != [b"101"]:
            answer = head.splitlines()[0][:80].decode("ascii", "replace")
            raise WebSocketError(f"the other end answers {answer!r}")
        self._http.receive_data(head)
        for event in self._http.events_received():
            if isinstance(event, Request):
                assert isinstance(self._http, ServerProtocol)  # clients receive no requests
                self._http.send_response(self._http.accept(event))
        self._out += [part for part in self._http.data_to_send() if part]
        if self._http.state is not State.OPEN:
            reason = self._http.handshake_exc or self._http.parser_exc or "the request has a body"
            raise WebSocketError(str(reason) or type(reason).__name__)
        self.open = True
        return data[len(head) - before :]

    # --- frames

    def _begin(self, data: memoryview, payloads: list[memoryview]) -> memoryview:
        """Read the head of a frame, and what comes after it."""
        before = len(self._head)
        self._head += data[: 14 - before]
        size = self._head_size()
        if len(self._head) < size:
            return data[:0]
        first, second = self._head[:2]
        opcode, length = first & _OPCODE, second & 0x7F
        if length == 126:
            length = int.from_bytes(self._head[2:4], "big")
        elif length == 127:
            length = int.from_bytes(self._head[2:10], "big")
        self._mask = b"" if self._client else bytes(self._head[size - 4 : size])
        self._head.clear()
        self._check(first, second, length)
        self._opcode, self._left = Opcode(opcode), length
        if not length or opcode >= Opcode.CLOSE:
            self._idle += 1
            if self._idle > IDLE_FRAMES:
                raise WebSocketError(f"{IDLE_FRAMES} frames in a row without data")
        if not length:
            self._whole()
        return data[size - before :]

    def _head_size(self) -> int:
        """Bytes of the head that has begun to come, as far as that is known."""
        if len(self._head) < 2:
            return 2
        extended = {126: 2, 127: 8}.get(self._head[1] & 0x7F, 0)
        return 2 + extended + (0 if self._client else 4)

    def _check(self, first: int, second: int, length: int) -> None:
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise WebSocketError("an extension that nobody agreed on")
        if bool(second & _MASKED) == self._client:
            raise WebSocketError(
                "a frame of a server is masked" if self._client else "a frame of a client is not masked"
            )
        if opcode not in _KNOWN or opcode == Opcode.TEXT:
            raise WebSocketError(f"a frame of kind {opcode}, which carries no bytes of the stream")
        if opcode >= Opcode.CLOSE:
            if length > LARGEST_CONTROL or not first & _FIN:
                raise WebSocketError("a control frame that is long, or one of several")
            return
        if (opcode == Opcode.CONTINUATION) != self._in_message:
            raise WebSocketError("a message within a message" if self._in_message else "a continuation of nothing")
        if length >> 63:
            raise WebSocketError("a length whose first bit is set")
        self._in_message = not first & _FIN

    def _piece(self, data: memoryview, payloads: list[memoryview]) -> memoryview:
        """Take what has come of the frame's payload."""
        piece, rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        if self._mask:
            xor(piece, self._mask)
            turn = len(piece) % 4
            self._mask = self._mask[turn:] + self._mask[:turn]
        if self._opcode < Opcode.CLOSE:
            self._idle = 0
            payloads.append(piece)
        else:
            self._control += piece
        if not self._left:
            self._whole()
        return rest

    def _whole(self) -> None:
        """A frame is through."""
        body = bytes(self._control)
        self._control.clear()
        if self._opcode is Opcode.PING:
            self._say(Opcode.PONG, body)
        elif self._opcode is Opcode.CLOSE:
            self._say(Opcode.CLOSE, body[:2])
            self.ended = True

    def _say(self, opcode: Opcode, body: bytes) -> None:
        self._out += map(bytes, self._frame(opcode, body))

    def _frame(self, opcode: Opcode, data: Buffer) -> tuple[bytes, Buffer]:
        size = len(data)
        masked = _MASKED if self._client else 0
        if size < 126:
            head = struct.pack("!BB", _FIN | opcode, masked | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", _FIN | opcode, masked | 126, size)
        else:
            head = struct.pack("!BBQ", _FIN | opcode, masked | 127, size)
        if not masked:
            return head, data
        mask = self._entropy(4)
        body = data if isinstance(data, memoryview) and not data.readonly else memoryview(bytearray(data))
        xor(body, mask)
        return head + mask, body


def xor(data: memoryview, mask: bytes) -> None:
    """XOR in place with four bytes, again and again."""
    if len(data) < WORDS_FROM:
        _xor_bytes(data, mask)
        return
    count, skip = len(data) // 4 - 1, 0
    words = numpy.frombuffer(data, numpy.uint32, count)
    while not words.flags.aligned and skip < 3:
        skip += 1
        words = numpy.frombuffer(data, numpy.uint32, count, skip)
    numpy.bitwise_xor(words, numpy.frombuffer(mask[skip:] + mask[:skip], numpy.uint32), out=words)
    _xor_bytes(data[:skip], mask)
    _xor_bytes(data[skip + 4 * count :], mask[skip:] + mask[:skip])


def _xor_bytes(data: memoryview, mask: bytes) -> None:
    for at in range(len(data)):
        data[at] ^= mask[at % 4]
