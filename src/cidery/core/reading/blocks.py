"""Single blocks: put, get, stat."""

from typing import NamedTuple

from cidery.blockstore.interface import BlockStore, Durability
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.errors import InvalidInput, LimitExceeded
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipld.codecs import parse_codec
from cidery.ipld.links import named_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import MIN_SECURE_DIGEST, SHA2_256, multihash
from cidery.unixfs.profile import parse_hash

_OLD_FORMATS = {"v0": "dag-pb", "protobuf": "dag-pb", "cbor": "dag-cbor"}
"""Names of the deprecated --format option."""


class BlockTooBig(LimitExceeded):
    """A block that other nodes would refuse."""

    def __init__(self, size: int) -> None:
        """``size``: bytes that have come so far."""
        super().__init__(size)
        self.size = size

    def __str__(self) -> str:
        return f"a block of {self.size} bytes or more: other nodes take at most {MAX_BLOCK}; use add for files"


class BlockStat(NamedTuple):
    """A block and its size."""

    cid: CID
    size: int
    """Bytes."""


async def block_put(
    data: bytes,
    store: BlockStore,
    *,
    cid_codec: str | None = None,
    mhtype: str = "sha2-256",
    mhlen: int = -1,
    format: str | None = None,
    allow_big_block: bool = False,
) -> BlockStat:
    """Store one block, durably, as kept. dag-pb ones must decode.

    Raises: InvalidInput for unknown names and lengths, BlockTooBig, DagPbError, and as the store.
    """
    if format and cid_codec is not None:
        raise InvalidInput("option 'format' is the old name of 'cid-codec': give one of them")
    codec = parse_codec(_OLD_FORMATS.get(format, format) if format else cid_codec or "raw")
    if len(data) > MAX_BLOCK and not allow_big_block:
        raise BlockTooBig(len(data))
    code = parse_hash(mhtype)
    if mhlen != -1 and mhlen < MIN_SECURE_DIGEST:
        raise InvalidInput(f"a digest of {mhlen} bytes is not secure; at least {MIN_SECURE_DIGEST} are needed")
    version = 0 if format == "v0" else 1
    if version == 0 and (code != SHA2_256 or mhlen not in (-1, 32)):
        raise InvalidInput("CIDv0 only supports sha2-256; drop --format=v0 or --mhtype")
    cid = CID(version, codec, multihash(code, data, mhlen))
    if cid.codec == DAG_PB:
        named_links(cid, data)
    await store.put_many((Block(cid, data),), kept=True, durability=Durability.DURABLE)
    return BlockStat(cid, len(data))


async def block_get(path: str | CID | ContentPath, session: BlockSession) -> bytes | memoryview:
    """The bytes of one block. Raises PathError, NotFound. Cancellation: safe."""
    cid = await resolve(path, session)
    if cid.is_identity:
        return cid.identity_data
    ready = session.get_if_ready(cid)
    return await session.get(cid) if ready is None else ready


async def block_stat(path: str | CID | ContentPath, session: BlockSession) -> BlockStat:
    """CID and size of one block, fetching it if necessary. Raises as block_get()."""
    cid = await resolve(path, session)
    return BlockStat(cid, len(await block_get(cid, session)))
