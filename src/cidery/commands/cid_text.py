"""CIDs as text in the base and version that --cid-base and --upgrade-cidv0-in-output ask for."""

from cidery.commands.bind import BadCall
from cidery.commands.definition import Call
from cidery.errors import InvalidInput
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multibase import decode_multibase

DEFAULT_BASE = "base32"


def cid_text(cid: CID, call: Call) -> str:
    """Text of a CID; a CIDv0 becomes CIDv1 if requested, and in bases other than base58btc. Raises BadCall."""
    base = call.text("cid-base")
    try:
        return (cid.to_v1() if upgrades(call) else cid).format(base or DEFAULT_BASE)
    except InvalidInput as exc:
        raise BadCall(f"option 'cid-base': {exc}") from exc


def upgrades(call: Call) -> bool:
    """Whether a CIDv0 is printed as CIDv1."""
    asked = call.options["upgrade-cidv0-in-output"]
    return call.text("cid-base") not in ("", "base58btc") if asked is None else bool(asked)


def cid_text_as_in(path: str, cid: CID, call: Call) -> str:
    """As cid_text(), but without a requested base, in the base of the CID in the path, as Kubo resolves paths.

    Below a CIDv0 or a name, each keeps its own.
    """
    if call.text("cid-base") or call.options["upgrade-cidv0-in-output"] is not None:
        return cid_text(cid, call)
    root = next((name for name in path.removeprefix("ipfs:").split("/") if name not in ("ipfs", "ipld", "")), "")
    try:
        version = CID.parse(root).version
    except CIDError:  # an IPNS name
        version = 0
    return cid.to_v1().format(decode_multibase(root)[0]) if version else str(cid)
