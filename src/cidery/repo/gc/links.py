"""The links of a block as (codec, multihash) pairs: all that a mark needs of a node, without creating objects."""

from cidery.errors import CideryError, IntegrityError
from cidery.ipld.codecs import codec_name
from cidery.ipld.links import UnsupportedCodec, named_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CBOR, DAG_PB, JSON, LIBP2P_KEY, RAW

Target = tuple[int, bytes]
"""Codec and multihash: one multihash under two codecs is two targets."""

LEAF_CODECS = frozenset((RAW, LIBP2P_KEY, JSON, CBOR))
"""Codecs whose blocks have no links and need not be read."""
_USUAL = {b"\x01\x55\x12\x20": RAW, b"\x01\x70\x12\x20": DAG_PB}
"""First bytes of a CIDv1 of sha2-256 -> its codec."""


class Unreadable(IntegrityError):
    """A block whose links cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a block whose links are not known: {self.reason}"


def link_targets(codec: int, multihash: bytes, block: bytes) -> list[Target]:
    """Targets of all links, even in blocks with more links than walks follow.

    About 1 us per link for dag-pb. Raises Unreadable.
    """
    if codec == DAG_PB:
        usual = _usual_dag_pb(block)
        if usual is not None:
            return usual
    try:
        links = named_links(CID(1, codec, multihash), block, bounded=False)
    except UnsupportedCodec as exc:
        raise Unreadable(f"what a block of the codec {codec_name(codec)} links to is not known here") from exc
    except CideryError as exc:
        raise Unreadable(f"its links cannot be read ({exc})") from exc
    return [(link.codec, link.multihash) for link, _ in links]


def _usual_dag_pb(block: bytes) -> list[Target] | None:
    """The targets if the node has the usual form, links before data; None: use the full decoder."""
    out: list[Target] = []
    at, size = 0, len(block)
    try:
        while at < size and block[at] == 0x12:
            length = block[at + 1]
            if length >= 0x80 or block[at + 2] != 0x0A:
                return None
            cid_size, start = block[at + 3], at + 4
            if cid_size == 36:
                codec = _USUAL.get(block[start : start + 4])
                if codec is None:
                    return None
                out.append((codec, block[start + 2 : start + 36]))
            elif cid_size == 34 and block[start : start + 2] == b"\x12\x20":
                out.append((DAG_PB, block[start : start + 34]))
            else:
                return None
            at += 2 + length
    except IndexError:
        return None
    return out if _is_data_field(block, at) else None


def _is_data_field(block: bytes, at: int) -> bool:
    """Whether the rest is empty or exactly one data field."""
    if at == len(block):
        return True
    if block[at] != 0x0A:
        return False
    length = shift = 0
    for here in range(at + 1, min(at + 5, len(block))):
        length |= (block[here] & 0x7F) << shift
        shift += 7
        if block[here] < 0x80:
            return here + 1 + length == len(block)
    return False
