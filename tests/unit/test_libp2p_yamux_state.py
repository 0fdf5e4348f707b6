"""The tables of Yamux, pair by pair: every state of a stream or session with every event, and what the muxer does."""

from collections.abc import Callable

import pytest

from cidery.libp2p.protocols.muxed_stream import StreamClosed, StreamReset
from cidery.libp2p.protocols.muxer import TooManyStreams
from cidery.libp2p.protocols.stream_state import FIN_WAITING, FINISHED, TRANSITIONS, WRITABLE, Event, State
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from cidery.libp2p.protocols.yamux import ACK, DATA, FIN, HEADER, MAX_CONTROL, PING, SYN, Yamux
from cidery.libp2p.protocols.yamux import GO_AWAY as GO_AWAY_FRAME
from cidery.libp2p.protocols.yamux import WINDOW_UPDATE as WINDOW
from cidery.libp2p.protocols.yamux_state import (
    OPENS_STREAMS,
    SESSION_TRANSITIONS,
    TAKES_INPUT,
    SessionEvent,
    SessionState,
    YamuxError,
    session_after,
)
from cidery.libp2p.protocols.yamux_stream import INITIAL_WINDOW, YamuxStream
from cidery.spare_buffers import SpareBuffers

STREAM_PAIRS = [(state, event) for state in State for event in Event]
SESSION_PAIRS = [(state, event) for state in SessionState for event in SessionEvent]


def refusal(state: State, event: Event) -> type[Exception]:
    """What is documented for a pair that the table does not have."""
    if event is Event.SEND:
        return StreamReset if state is State.RESET else StreamClosed
    return YamuxError if event is Event.RECEIVE_DATA else AssertionError


def path_to(wanted: State) -> list[Event]:
    """Fewest events that lead a new stream there."""
    paths: dict[State, list[Event]] = {State.OPEN: []}
    for state in (queue := [State.OPEN]):
        for event, following in TRANSITIONS[state].items():
            if following not in paths:
                paths[following] = [*paths[state], event]
                queue.append(following)
    return paths[wanted]


def stream_in(state: State) -> YamuxStream:
    stream = YamuxStream(3, True, 0.0, SpareBuffers())
    for event in path_to(state):
        stream.on(event)
    stream.reset_reason = "enough" if state is State.RESET else ""
    return stream


@pytest.mark.parametrize(("state", "event"), STREAM_PAIRS)
def test_a_stream_goes_where_the_table_says_or_refuses_with_the_documented_error(state: State, event: Event):
    stream = stream_in(state)
    assert stream.state is state
    following = TRANSITIONS[state].get(event)
    if following is None:
        with pytest.raises(refusal(state, event)):
            stream.on(event)
        assert stream.state is state
    else:
        assert stream.on(event) is (following is not state)
        assert stream.state is following


@pytest.mark.parametrize("state", State)
def test_what_a_stream_says_of_itself_is_what_the_table_says(state: State):
    stream, row = stream_in(state), TRANSITIONS[state]
    assert (state in WRITABLE) == (Event.SEND in row)
    assert (state in FIN_WAITING) == (Event.SEND_FIN in row)
    assert stream.finished == (state in FINISHED) == (state in (State.CLOSED, State.RESET))
    assert stream.fin_received == (Event.RECEIVE_DATA not in row)
    if state in WRITABLE:
        stream.check_writable()
    else:
        with pytest.raises(refusal(state, Event.SEND)):
            stream.check_writable()


def test_a_fin_that_came_before_a_reset_is_not_forgotten():
    stream = stream_in(State.FIN_RECEIVED)
    assert stream.end("enough") and not stream.end("again")
    assert stream.state is State.RESET and stream.fin_received and stream.reset_reason == "enough"


# --- the same pairs through the muxer: verbs on our side, frames from the peer


def receive(mux: Yamux, kind: int, flags: int, stream_id: int, length: int = 0, body: bytes = b"") -> None:
    mux.receive_data(memoryview(HEADER.pack(0, kind, flags, stream_id, length) + body), 0.0)


def sent(mux: Yamux) -> bytes:
    out, buffer = bytearray(), memoryview(bytearray(4096))
    while count := mux.data_into(buffer):
        out += buffer[:count]
    return bytes(out)


def drain(mux: Yamux, stream: YamuxStream) -> None:
    """Let everything that is queued go, and the FIN after it."""
    if stream.id in mux.streams:
        receive(mux, WINDOW, 0, stream.id, INITIAL_WINDOW)
    sent(mux)


DO: dict[Event, Callable[[Yamux, YamuxStream], object]] = {
    Event.SEND: lambda mux, stream: mux.send(stream, b"x"),
    Event.CLOSE_WRITE: lambda mux, stream: mux.close_write(stream),
    Event.SEND_FIN: drain,
    Event.RECEIVE_DATA: lambda mux, stream: receive(mux, DATA, 0, stream.id, 1, b"x"),
    Event.RECEIVE_FIN: lambda mux, stream: receive(mux, DATA, FIN, stream.id),
    Event.RESET: lambda mux, stream: mux.reset(stream, "enough"),
}


def muxed_stream_in(state: State) -> tuple[Yamux, YamuxStream]:
    """A stream whose peer gives no credit, with a byte queued, so that its FIN waits until drain()."""
    mux = Yamux(initiator=True, now=0.0, round_trip=RoundTrip(0.1), timeouts=Timeouts())
    stream = mux.open_stream(0.0)
    receive(mux, WINDOW, ACK, stream.id)
    stream.send_window = 0
    mux.send(stream, b"queued")
    sent(mux)
    for event in path_to(state):
        DO[event](mux, stream)
    return mux, stream


@pytest.mark.parametrize(("state", "event"), STREAM_PAIRS)
def test_the_muxer_moves_its_streams_by_the_table(state: State, event: Event):
    mux, stream = muxed_stream_in(state)
    assert stream.state is state and (stream.id in mux.streams) == (state not in FINISHED)
    following = TRANSITIONS[state].get(event)
    if following is None and event is not Event.SEND_FIN:
        with pytest.raises(refusal(state, event)):
            DO[event](mux, stream)
        assert stream.state is state
    else:  # what is drained without a FIN that waits changes nothing
        DO[event](mux, stream)
        assert stream.state is (state if following is None else following)
        assert (stream.id in mux.streams) == (stream.state not in FINISHED)


# --- sessions


def session_in(state: SessionState) -> Yamux:
    mux = Yamux(initiator=True, now=0.0, round_trip=RoundTrip(0.1), timeouts=Timeouts())
    match state:
        case SessionState.GOING_AWAY:
            receive(mux, GO_AWAY_FRAME, 0, 0)
        case SessionState.OVERFLOWED:
            overflow(mux)
        case SessionState.FAILED:
            mux.fail("cable cut")
    return mux


def overflow(mux: Yamux) -> None:
    while len(mux._control) < MAX_CONTROL:
        mux._queue_control(PING, ACK, 0, 0)
    mux._queue_control(PING, ACK, 0, 0)


DO_SESSION: dict[SessionEvent, Callable[[Yamux], object]] = {
    SessionEvent.OPEN_STREAM: lambda mux: mux.open_stream(0.0),
    SessionEvent.INPUT: lambda mux: receive(mux, PING, SYN, 0, 7),
    SessionEvent.GO_AWAY: lambda mux: mux.go_away(0),
    SessionEvent.OVERFLOW: overflow,
    SessionEvent.FAIL: lambda mux: mux.fail("cable cut"),
}
SESSION_REFUSALS = {SessionEvent.OPEN_STREAM: TooManyStreams, SessionEvent.INPUT: YamuxError}


@pytest.mark.parametrize(("state", "event"), SESSION_PAIRS)
def test_a_session_goes_where_the_table_says_or_refuses_with_the_documented_error(
    state: SessionState, event: SessionEvent
):
    mux = session_in(state)
    assert mux.state is state
    following = SESSION_TRANSITIONS[state].get(event)
    if following is None:
        with pytest.raises(SESSION_REFUSALS[event]):
            DO_SESSION[event](mux)
        with pytest.raises(SESSION_REFUSALS[event]):
            session_after(state, event)
        assert mux.state is state
    else:
        DO_SESSION[event](mux)
        assert mux.state is following is session_after(state, event)


@pytest.mark.parametrize("state", SessionState)
def test_where_a_session_takes_input_and_opens_streams_is_what_the_table_says(state: SessionState):
    row = SESSION_TRANSITIONS[state]
    assert (state in TAKES_INPUT) == (SessionEvent.INPUT in row)
    assert (state in OPENS_STREAMS) == (SessionEvent.OPEN_STREAM in row)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (SessionState.GOING_AWAY, "the peer is going away"),
        (SessionState.OVERFLOWED, "does not read"),
        (SessionState.FAILED, "the connection ended"),
    ],
)
def test_the_error_says_why_no_stream_can_be_opened(state: SessionState, reason: str):
    with pytest.raises(TooManyStreams, match=reason):
        session_after(state, SessionEvent.OPEN_STREAM)


def test_every_state_has_a_row_and_can_be_reached():
    assert set(TRANSITIONS) == set(State) and set(SESSION_TRANSITIONS) == set(SessionState)
    reached = {following for row in SESSION_TRANSITIONS.values() for following in row.values()}
    assert reached == set(SessionState) and all(stream_in(state).state is state for state in State)
