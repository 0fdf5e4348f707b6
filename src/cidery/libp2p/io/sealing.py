"""Seals what a muxer has to send, several messages at a time, into buffers that are used again."""

from cidery.libp2p.protocols.channel import SecureChannel
from cidery.libp2p.protocols.yamux import HEADER_SIZE, Yamux

WRITE_BATCH = 4 * (66 * 1024)
"""Sealed bytes handed to the socket at a time: four whole messages, which stay in the processor's cache."""
WHOLE = 16 * 1024
"""Bytes from which content is sealed where it lies; what is shorter is gathered into one message."""
LEAST_PLAIN = 64
"""Bytes of plaintext sealed at least: a frame's header and some of its content."""


class Sealer:
    """For one connection."""

    def __init__(self, channel: SecureChannel, scratch: memoryview) -> None:
        """``scratch``: for plaintext, used within a call only, so that connections can share it."""
        self._channel = channel
        self._plain = scratch[: channel.plain_size]
        self._spare: memoryview | None = None
        self._bulk = WRITE_BATCH // channel.sealed_size * channel.plain_size

    def batch(self, mux: Yamux, limit: int) -> memoryview:
        """The next sealed messages, of about ``limit`` bytes at most; empty if the muxer has nothing to send."""
        channel = self._channel
        plain = self._plain[: max(LEAST_PLAIN, limit)]
        if limit >= WRITE_BATCH and (pieces := mux.bulk(plain, self._bulk)):
            spare, self._spare = self._spare, None
            out = spare or memoryview(bytearray(WRITE_BATCH))
            return out[: self._seal_frame(pieces, out)]
        first = mux.data_into(plain)
        if not first:
            return plain[:0]
        bulk = first == len(self._plain) and limit > channel.sealed_size
        spare, self._spare = self._spare if bulk else None, None if bulk else self._spare
        # a lone small message gets a small buffer, a bulk transfer one for several messages
        size = WRITE_BATCH if bulk else first + channel.sealed_size - channel.plain_size
        out = spare or memoryview(bytearray(size))
        at = channel.seal_into(plain[:first], out)
        while at + channel.sealed_size <= min(len(out), limit) and (more := mux.data_into(plain)):
            at += channel.seal_into(plain[:more], out[at:])
        return out[:at]

    def _seal_frame(self, pieces: list[memoryview], out: memoryview) -> int:
        """Seal the header in the scratch and the content after it; returns the bytes written.

        Messages of content alone, so that the peer can open them where they belong.
        """
        seal, plain = self._channel.seal_into, self._plain
        at, gathered, most = 0, HEADER_SIZE, len(plain)
        for piece in pieces:
            size = len(piece)
            if size < WHOLE and gathered + size <= most:
                plain[gathered : gathered + size] = piece
                gathered += size
                continue
            if gathered:
                at += seal(plain[:gathered], out[at:])
                gathered = 0
            for start in range(0, size, most):
                at += seal(piece[start : start + most], out[at:])
        return at + seal(plain[:gathered], out[at:]) if gathered else at

    def rest(self) -> None:
        """Nothing large is sent for now: give the memory back."""
        self._spare = None

    def reuse(self, out: memoryview) -> None:
        """All of a batch went into the socket: its buffer is ours again."""
        whole = out.obj
        if isinstance(whole, bytearray) and len(whole) == WRITE_BATCH:
            self._spare = memoryview(whole)
