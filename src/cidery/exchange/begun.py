"""Whether part of a DAG is stored already, so that what follows may be, too."""

from cidery.blockstore.interface import BlockStore
from cidery.errors import CideryError
from cidery.ipld.links import SCAN_BYTES, named_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB

LOOKED_AT = 4
"""Links of a root that are looked up to tell whether part of a DAG is stored."""


def has_begun(store: BlockStore, root: CID) -> bool:
    """Whether more than the root of a DAG is stored, or the root is the whole DAG."""
    block = store.get_if_ready(root)
    if block is None:
        return False
    if root.codec != DAG_PB and len(block) > SCAN_BYTES:
        return True  # reading its links would hold the loop, and its descendants can be requested one by one
    try:
        links = [cid for cid, _ in named_links(root, block) if not cid.is_identity]
    except CideryError:
        return True  # its reader will report the fault
    return not links or any(store.get_if_ready(cid) is not None for cid in links[:LOOKED_AT])
