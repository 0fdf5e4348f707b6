"""Large files go out as parts of the store's files where the request takes them: the same bytes, nothing denied."""

import os
from pathlib import Path

import pytest

import cidery
from cidery.disk.file_part import FilePart
from cidery.errors import CideryError
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http.message import Request, bytes_of
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

DATA = os.urandom(5_500_000)
OPTIONS = GatewayOptions(fetches=False, no_dnslink=True)


async def got(node: cidery.Node, cid: str, *, takes_files: bool = True, part: str = "") -> tuple[int, bytes, int]:
    """Status, body, and how much of it came as parts of files."""
    headers = {"range": f"bytes={part}"} if part else {}
    request = Request("GET", f"/ipfs/{cid}", headers, takes_files=takes_files)
    response = await Site(node.api, OPTIONS).handle(request)
    if isinstance(response.body, bytes):
        return response.status, response.body, 0
    body, lent = b"", 0
    async for piece in response.body:
        lent += len(piece) if isinstance(piece, FilePart) else 0
        body += bytes_of(piece)
    return response.status, body, lent


async def test_all_of_a_large_file_is_lent_and_only_to_requests_that_take_files(
    node: cidery.Node, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    cid = str(await node.add(tmp_path / "file"))
    assert await got(node, cid) == (200, DATA, len(DATA))
    assert await got(node, cid, takes_files=False) == (200, DATA, 0)


@pytest.mark.parametrize(("first", "last"), [(0, 9), (1_048_570, 1_048_580), (5, 5_499_998), (3_000_000, 5_499_999)])
async def test_a_range_cuts_its_first_and_last_part(node: cidery.Node, tmp_path: Path, first: int, last: int) -> None:
    (tmp_path / "file").write_bytes(DATA)
    cid = str(await node.add(tmp_path / "file"))
    status, body, lent = await got(node, cid, part=f"{first}-{last}")
    assert status == 206 and body == DATA[first : last + 1] and lent == len(body)


async def test_several_ranges_are_the_same_bytes_with_and_without(node: cidery.Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    cid, parts = str(await node.add(tmp_path / "file")), "10-2000000,4000000-4000001,-7"
    status, body, lent = await got(node, cid, part=parts)
    assert status == 206 and lent == 1_999_991 + 2 + 7
    assert (await got(node, cid, takes_files=False, part=parts))[1] == body


async def test_a_slow_reader_is_lent_one_leaf_and_gets_the_others_as_bytes(
    node: cidery.Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidery.gateway.unixfs_file.SLOW_PART", -1.0)
    (tmp_path / "file").write_bytes(DATA)
    cid = str(await node.add(tmp_path / "file"))
    assert await got(node, cid) == (200, DATA, 1 << 20)


async def test_leaves_that_are_nodes_or_small_are_read(node: cidery.Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA[:1_000_000])
    for options in ({"profile": "unixfs-v0-2015"}, {"chunker": "size-20000"}):
        cid = str(await node.add(tmp_path / "file", **options))
        assert await got(node, cid) == (200, DATA[:1_000_000], 0)


async def test_a_leaf_that_is_denied_breaks_the_answer_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    leaf = CID.of(DATA[1_048_576 : 2 * 1_048_576], RAW)
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        cid = str(await node.add(tmp_path / "file"))
    (tmp_path / "repo" / "denylists").mkdir(exist_ok=True)
    (tmp_path / "repo" / "denylists" / "mine.deny").write_text(f"/ipfs/{leaf}\n")
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        await got(node, cid, part="3000000-")  # what was not hashed since the start is not lent
        status, body, _ = await got(node, cid, part="3000000-")
        assert (status, body) == (206, DATA[3_000_000:])
        with pytest.raises(CideryError, match="denied|denylist"):
            await got(node, cid)
