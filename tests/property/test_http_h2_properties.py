"""Whatever a client sends, an HTTP/2 connection answers it or ends: nothing is raised, and nothing stays behind."""

import asyncio
from typing import Any

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from cidery.budgets import H2_STREAMS
from cidery.http.h2_connection import H2Connection
from cidery.http.message import Request, Response, text

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GOOD = [(":method", "GET"), (":path", "/x"), (":scheme", "https"), (":authority", "a")]
ODD = st.lists(
    st.tuples(
        st.sampled_from(
            [":method", ":path", ":scheme", ":authority", ":status", "te", "connection", "cookie", "A", ""]
        ),
        st.sampled_from(["GET", "HEAD", "CONNECT", "/", "", "\x00", "a b", "trailers", "é"]),
    ),
    max_size=6,
)


def _block(fields: list[tuple[str, str]]) -> bytes:
    return bytes(Encoder().encode(fields))


WELL = st.sampled_from([_block([(":method", method), *GOOD[1:]]) for method in ("GET", "HEAD", "POST")])
HEADS = st.one_of(WELL, ODD.map(_block), st.binary(max_size=20))

STEPS = st.tuples(
    st.sampled_from(["request", "request", "data", "reset", "window"]), st.integers(0, 3), WELL, st.booleans()
)
"""What a client does with a new stream, or with one of its latest."""
STREAM = st.integers(0, 9)
NUMBER = st.integers(0, 2**31 - 1)


def _played(steps: list[tuple[str, int, bytes, bool]]) -> bytes:
    """Steps as the frames of a client that counts its streams."""
    latest, frames = -1, []
    for what, back, head, end in steps:
        stream = max(1, latest - 2 * back)
        flags = ["END_STREAM"] if end else []
        if what == "request" or latest < 0:
            latest += 2
            frames.append(HeadersFrame(latest, head, flags=["END_HEADERS", *flags]))
        elif what == "data":
            frames.append(DataFrame(stream, bytes(back), flags=flags))
        elif what == "reset":
            frames.append(RstStreamFrame(stream, error_code=8))
        else:
            frames.append(WindowUpdateFrame(stream * end, window_increment=1 + back))
    return b"".join(frame.serialize() for frame in frames)


FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        lambda stream, data, flags: HeadersFrame(stream or 1, data, flags=flags),
        STREAM,
        HEADS,
        st.lists(st.sampled_from(["END_STREAM", "END_HEADERS"]), max_size=2).map(lambda flags: [*flags, "END_HEADERS"]),
    ),
    st.builds(lambda stream, data: HeadersFrame(stream or 1, data), STREAM, HEADS),
    st.builds(lambda stream, data: ContinuationFrame(stream or 1, data, flags=["END_HEADERS"]), STREAM, HEADS),
    st.builds(
        lambda stream, data, end: DataFrame(stream or 1, data, flags=["END_STREAM"] if end else []),
        STREAM,
        st.binary(max_size=100),
        st.booleans(),
    ),
    st.builds(lambda stream, code: RstStreamFrame(stream or 1, error_code=code), STREAM, st.integers(0, 20)),
    st.builds(lambda stream, delta: WindowUpdateFrame(stream, window_increment=delta or 1), STREAM, NUMBER),
    st.builds(
        lambda values: SettingsFrame(0, settings=values), st.dictionaries(st.integers(0, 10), NUMBER, max_size=4)
    ),
    st.builds(lambda data: PingFrame(0, opaque_data=data), st.binary(min_size=8, max_size=8)),
    st.builds(lambda stream, on: PriorityFrame(stream or 1, depends_on=on), STREAM, STREAM),
    st.builds(lambda stream: PushPromiseFrame(stream or 1, promised_stream_id=2, data=b"x"), STREAM),
    st.builds(lambda stream, code: GoAwayFrame(0, last_stream_id=stream, error_code=code), STREAM, st.integers(0, 20)),
)
RAW = st.builds(
    lambda kind, flags, stream, body: (
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
    ),
    st.integers(0, 12),
    st.integers(0, 255),
    st.one_of(STREAM, st.integers(0, 2**32 - 1)),
    st.binary(max_size=40),
)
PLAYED = st.lists(STEPS, max_size=30).map(_played)
ANY = st.lists(st.one_of(FRAMES.map(lambda frame: frame.serialize()), RAW, st.binary(max_size=30)), max_size=10)
SENT = st.tuples(PLAYED, ANY).map(lambda both: [both[0], *both[1]])


class Wire(asyncio.Transport):
    """Takes what is written; its end is told at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "nothing is written to a connection that has ended"
        self.written += len(data)

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True


class Server:
    """Answers half of its requests at once, and the others a little later."""

    name = "test"
    max_target = 100
    closing = tunnels = False

    def __init__(self) -> None:
        self.on_answered: list[Any] = []
        self.running = 0
        self.most = 0
        self.is_idle = True

    def at_hand(self, request: Request) -> Response | None:
        return None if request.header("cookie") or request.method == "GET" else text(200, "at hand")

    async def handler(self, request: Request, /) -> Response:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            return text(200, "later")
        finally:
            self.running -= 1

    def opened(self, connection: object, transport: asyncio.Transport) -> None: ...

    def busy(self, connection: object) -> None:
        self.is_idle = False

    def idle(self, connection: object) -> None:
        self.is_idle = True

    def closed(self, connection: object) -> None: ...

    def date(self) -> bytes:
        return b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


@given(SENT, st.integers(1, 200), st.integers(0, 9).map(bool))
def test_any_frames_are_answered_or_end_the_connection(sent: list[bytes], cut: int, begins: bool) -> None:
    async def scenario() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        server, wire = Server(), Wire()
        connection = H2Connection(server)
        connection.connection_made(wire)
        data = (PREFACE + SettingsFrame(0).serialize() if begins else b"") + b"".join(sent)
        for start in range(0, len(data), cut):
            connection.data_received(data[start : start + cut])
            await asyncio.sleep(0)
        if not wire.ended:
            connection.drain()
        connection.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not failures and not connection.tasks
        assert server.running == 0 and server.most <= H2_STREAMS.amount

    asyncio.run(scenario())
