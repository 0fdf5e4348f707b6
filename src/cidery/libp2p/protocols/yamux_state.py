"""The life of a Yamux session, as a table: what may happen in which state, and what follows.

Everything that changes the state is in the table, and nothing else: no bytes, windows or frames. A pair that is not in
it is refused with an error: whose doing it was decides which. ``yamux.py`` changes the state by it only. The life of
a stream is in ``stream_state.py``.

Spec: https://github.com/hashicorp/yamux/blob/master/spec.md
"""

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import assert_never

from cidery import budgets
from cidery.errors import RemoteProtocolError
from cidery.libp2p.protocols.muxer import TooManyStreams


class YamuxError(RemoteProtocolError):
    """The peer broke the Yamux protocol; the connection ends with go-away code 1."""

    wire_code = 1

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"yamux: {self.reason}"


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
"""State -> event -> the state that follows."""

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
