"""A client of HTTP/2 over TLS that does what tests tell it to, frame by frame."""

import asyncio
import ssl
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

Pairs = list[tuple[str, str]]


def unverified(*protocols: str) -> ssl.SSLContext:
    """For servers with certificates of their own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


class H2Client:
    """One connection. ``machine`` is free to be used; send() writes what it made."""

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        """``acknowledges``: whether windows are widened as data comes."""
        self.port = port
        self.machine = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.events: list[Event] = []
        self.ended = False
        self._acknowledges = acknowledges

    async def __aenter__(self) -> Self:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=unverified("h2"))
        assert self.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self.machine.initiate_connection()
        await self.send()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def send(self) -> None:
        self.writer.write(self.machine.data_to_send())
        await self.writer.drain()

    def ask(self, path: str, method: str = "GET", *headers: tuple[str, str], end: bool = True) -> int:
        """A request, not sent yet; its stream."""
        stream = self.machine.get_next_available_stream_id()
        pairs = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "127.0.0.1"), *headers]
        self.machine.send_headers(stream, pairs, end_stream=end)
        return stream

    async def receive(self) -> None:
        """What comes next; ``ended`` at the end of the connection."""
        data = await asyncio.wait_for(self._reader.read(1 << 16), 30)
        if not data:
            self.ended = True
            return
        for event in self.machine.receive_data(data):
            self.events.append(event)
            if isinstance(event, DataReceived) and self._acknowledges:
                self.machine.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        await self.send()

    async def answer(self, stream: int) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. Raises ConnectionResetError for a stream that is reset, EOFError at the end."""
        while True:
            mine = [one for one in self.events if getattr(one, "stream_id", None) == stream]
            if any(isinstance(one, StreamReset) for one in mine):
                raise ConnectionResetError
            if any(isinstance(one, StreamEnded) for one in mine):
                break
            if self.ended:
                raise EOFError
            await self.receive()
        head = next(one for one in mine if isinstance(one, ResponseReceived))
        fields = {str(name): str(value) for name, value in head.headers or ()}
        body = b"".join(one.data or b"" for one in mine if isinstance(one, DataReceived))
        return int(fields[":status"]), fields, body

    async def until_closed(self) -> None:
        while not self.ended:
            try:
                await self.receive()
            except ConnectionError:
                self.ended = True
