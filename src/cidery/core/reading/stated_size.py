"""What a root says about the size of all below it, for reports of progress."""

from cidery.errors import CideryError
from cidery.ipld import dag_pb
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer


def stated_size(cid: CID, block: Buffer) -> int | None:
    """Bytes of a DAG by the sizes in its root's links, parts that repeat counted each time; None if it states none.

    Only dag-pb states sizes, and nobody has checked them.
    """
    if cid.codec == RAW:
        return len(block)
    if cid.codec != DAG_PB:
        return None
    try:
        return len(block) + sum(link.tsize or 0 for link in dag_pb.decode(block).links)
    except CideryError:
        return None  # reading it will say what is wrong
