"""The life of a stream of a multiplexed connection, as a table: what may happen in which state, and what follows.

A pair that is not in the table is refused with an error: whose doing it was decides which. ``muxed_stream.py`` changes
states by this table only; it is the same for every muxer.
"""

from collections.abc import Mapping
from enum import IntEnum, auto


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
