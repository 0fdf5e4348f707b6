"""CIDs as text in the base that --cid-base asks for."""

from cidery.commands.bind import BadCall
from cidery.commands.definition import Call
from cidery.errors import InvalidInput
from cidery.multiformats.cid import CID


def cid_text(cid: CID, call: Call) -> str:
    """Text of a CID; a CIDv0 becomes CIDv1 in any base but base58btc. Raises BadCall for an unknown base."""
    base = call.text("cid-base")
    if not base:
        return str(cid)
    try:
        return (cid if base == "base58btc" else cid.to_v1()).format(base)
    except InvalidInput as exc:
        raise BadCall(f"option 'cid-base': {exc}") from exc
