"""The life of a Yamux stream and of a session, as tables: what may happen in which state, and what follows.

Everything that changes a state is in these tables, and nothing else: no bytes, windows or frames. A pair that is not
in a table is refused with an error: whose doing it was decides which. ``yamux_stream.py`` and ``yamux.py`` change their
states by these tables only.

Spec: https://github.com/hashicorp/yamux/blob/master/spec.md
"""

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import assert_never

from cidery import budgets
from cidery.errors import LimitExceeded, RemoteProtocolError


class YamuxError(RemoteProtocolError):
    """The peer broke the Yamux protocol; the connection ends with go-away code 1."""

    wire_code = 1

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"yamux: {self.reason}"


class TooManyStreams(LimitExceeded):
    """No stream can be opened now: too many wait for the peer's acknowledgement, or the peer is going away."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot open a stream: {self.reason}"


class State(IntEnum):
    """Where a stream is. Whether the peer acknowledged it is another matter: data may flow before."""

    OPEN = auto()
    FIN_QUEUED = auto()
    """We are done; our FIN waits for what is queued."""
    FIN_SENT = auto()
    """Half-closed: we only read."""
    FIN_RECEIVED = auto()
    """Half-closed: we only write."""
    FIN_RECEIVED_AND_QUEUED = auto()
    CLOSED = auto()
    """Both sides are done."""
    RESET = auto()
    """By either side, or the connection ended."""


class Event(IntEnum):
    """What can happen to a stream."""

    SEND = auto()
    """Bytes are queued to be sent."""
    CLOSE_WRITE = auto()
    SEND_FIN = auto()
    RECEIVE_DATA = auto()
    """At least a byte; an empty frame may carry flags at any time."""
    RECEIVE_FIN = auto()
    RESET = auto()


# By these names at run time: to look a member up in its Enum takes a tenth of a microsecond on Python 3.11.
SEND, CLOSE_WRITE, SEND_FIN, RECEIVE_DATA, RECEIVE_FIN, RESET = Event

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.OPEN: {
        Event.SEND: State.OPEN,
        Event.CLOSE_WRITE: State.FIN_QUEUED,
        Event.RECEIVE_DATA: State.OPEN,
        Event.RECEIVE_FIN: State.FIN_RECEIVED,
        Event.RESET: State.RESET,
    },
    State.FIN_QUEUED: {
        Event.CLOSE_WRITE: State.FIN_QUEUED,
        Event.SEND_FIN: State.FIN_SENT,
        Event.RECEIVE_DATA: State.FIN_QUEUED,
        Event.RECEIVE_FIN: State.FIN_RECEIVED_AND_QUEUED,
        Event.RESET: State.RESET,
    },
    State.FIN_SENT: {
        Event.CLOSE_WRITE: State.FIN_SENT,
        Event.RECEIVE_DATA: State.FIN_SENT,
        Event.RECEIVE_FIN: State.CLOSED,
        Event.RESET: State.RESET,
    },
    State.FIN_RECEIVED: {
        Event.SEND: State.FIN_RECEIVED,
        Event.CLOSE_WRITE: State.FIN_RECEIVED_AND_QUEUED,
        Event.RECEIVE_FIN: State.FIN_RECEIVED,
        Event.RESET: State.RESET,
    },
    State.FIN_RECEIVED_AND_QUEUED: {
        Event.CLOSE_WRITE: State.FIN_RECEIVED_AND_QUEUED,
        Event.SEND_FIN: State.CLOSED,
        Event.RECEIVE_FIN: State.FIN_RECEIVED_AND_QUEUED,
        Event.RESET: State.RESET,
    },
    State.CLOSED: {
        Event.CLOSE_WRITE: State.CLOSED,
        Event.RECEIVE_FIN: State.CLOSED,
        Event.RESET: State.CLOSED,
    },
    # what the peer sent before it learned of the reset is dropped
    State.RESET: {
        Event.CLOSE_WRITE: State.RESET,
        Event.RECEIVE_DATA: State.RESET,
        Event.RECEIVE_FIN: State.RESET,
        Event.RESET: State.RESET,
    },
}
"""State -> event -> the state that follows."""


def _where(event: Event) -> frozenset[State]:
    return frozenset(state for state, row in TRANSITIONS.items() if event in row)


WRITABLE = _where(SEND)
FIN_WAITING = _where(SEND_FIN)
FINISHED = frozenset(state for state, row in TRANSITIONS.items() if set(row.values()) == {state})
"""States that nothing leads out of."""


class SessionState(IntEnum):
    """Where a session is."""

    OPEN = auto()
    GOING_AWAY = auto()
    """One side accepts no more streams; those that are open continue."""
    OVERFLOWED = auto()
    """Too many answers wait because the peer does not read; the next input ends the connection."""
    FAILED = auto()
    """The connection ended, and every stream with it."""


class SessionEvent(IntEnum):
    """What can happen to a session."""

    OPEN_STREAM = auto()
    """On this side."""
    INPUT = auto()
    """Bytes of the peer's, or a deadline."""
    GO_AWAY = auto()
    """Sent or received."""
    OVERFLOW = auto()
    FAIL = auto()


SESSION_TRANSITIONS: Mapping[SessionState, Mapping[SessionEvent, SessionState]] = {
    SessionState.OPEN: {
        SessionEvent.OPEN_STREAM: SessionState.OPEN,
        SessionEvent.INPUT: SessionState.OPEN,
        SessionEvent.GO_AWAY: SessionState.GOING_AWAY,
        SessionEvent.OVERFLOW: SessionState.OVERFLOWED,
        SessionEvent.FAIL: SessionState.FAILED,
    },
    SessionState.GOING_AWAY: {
        SessionEvent.INPUT: SessionState.GOING_AWAY,
        SessionEvent.GO_AWAY: SessionState.GOING_AWAY,
        SessionEvent.OVERFLOW: SessionState.OVERFLOWED,
        SessionEvent.FAIL: SessionState.FAILED,
    },
    SessionState.OVERFLOWED: {
        SessionEvent.GO_AWAY: SessionState.OVERFLOWED,
        SessionEvent.OVERFLOW: SessionState.OVERFLOWED,
        SessionEvent.FAIL: SessionState.FAILED,
    },
    # bytes that were on their way when it ended have no stream to go to
    SessionState.FAILED: {
        SessionEvent.INPUT: SessionState.FAILED,
        SessionEvent.GO_AWAY: SessionState.FAILED,
        SessionEvent.OVERFLOW: SessionState.FAILED,
        SessionEvent.FAIL: SessionState.FAILED,
    },
}
"""As TRANSITIONS, of a session."""

TAKES_INPUT = frozenset(state for state, row in SESSION_TRANSITIONS.items() if SessionEvent.INPUT in row)
OPENS_STREAMS = frozenset(state for state, row in SESSION_TRANSITIONS.items() if SessionEvent.OPEN_STREAM in row)


def session_after(state: SessionState, event: SessionEvent) -> SessionState:
    """The state that follows. Raises TooManyStreams where no stream may be opened, YamuxError where input ends it."""
    following = SESSION_TRANSITIONS[state].get(event)
    if following is not None:
        return following
    unread = f"{budgets.CONTROL_FRAMES_WAITING.amount} answers wait because the peer does not read"
    match event:
        case SessionEvent.OPEN_STREAM:
            reasons = {SessionState.GOING_AWAY: "the peer is going away", SessionState.OVERFLOWED: unread}
            raise TooManyStreams(reasons.get(state, "the connection ended"))
        case SessionEvent.INPUT:
            raise YamuxError(unread)
        case SessionEvent.GO_AWAY | SessionEvent.OVERFLOW | SessionEvent.FAIL:
            raise AssertionError(f"{event.name} on a session that is {state.name}")  # the tables allow these everywhere
        case _:
            assert_never(event)
