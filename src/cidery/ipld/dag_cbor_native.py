"""DAG-CBOR by cbrrr, if it is installed (``pip install cidery[cbrrr]``); dag_cbor.py defines what is valid.

cbrrr has no wheels: it is compiled on installation, so it cannot be a plain dependency. Input that it refuses is read
again by the decoder of dag_cbor.py, which reports why, and a property test checks that both accept the same blocks.
"""

from typing import Any

from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.data_model import MAX_NESTING, Value
from cidery.multiformats.cid import CID, CIDError

_NESTING = frozenset((dict, list))
"""Types of values that contain others."""

try:
    import cbrrr
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True
    _REFUSALS = (cbrrr.CbrrrDecodeError, CIDError, ValueError, TypeError, OverflowError, RecursionError)


def decode(block: bytes) -> tuple[Value, bool]:
    """(value, True), or (None, False) if dag_cbor.py must read it. Needs AVAILABLE. Raises nothing."""
    try:
        decoded: Any = cbrrr.decode_dag_cbor(block, False, CID.decode)
    except _REFUSALS:
        return None, False  # the other decoder reports the fault and its place
    value: Value = decoded
    return (value, True) if nesting_is_bounded(value) else (None, False)


def encode(value: Value) -> bytes | None:
    """The block; None if dag_cbor.py must write it. Needs AVAILABLE. Raises nothing."""
    if not nesting_is_bounded(value):
        return None
    try:
        given: Any = value
        block: bytes = cbrrr.encode_dag_cbor(given, False, CID)
    except _REFUSALS:
        return None  # the other encoder reports the fault
    return block


def nesting_is_bounded(value: Value) -> bool:
    """Whether lists and maps are at most MAX_NESTING deep, and no level has more than a block could hold.

    One pass, level by level, without recursion.
    """
    level: list[Any] = [value] if isinstance(value, list | dict) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_NESTING or len(level) > MAX_BLOCK:
            return False
        level = [
            child for one in level for child in (one.values() if type(one) is dict else one) if type(child) in _NESTING
        ]
    return True
