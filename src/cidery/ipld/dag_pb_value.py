"""dag-pb nodes as values of the data model: ``{"Data": bytes, "Links": [{"Hash": link, "Name": "", "Tsize": 1}]}``.

Spec: https://ipld.io/specs/codecs/dag-pb/spec/#logical-format
"""

from cidery.ipld import dag_pb
from cidery.ipld.dag_pb import Link, encode_name
from cidery.ipld.data_model import NotEncodable, Value, kind_of
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer

CODEC = "dag-pb"
MAX_TSIZE = (1 << 63) - 1
"""Largest Tsize written: the limit of varints here."""


def decode(block: Buffer) -> Value:
    """Decode a node. Raises DagPbError, nothing else (fuzzed)."""
    node = dag_pb.decode(block)
    links: list[Value] = []
    for link in node.links:
        one: dict[str, Value] = {"Hash": link.cid}
        if link.name is not None:
            one["Name"] = link.name
        if link.tsize is not None:
            one["Tsize"] = link.tsize
        links.append(one)
    found: dict[str, Value] = {} if node.data is None else {"Data": bytes(node.data)}
    return {**found, "Links": links}


def encode(value: Value) -> bytes:
    """The node of a value; links must be sorted by name already. Raises NotEncodable."""
    if not isinstance(value, dict):
        raise NotEncodable(CODEC, f"a {kind_of(value)}; a node is a map of Data and Links")
    if unknown := set(value) - {"Data", "Links"}:
        raise NotEncodable(CODEC, f"a node has no field {min(unknown)!r}")
    data = value.get("Data", b"")
    if not isinstance(data, bytes):
        raise NotEncodable(CODEC, f"Data is a {kind_of(data)}, not bytes")
    items = value.get("Links")
    if not isinstance(items, list):
        raise NotEncodable(CODEC, "Links must be there, as a list")
    links = [_link(item) for item in items]
    names = [encode_name(link.name or "") for link in links]
    if any(one > other for one, other in zip(names, names[1:], strict=False)):
        # "links must be sorted by Name, by bytes": the spec's section Link Sorting
        raise NotEncodable(CODEC, "Links must be sorted by Name")
    return dag_pb.encode(links, data if "Data" in value else None)


def _link(item: Value) -> Link:
    if not isinstance(item, dict):
        raise NotEncodable(CODEC, f"a link that is a {kind_of(item)}, not a map")
    if unknown := set(item) - {"Hash", "Name", "Tsize"}:
        raise NotEncodable(CODEC, f"a link has no field {min(unknown)!r}")
    cid, name, tsize = item.get("Hash"), item.get("Name", ""), item.get("Tsize", 0)
    if not isinstance(cid, CID):
        raise NotEncodable(CODEC, "Hash must be there, as a link")
    if not isinstance(name, str):
        raise NotEncodable(CODEC, f"Name is a {kind_of(name)}, not a string")
    if type(tsize) is not int or not 0 <= tsize <= MAX_TSIZE:
        raise NotEncodable(CODEC, "Tsize is not an integer from 0 to 2^63-1")
    return Link(cid, name if "Name" in item else None, tsize if "Tsize" in item else None)
