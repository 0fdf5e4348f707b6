"""What a source that has sent nothing yet is asked for first: a small block that is here already. Pure.

A liar's answer to that costs little; one to a want costs a block. Only while others have shown that they send what they
are asked for: until then there is nothing to choose from.
"""

from collections.abc import Iterable

from cidery.exchange.commands import Outbox
from cidery.exchange.source import Source
from cidery.multiformats.cid import CID

LARGEST = 16 * 1024
"""Bytes of a block that a source may be asked for once more: the node above the leaves of most files is smaller."""
FREE = 64 * 1024
"""Bytes that are spent on such blocks whatever has come..."""
SHARE = 1 / 64
"""... and the share of what has come. Beyond that, a single want is the proof."""


class Proofs:
    """Of one session."""

    def __init__(self) -> None:
        self._smallest: CID | None = None
        self._size = LARGEST + 1
        self._received = self._spent = 0

    def came(self, cid: CID, size: int) -> None:
        """A block came that was wanted."""
        self._received += size
        if size < self._size:
            self._smallest, self._size = cid, size

    def ask(self, sources: Iterable[Source], out: Outbox, now: float) -> None:
        """Ask those that have sent nothing, once each; if there is no such block, a single want is the proof."""
        for source in sources:
            if source.credit or source.proof_asked:
                continue
            owed = source.owes
            source.proof_asked, source.proof = True, self.take()
            if source.proof is not None:
                source.progress_at = source.progress_at if owed else now
                out.prove(source.name, source.proof)

    def take(self) -> CID | None:
        """The block to ask a further source for; None: there is none so small, or enough was spent."""
        if self._smallest is None or self._spent + self._size > FREE + SHARE * self._received:
            return None
        self._spent += self._size
        return self._smallest
