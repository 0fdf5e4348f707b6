"""A block of no bytes is known by its name: peers need not have it, and boxo up to 0.43 denies having its own."""

import asyncio
from pathlib import Path

import pytest

import cidery
from cidery.core.reading.blocks import block_get
from cidery.core.reading.resolve import ContentPath
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.multihash import BLAKE2B_256, SHA2_256, SHA2_512, multihash
from shell import Shell

HASHES = [SHA2_256, SHA2_512, BLAKE2B_256]


@pytest.mark.parametrize("code", HASHES)
async def test_it_is_not_asked_for_and_stored_once_read(tmp_path: Path, code: int) -> None:
    nothing = CID(1, RAW, multihash(code, b""))
    async with (
        cidery.Node(tmp_path / "a", profile="test") as other,
        cidery.Node(tmp_path / "b", profile="test") as reader,
    ):
        await reader.api.online.connect(Multiaddr.parse(other.api.online.identity().addresses[0]))
        assert (await reader.api.store.size_many([nothing])) == [None]
        async with asyncio.timeout(10), reader.api.session() as session:
            session.prefetch([nothing])
            assert bytes(await block_get(ContentPath(nothing), session)) == b""
        assert (await reader.api.store.size_many([nothing])) == [0]
        assert await Shell(reader.api).run(f"cat {nothing}") == ""


def test_only_hashes_of_nothing_name_nothing() -> None:
    assert CID(1, DAG_PB, multihash(SHA2_256, b"")).names_nothing
    assert not CID.of(b"x").names_nothing
