"""IPNS names: peer ids in the role of a name.

Text is a CIDv1 of the codec libp2p-key, base36 by default (``k51...``); base58btc peer ids (``12D3Koo...``) are read.

Spec: https://specs.ipfs.tech/ipns/ipns-record/#ipns-name
"""

from cidery.identity.peer_id import PeerId, PeerIdError

ROUTING_PREFIX = b"/ipns/"


def parse_name(text: str) -> PeerId:
    """The key of ``k51...``, ``12D3Koo...`` or ``Qm...``, with or without ``/ipns/``. Raises PeerIdError only."""
    return PeerId.parse(text.removeprefix("/ipns/"))


def format_name(name: PeerId, base: str = "base36") -> str:
    """As CIDv1 in a multibase; ``b58mh``: as the older bare base58btc."""
    return str(name) if base == "b58mh" else name.to_cid().format(base)


def routing_key(name: PeerId) -> bytes:
    """The key of the name's record in a value store."""
    return ROUTING_PREFIX + name.multihash


def name_of_routing_key(key: bytes) -> PeerId:
    """The name whose record is kept under ``key``. Raises PeerIdError only."""
    if not key.startswith(ROUTING_PREFIX):
        raise PeerIdError("not the key of a name")
    return PeerId.decode(key[len(ROUTING_PREFIX) :])
