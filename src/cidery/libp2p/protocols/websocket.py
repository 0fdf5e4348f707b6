"""A byte stream in the binary messages of a WebSocket. Where its messages and frames begin and end means nothing.

The frames are those of the library `websockets`; its masks and keys are not secrets, and are of its own randomness.

Spec: https://www.rfc-editor.org/rfc/rfc6455, https://github.com/libp2p/specs/tree/master/websockets
"""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.exceptions import WebSocketException as LibraryError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from cidery.errors import RemoteProtocolError
from cidery.multiformats.varint import Buffer

LARGEST_FRAME = 1024 * 1024
"""Bytes of one frame, which is buffered until it is whole. Peers send at most some 64 KiB at a time."""
LARGEST_UPGRADE = 16 * 1024
"""Bytes of the HTTP request or response before the first frame; browsers send their cookies of the host, too."""
IDLE_FRAMES = 1000
"""Frames in a row that carry no data of the stream: pings of a living peer have others between them."""


class WebSocketError(RemoteProtocolError):
    """What came is no WebSocket, or breaks its rules or our bounds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"WebSocket: {self.reason}"


class WebSocket:
    """One end, from the HTTP request on. Once ``open``, payloads come and go."""

    def __init__(self, protocol: ClientProtocol | ServerProtocol) -> None:
        self._protocol = protocol
        self._upgrade = 0
        self._idle = 0
        self._text = False

    @classmethod
    def server(cls) -> WebSocket:
        """The end that is dialled. Any path, host and origin is welcome: Noise or TLS inside says who is there."""
        return cls(ServerProtocol(max_size=(None, LARGEST_FRAME)))

    @classmethod
    def client(cls, authority: str, path: str = "/", *, secure: bool = False) -> WebSocket:
        """The end that dials. ``authority``: host and port of the request. Its request is the first data_to_send().

        Raises WebSocketError when they do not make a URL.
        """
        try:
            uri = parse_uri(f"{'wss' if secure else 'ws'}://{authority}{path}")
        except (InvalidURI, ValueError) as exc:
            raise WebSocketError(f"{authority[:80]}{path[:80]} makes no URL") from exc
        protocol = ClientProtocol(uri, max_size=(None, LARGEST_FRAME))
        protocol.send_request(protocol.connect())
        return cls(protocol)

    @property
    def open(self) -> bool:
        """Whether both have agreed to speak WebSocket."""
        return self._protocol.state is State.OPEN

    @property
    def ended(self) -> bool:
        """Whether the other end has said that it closes."""
        return self._protocol.state in (State.CLOSING, State.CLOSED)

    def receive_data(self, data: Buffer) -> list[Buffer]:
        """Payloads, in order; data_to_send() is to be sent after it. Raises WebSocketError."""
        if self._protocol.state is State.CONNECTING:
            self._upgrade += len(data)
            if self._upgrade > LARGEST_UPGRADE:
                raise WebSocketError(f"more than {LARGEST_UPGRADE} bytes of HTTP, and no upgrade")
        self._protocol.receive_data(data)  # type: ignore[arg-type]  # it appends to a bytearray
        payloads: list[Buffer] = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, payloads)
            elif isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Response) and (refused := self._refusal()):
                raise WebSocketError(f"the other end answers {event.status_code}: {refused}")
        if self._protocol.parser_exc is not None:
            raise WebSocketError(str(self._protocol.parser_exc) or type(self._protocol.parser_exc).__name__)
        if (reason := self._refusal()) and self._protocol.state is not State.CLOSING:
            raise WebSocketError(reason)
        return payloads

    def data_to_send(self) -> list[bytes]:
        """What is to be sent beside the payloads: the upgrade, pongs, the answer to a close."""
        return [part for part in self._protocol.data_to_send() if part]

    def send(self, data: Buffer) -> list[bytes]:
        """A payload as one message."""
        self._protocol.send_binary(data)
        return self._protocol.data_to_send()

    def close(self) -> list[bytes]:
        """A farewell, to be sent last; nothing can be sent after it."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.data_to_send()

    def _take(self, frame: Frame, payloads: list[Buffer]) -> None:
        if frame.opcode in (Opcode.BINARY, Opcode.TEXT):
            self._text = frame.opcode is Opcode.TEXT
        if self._text and frame.opcode in (Opcode.TEXT, Opcode.CONT):
            raise WebSocketError("a message of text")
        if frame.data and frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._idle = 0
            payloads.append(frame.data)
            return
        self._idle += 1
        if self._idle > IDLE_FRAMES:
            raise WebSocketError(f"{IDLE_FRAMES} frames in a row without data")

    def _answer(self, request: Request) -> None:
        assert isinstance(self._protocol, ServerProtocol)  # clients receive no requests
        self._protocol.send_response(self._protocol.accept(request))

    def _refusal(self) -> str:
        """Why there was no agreement, "" if there was, or none yet."""
        refused: LibraryError | Exception | None = self._protocol.handshake_exc
        return "" if refused is None else str(refused) or type(refused).__name__
