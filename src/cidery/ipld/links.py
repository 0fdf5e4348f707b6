"""The links of a block, by the codec of the CID it was requested by."""

import sys
from collections.abc import Generator, Sequence

from cidery.errors import InvalidInput
from cidery.ipld import codecs, dag_cbor_scan, dag_jose, dag_pb, git_raw, json_scan
from cidery.ipld.data_model import links_of
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CBOR, DAG_CBOR, DAG_JOSE, DAG_JSON, DAG_PB, GIT_RAW, JSON, LIBP2P_KEY, RAW
from cidery.multiformats.varint import Buffer

_WITHOUT_LINKS = frozenset((RAW, LIBP2P_KEY, JSON, CBOR))
_WITH_LINKS = frozenset((DAG_CBOR, DAG_JSON, DAG_JOSE, GIT_RAW))


SCAN_BYTES = 4096
"""Blocks above this size are read in steps: the worst of this size takes 7 ms in one step."""
MAX_JOSE_VALUES = 8192
"""Most values of a dag-jose block over SCAN_BYTES that is walked: a signature has some ten."""
Paths = list[tuple[CID, tuple[object, ...]]]
"""Target, and the names, keys and positions that lead to it."""


class UnsupportedCodec(InvalidInput):
    """A codec whose links cannot be read."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"the codec {codecs.codec_name(self.cid.codec)} of {self.cid} is not supported here"


def named_links(cid: CID, block: Buffer, *, bounded: bool = True) -> Sequence[tuple[CID, str]]:
    """(target, name) per link in the block's order; a name inside a value is its path, as "a/0/b". O(len(block)).

    Args:
        bounded: False has no limit on links and nesting: for callers that must not miss one, such as a collector.
    Raises UnsupportedCodec, DagPbError, CodecError.
    """
    if cid.codec == DAG_PB:
        node = dag_pb.decode(block) if bounded else dag_pb.decode(block, max_links=sys.maxsize)
        return [(link.cid, link.name or "") for link in node.links]
    if cid.codec in _WITHOUT_LINKS:
        return ()
    if cid.codec == DAG_JOSE:
        return links_of(dag_jose.decode(block))
    return [(target, "/".join(map(str, names))) for target, names in _exhausted(_scan(cid, bytes(block), bounded))]


def _exhausted(steps: Generator[None, None, Paths]) -> Paths:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            paths: Paths = stop.value
            return paths


def _scan(cid: CID, buf: bytes, bounded: bool = True) -> Generator[None, None, Paths]:
    if cid.codec == DAG_JSON:
        return json_scan.scan(buf, bounded=bounded)
    if cid.codec == DAG_CBOR:
        return dag_cbor_scan.scan(buf, bounded=bounded)
    if cid.codec == GIT_RAW:
        return git_raw.scan(cid, buf)
    raise UnsupportedCodec(cid)


def scan_links(cid: CID, block: Buffer) -> Generator[None, None, Sequence[tuple[CID, str]]]:
    """As named_links(), in steps of a few milliseconds whatever the block. Raises as named_links()."""
    if len(block) <= SCAN_BYTES or cid.codec not in (DAG_PB, *_WITH_LINKS):
        return named_links(cid, block)
    found: list[tuple[CID, str]] = []
    if cid.codec == DAG_PB:
        node = yield from dag_pb.decode_steps(block)
        for start in range(0, len(node.links), dag_pb.STEP):
            found += [(link.cid, link.name or "") for link in node.links[start : start + dag_pb.STEP]]
            yield
        return found
    paths = yield from scan_paths(cid, block)
    for start in range(0, len(paths), dag_pb.STEP):
        found += [(target, "/".join(map(str, names))) for target, names in paths[start : start + dag_pb.STEP]]
        yield
    return found


def scan_paths(cid: CID, block: Buffer) -> Generator[None, None, Paths]:
    """The links inside the value of a dag-cbor, dag-json, dag-jose or git-raw block, in steps.

    Raises UnsupportedCodec for others, CodecError.
    """
    buf = bytes(block)
    if cid.codec != DAG_JOSE:
        return (yield from _scan(cid, buf))
    pauses = 0
    for _ in dag_cbor_scan.scan(buf):
        pauses += 1
        if pauses * dag_cbor_scan.STEP > MAX_JOSE_VALUES:
            raise dag_jose.DagJoseError(f"more than {MAX_JOSE_VALUES} values")
        yield
    return [(target, (path,)) for target, path in links_of(dag_jose.decode(buf))]
