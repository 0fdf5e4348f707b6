"""A whole DAG as one CAR stream, checked as it arrives: each block by its hash, and that an earlier one links to it.

Pure. The second check keeps a source from sending terabytes that belong to nothing.
"""

from collections.abc import Generator, Sequence

from cidery.errors import RemoteProtocolError
from cidery.ipld.block import Block, HashMismatch
from cidery.ipld.car import CarError
from cidery.ipld.car_reader import CarReader
from cidery.ipld.dag_pb import DagPbError
from cidery.ipld.data_model import CodecError
from cidery.ipld.links import UnsupportedCodec, scan_links
from cidery.ipld.walk import MAX_PENDING
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.multihash import MultihashError
from cidery.multiformats.varint import Buffer

MAX_EXPECTED = 16 * MAX_PENDING
"""Most links of one stream's blocks."""
STEP = 1024
"""Links noted between two pauses: about a millisecond."""


class BadStream(RemoteProtocolError):
    """A stream that is not the requested DAG."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the CAR stream is not what was asked for: {self.reason}"


class DagStream:
    """One stream below ``root``. verify() may run in a thread; the rest is fast."""

    def __init__(self, root: CID) -> None:
        self._reader = CarReader()
        self._expected: set[bytes] = {root.encode()}

    def receive_data(self, data: Buffer) -> list[Block]:
        """Blocks that are complete now, unverified. Raises BadStream."""
        try:
            return [block for block, _ in self._reader.receive_data(data)]
        except CarError as exc:
            raise BadStream(str(exc)) from exc

    def receive_eof(self) -> None:
        """Raises BadStream if it ended in the middle of a block."""
        try:
            self._reader.receive_eof()
        except CarError as exc:
            raise BadStream(str(exc)) from exc

    @staticmethod
    def verify(blocks: Sequence[Block]) -> None:
        """Hash them. Raises BadStream."""
        for cid, data in blocks:
            try:
                Block.verified(cid, data)
            except (HashMismatch, MultihashError) as exc:
                raise BadStream(str(exc)) from exc

    def accept(self, block: Block) -> Generator[None, None, None]:
        """A verified block, in order; in steps of a few milliseconds whatever the block.

        Raises BadStream if no block linked to it, or too many links are open.
        """
        key = block.cid.encode()
        if key not in self._expected:
            raise BadStream(f"{block.cid} is not below the root")
        if block.cid.codec == RAW:
            return
        try:
            links = yield from scan_links(block.cid, block.data)
        except UnsupportedCodec:
            return
        except (CodecError, DagPbError) as exc:
            raise BadStream(str(exc)) from exc
        for start in range(0, len(links), STEP):
            self._expected.update(target.encode() for target, _ in links[start : start + STEP])
            if len(self._expected) > MAX_EXPECTED:
                raise BadStream(f"more than {MAX_EXPECTED} links")
            if start:
                yield
