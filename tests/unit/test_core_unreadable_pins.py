"""Pins of blocks whose links cannot be read: nothing below them goes, and whoever asks is told which they are."""

import re
from pathlib import Path

import pytest

import cidery
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.registry import find
from cidery.commands.run.repo_import import ImportIncomplete, import_kubo
from cidery.core.keeping.block_removal import SomeNotRemoved
from cidery.core.keeping.pin import NotPinned, PinsBroken
from cidery.ipld import dag_cbor, dag_pb
from cidery.ipld.car import encode_header, encode_section_head
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, GIT_RAW, RAW
from cidery.multiformats.multihash import SHA1
from cidery.repo.gc.collection import GcStopped
from cidery.repo.pins import Pin
from kubo_repo import pin_record, write_repo
from shell import Shell

BITCOIN_BLOCK = 0xB0
LEAF = b"leaf"
UNKNOWN = b"a header that only a Bitcoin node can read"


async def put(shell: Shell, data: bytes, codec: str, **options: str) -> str:
    words = " ".join(f"--{name}={text}" for name, text in options.items())
    return (await shell.run(f"block put --cid-codec={codec} {words}", data)).strip()


def git(kind: str, body: bytes) -> bytes:
    return f"{kind} {len(body)}\0".encode() + body


async def commit_of_git(shell: Shell) -> list[str]:
    """A commit, its tree and its blob, from the top."""
    objects = [git("blob", b"hello\n")]
    objects.append(git("tree", b"100644 a\0" + CID.of(objects[0], GIT_RAW, hash_code=SHA1).decoded_multihash().digest))
    tree = CID.of(objects[1], GIT_RAW, hash_code=SHA1).decoded_multihash().digest.hex()
    objects.append(git("commit", f"tree {tree}\nauthor a <a@example.org> 0 +0000\n\nfirst\n".encode()))
    return [await put(shell, one, "git-raw", mhtype="sha1") for one in reversed(objects)]


async def test_a_pinned_commit_of_git_keeps_its_tree_and_its_blobs(shell: Shell) -> None:
    commit, tree, blob = await commit_of_git(shell)
    await shell.run(f"pin add {commit}")
    await shell.run("repo gc")
    assert (await shell.run(f"refs -r {commit}")).split() == [tree, blob]
    assert blob in await shell.run("pin ls --type=indirect")
    assert await shell.run("pin verify") == ""


async def unreadable_pin(shell: Shell) -> tuple[CID, CID]:
    """A pinned node, and the block of an unknown codec below it."""
    below = CID.of(UNKNOWN, BITCOIN_BLOCK)
    root = dag_cbor.encode({"block": below, "leaf": CID.of(LEAF)})
    for data in (LEAF, UNKNOWN):
        await put(shell, data, "raw")
    cid = CID.of(root, DAG_CBOR)
    await put(shell, root, "dag-cbor", pin="true")
    assert shell.api.pins.get(cid) is not None
    return cid, below


async def test_a_block_of_an_unknown_codec_below_a_pin_stops_the_collection_and_is_named(shell: Shell) -> None:
    root, below = await unreadable_pin(shell)
    garbage = await put(shell, b"garbage", "raw")
    with pytest.raises(GcStopped, match="nothing was removed: 1 blocks .* links to is not known here") as caught:
        await shell.run("repo gc")
    assert str(below) in str(caught.value)
    assert await shell.run(f"block get {garbage}") == "garbage"
    await shell.run(f"pin rm {root}")
    await shell.run("repo gc")
    assert garbage not in await shell.run("refs local")


async def test_what_hangs_below_mutable_files_and_cannot_be_read_stops_the_collection_too(shell: Shell) -> None:
    below = CID.of(UNKNOWN, BITCOIN_BLOCK)
    await put(shell, UNKNOWN, "raw")
    node = dag_pb.encode([dag_pb.Link(below, "x", 1)], b"\x08\x01")
    await put(shell, node, "dag-pb")
    await shell.run(f"files cp /ipfs/{CID.of(node, DAG_PB)} /folder")
    with pytest.raises(GcStopped, match=str(below)):
        await shell.run("repo gc")


async def test_pin_ls_and_pin_verify_name_what_cannot_be_read_and_go_on(shell: Shell) -> None:
    root, below = await unreadable_pin(shell)
    invalid = CID.of(b"\xa2no cbor", DAG_CBOR)
    await put(shell, b"\xa2no cbor", "dag-cbor", pin="true")
    sound = (await shell.run("add -Q --chunker=size-4", b"some content")).strip()
    listed = await shell.run("pin ls")
    for pin, at in ((root, below), (invalid, invalid)):
        assert re.search(f"^{pin} recursive .*{at}.* links to is not known", listed, re.MULTILINE)
    assert f"{sound} recursive\n" in listed and f"{CID.of(b'some')} indirect\n" in listed
    assert f"{CID.of(LEAF)} indirect\n" in listed
    assert len(await shell.run("pin ls --stream")) > len(listed)  # the lines of pins come before they are walked
    assert "not known" not in await shell.run("pin ls --type=recursive")
    with pytest.raises(PinsBroken):
        await shell.run("pin verify")
    with pytest.raises(NotPinned, match="as far as can be told"):
        await shell.run(f"pin ls {CID.of(b'elsewhere')}")


async def test_a_block_that_may_be_below_an_unreadable_pin_is_not_removed(shell: Shell) -> None:
    await unreadable_pin(shell)
    other = await put(shell, b"other", "raw")
    with pytest.raises(SomeNotRemoved):
        await shell.run(f"block rm {other}")
    assert await shell.run(f"block get {other}") == "other"


async def test_an_import_of_kubo_names_what_below_a_pin_is_missing_or_cannot_be_read(
    shell: Shell, tmp_path: Path
) -> None:
    below, missing = CID.of(UNKNOWN, BITCOIN_BLOCK), CID.of(b"left out")
    root = dag_cbor.encode([below, missing, CID.of(LEAF)])
    cid = CID.of(root, DAG_CBOR)
    blocks = [(one.multihash, data) for one, data in ((cid, root), (below, UNKNOWN), (CID.of(LEAF), LEAF))]
    old, new = CID.of(LEAF, DAG_PB, version=0), CID.of(LEAF, DAG_PB)
    pins = [pin_record(1, cid), pin_record(2, old, recursive=False, name="old"), pin_record(3, new, recursive=False)]
    source = write_repo(tmp_path / "kubo", blocks, pins)
    printed: list[str] = []
    with pytest.raises(ImportIncomplete, match="2 things could not be imported"):
        found = find(["repo", "import-kubo"])
        assert found is not None
        call = bind(found.command, [str(source)], [])
        async for line in import_kubo(Context(shell.api, shell.api.path), call):
            printed.append(str(line.get("Msg", "")))
    (one, two) = sorted(line for line in printed if line.startswith("not imported"))
    assert {str(below) in one + two, str(missing) in one + two} == {True}
    assert [pin.cid for pin in shell.api.pins.every()] == [new, cid, old]
    assert shell.api.pins.get(old) == Pin(old, False, "old", shell.api.pins.get(old).created)  # type: ignore[union-attr]


async def test_an_archive_with_text_that_is_not_utf_8_and_hashes_of_ethereum_is_pinned_walked_and_exported(
    shell: Shell,
) -> None:
    leaf = CID.of(LEAF, RAW, hash_code=0x1B)
    root = b"\xa2aa\x61\xffab" + b"\xd8\x2a" + b"\x58" + bytes([len(leaf.encode()) + 1]) + b"\0" + leaf.encode()
    cid = CID.of(root, DAG_CBOR)
    archive = encode_header([cid])
    for one, data in ((cid, root), (leaf, LEAF)):
        archive += encode_section_head(one, len(data)) + data
    assert "pinned" in await shell.run("dag import", archive) or shell.api.pins.get(cid) is not None
    await shell.run("repo gc")
    assert (await shell.run(f"refs -r {cid}")).strip() == str(leaf)
    assert (await shell.run(f"dag export {cid}")).encode("latin-1") == archive
    assert str(len(root) + len(LEAF)) in await shell.run(f"dag stat {cid}")
    with pytest.raises(cidery.errors.IntegrityError, match="not UTF-8"):
        await shell.run(f"dag get {cid}")
