"""The records of the HTTP routing API as JSON, and the filters over them. Pure.

Spec: https://specs.ipfs.tech/routing/http-routing-v1/ (IPIP-337, 417, 476, 484, 513)
"""

import json
from typing import Any, NamedTuple

from cidery.errors import RemoteProtocolError
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.multiformats.multiaddr_protocols import BY_CODE
from cidery.routing.interface import FoundPeer

JSON_TYPE = "application/json"
LINES_TYPE = "application/x-ndjson"
BITSWAP = "transport-bitswap"
GATEWAY = "transport-ipfs-gateway-http"
MAX_RECORD = 64 * 1024
"""Bytes of one record: a peer with the largest number of addresses has some 6 KiB."""
MAX_ADDRS = 64
"""Addresses of one peer that are read."""
MAX_PROTOCOLS = 32
MAX_RECORDS = 100
""""servers SHOULD limit the number of results to 100"."""
_OLD_SCHEMAS = {"bitswap": BITSWAP}
"""Schemas from before IPIP-417 that are still in use -> protocol."""


class BadRecords(RemoteProtocolError):
    """A malformed answer of a router."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the router's answer makes no sense: {self.reason}"


def encode_peer(found: FoundPeer) -> dict[str, Any]:
    """The record of a peer."""
    record: dict[str, Any] = {"Schema": "peer", "ID": str(found.peer), "Addrs": [str(addr) for addr in found.addrs]}
    if found.protocols:
        record["Protocols"] = list(found.protocols)
    return record


def decode_peer(record: Any) -> FoundPeer | None:
    """A peer of an untrusted record; None for unknown schemas, and peers without a valid id.

    Raises BadRecords only (fuzzed): not an object. Addresses that do not parse are skipped.
    """
    if not isinstance(record, dict):
        raise BadRecords("a record that is no object")
    schema, text = record.get("Schema"), record.get("ID")
    if schema not in ("peer", *_OLD_SCHEMAS) or not isinstance(text, str):
        return None
    try:
        peer = PeerId.parse(text[:200])
    except PeerIdError:
        return None
    addrs, protocols = record.get("Addrs"), record.get("Protocols")
    known = [_addr(addr) for addr in addrs[:MAX_ADDRS]] if isinstance(addrs, list) else []
    named = protocols[:MAX_PROTOCOLS] if isinstance(protocols, list) else []
    ways = tuple(name.lower() for name in named if isinstance(name, str) and len(name) < 100)
    if schema in _OLD_SCHEMAS:
        ways = (_OLD_SCHEMAS[schema],)
    return FoundPeer(peer, tuple(addr for addr in known if addr is not None), ways)


def _addr(text: Any) -> Multiaddr | None:
    try:
        return Multiaddr.parse(text).without_peer() if isinstance(text, str) else None
    except MultiaddrError:
        return None


def decode_line(line: bytes) -> FoundPeer | None:
    """One line of ndjson. Raises BadRecords."""
    if len(line) > MAX_RECORD:
        raise BadRecords(f"a record of more than {MAX_RECORD} bytes")
    return decode_peer(_parsed(line))


def decode_list(body: bytes, name: str) -> list[FoundPeer]:
    """The records of ``{"Providers": [...]}`` or ``{"Peers": [...]}``; null means none. Raises BadRecords."""
    found = _parsed(body)
    records = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict) or (records is not None and not isinstance(records, list)):
        raise BadRecords(f"no list of {name}")
    decoded = [decode_peer(record) for record in (records or [])[:MAX_RECORDS]]
    return [peer for peer in decoded if peer is not None]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadRecords("it is not JSON") from exc


class Filters(NamedTuple):
    """``filter-addrs`` and ``filter-protocols`` of a request, in lower case; empty: everything."""

    addrs: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()

    @classmethod
    def parse(cls, query: dict[str, str]) -> "Filters":
        return cls(*(_names(query.get(name, "")) for name in ("filter-addrs", "filter-protocols")))

    def apply(self, found: FoundPeer) -> FoundPeer | None:
        """The record with the addresses that pass; None if it is left out."""
        if self.protocols and not self._has_protocol(found):
            return None
        if not self.addrs:
            return found
        if not found.addrs:
            return found if "unknown" in self.addrs else None
        kept = tuple(addr for addr in found.addrs if self._passes(addr))
        return FoundPeer(found.peer, kept, found.protocols) if kept else None

    def _has_protocol(self, found: FoundPeer) -> bool:
        if not found.protocols:
            return "unknown" in self.protocols
        return any(name in self.protocols for name in found.protocols)

    def _passes(self, addr: Multiaddr) -> bool:
        names = {BY_CODE[code].name for code, _ in addr.components}
        wanted = [name for name in self.addrs if not name.startswith("!") and name != "unknown"]
        if any(name[1:] in names for name in self.addrs if name.startswith("!")):
            return False
        return not wanted or any(name in names for name in wanted)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in text.split(",")[:64] if name.strip())
