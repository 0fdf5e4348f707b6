"""The links of a block, by the codec of the CID it was asked by."""

from collections.abc import Sequence

from cidery.errors import InvalidInput
from cidery.ipld import codecs, dag_pb
from cidery.ipld.data_model import links_of
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CBOR, DAG_CBOR, DAG_JOSE, DAG_JSON, DAG_PB, JSON, LIBP2P_KEY, RAW
from cidery.multiformats.varint import Buffer

_WITHOUT_LINKS = frozenset((RAW, LIBP2P_KEY, JSON, CBOR))
_WITH_LINKS = frozenset((DAG_CBOR, DAG_JSON, DAG_JOSE))


class UnsupportedCodec(InvalidInput):
    """A codec whose links cannot be read."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"the codec {codecs.codec_name(self.cid.codec)} of {self.cid} is not supported here"


def named_links(cid: CID, block: Buffer, *, canonical: bool = True) -> Sequence[tuple[CID, str]]:
    """(target, name) per link in the block's order; a name inside a value is its path, as "a/0/b". O(len(block)).

    Args:
        canonical: False reads links of blocks in any valid form too: for who must not miss one, as a collector.
    Raises UnsupportedCodec, DagPbError, CodecError.
    """
    if cid.codec == DAG_PB:
        return [(link.cid, link.name or "") for link in dag_pb.decode(block).links]
    if cid.codec in _WITHOUT_LINKS:
        return ()
    if cid.codec in _WITH_LINKS:
        codec = codecs.codec_of(cid.codec)
        return links_of((codec.decode if canonical else codec.read_input)(block))
    raise UnsupportedCodec(cid)
