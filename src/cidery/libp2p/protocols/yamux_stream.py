"""One Yamux stream: a MuxedStream with its windows. Pure."""

from cidery.libp2p.protocols.muxed_stream import MuxedStream
from cidery.libp2p.protocols.stream_state import RECEIVE_DATA, Event
from cidery.libp2p.protocols.yamux_state import YamuxError
from cidery.spare_buffers import SpareBuffers

INITIAL_WINDOW = 256 * 1024
"""Bytes each side may send on a new stream ("Both sides assume the initial 256KB window": yamux spec)."""


class YamuxStream(MuxedStream):
    """Its muxer keeps the windows."""

    __slots__ = ("acked", "consumed", "credit", "epoch", "send_window", "window")

    def __init__(self, stream_id: int, initiator: bool, now: float, spare: SpareBuffers) -> None:
        super().__init__(stream_id, initiator, now, spare)
        self.acked = not initiator
        self.credit = INITIAL_WINDOW
        """Bytes the peer may still send."""
        self.window = INITIAL_WINDOW
        """Credit the peer has when everything is read; the inbox holds at most that."""
        self.consumed = 0
        """Bytes read and not yet given back as credit."""
        self.epoch = now
        """When credit was last given back."""
        self.send_window = INITIAL_WINDOW

    @property
    def blocked(self) -> bool:
        return not self.send_window

    def _refusal(self, event: Event) -> Exception:
        return YamuxError(f"data after FIN on stream {self.id}") if event is RECEIVE_DATA else super()._refusal(event)
