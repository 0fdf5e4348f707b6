"""The links of a block, by the codec of the CID it was asked by."""

from collections.abc import Sequence

from cidery.errors import InvalidInput
from cidery.ipld import dag_pb
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CODEC_NAMES, DAG_PB, RAW
from cidery.multiformats.varint import Buffer


class UnsupportedCodec(InvalidInput):
    """A codec whose links cannot be read."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        name = CODEC_NAMES.get(self.cid.codec, f"0x{self.cid.codec:x}")
        return f"the codec {name} of {self.cid} is not supported yet: only raw and dag-pb are"


def named_links(cid: CID, block: Buffer) -> Sequence[tuple[CID, str]]:
    """(target, name) per link in the block's order. Raises UnsupportedCodec, DagPbError. O(len(block))."""
    if cid.codec == RAW:
        return ()
    if cid.codec == DAG_PB:
        return [(link.cid, link.name or "") for link in dag_pb.decode(block).links]
    raise UnsupportedCodec(cid)
