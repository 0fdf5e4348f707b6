"""Files added without a copy: their bytes are served while they are what they were, and never otherwise."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from cidery.blockstore.filestore import Filestore, Reference, ReferenceDamaged, References, Status, look
from cidery.blockstore.interface import Durability
from cidery.blockstore.memory import MemoryStore
from cidery.commands.bind import BadCall
from cidery.core.adding.ingest import BIG_FILE
from cidery.core.adding.items import Bytes
from cidery.core.session import FileChanged
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.unixfs.profile import ImportOptionError
from shell import Shell


def noise(size: int) -> bytes:
    return Cipher(ChaCha20(bytes(32), bytes(16)), None).encryptor().update(bytes(size))


def raw(data: bytes) -> CID:
    return CID.of(data, RAW)


def reference(path: Path, data: bytes, offset: int, length: int) -> Reference:
    found = path.stat()
    multihash = raw(data[offset : offset + length]).multihash
    return Reference(multihash, str(path), offset, length, found.st_size, found.st_mtime_ns)


async def root_of(shell: Shell, line: str) -> str:
    return (await shell.run(line)).strip().splitlines()[-1]


@pytest.mark.parametrize("options", ["", "--chunker=rabin", "--chunker=size-100000", "--trickle --chunker=buzhash"])
@pytest.mark.parametrize("size", [0, 1, 3_000_000, BIG_FILE + 3_000_000])
async def test_a_file_stays_where_it_is_and_is_read_from_there(
    shell: Shell, tmp_path: Path, options: str, size: int
) -> None:
    path, data = tmp_path / "file", noise(size)
    path.write_bytes(data)
    copied = await root_of(shell, f"add -q -n --raw-leaves {options} {path}")
    root = await root_of(shell, f"add -q --nocopy {options} {path}")
    assert root == copied
    assert (await shell.api.store.stat()).bytes < 10_000
    assert (await shell.run(f"cat {root}")).encode("latin-1") == data
    await shell.run("filestore verify")


async def test_folders_keep_small_files_uncopied_too(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(30):
        (folder / f"f{number:02}").write_bytes(b"%d" % number)
    await shell.run(f"add -q -r --nocopy {folder}")
    lines = (await shell.run("filestore ls --file-order")).splitlines()
    assert [line.split()[2] for line in lines] == [f"folder/f{number:02}" for number in range(30)]
    assert (await shell.api.store.stat()).blocks == 1
    assert len((await shell.run("refs local")).splitlines()) == 31


async def test_a_changed_file_is_named_and_its_bytes_are_never_given(shell: Shell, tmp_path: Path) -> None:
    path, data = tmp_path / "file", noise(3_000_000)
    path.write_bytes(data)
    root = await root_of(shell, f"add -q --nocopy {path}")
    path.write_bytes(data[:2_000_000] + b"!" + data[2_000_001:])
    assert (await shell.run(f"cat -l 1048576 {root}")).encode("latin-1") == data[:1_048_576]
    with pytest.raises(FileChanged, match="the file was changed; restore the file"):
        await shell.run(f"cat {root}")
    assert (await shell.run("filestore verify")).count("changed ") == 1
    path.unlink()
    with pytest.raises(FileChanged, match="the file is gone"):
        await shell.run(f"cat {root}")


async def test_a_file_that_moved_is_mended_by_adding_it_again(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(noise(2_000_000))
    root = await root_of(shell, f"add -q --nocopy {tmp_path / 'old'}")
    os.rename(tmp_path / "old", tmp_path / "new")
    assert (await shell.run("filestore verify")).count("no-file ") == 2
    assert await root_of(shell, f"add -q --nocopy {tmp_path / 'new'}") == root
    assert (await shell.run("filestore verify")).count("ok ") == 2


async def test_bad_references_are_forgotten_when_told_to(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"here")
    await shell.run(f"add -q --nocopy {tmp_path / 'file'}")
    (tmp_path / "file").unlink()
    assert (await shell.run("filestore verify --remove-bad-blocks")).startswith("no-file ")
    assert await shell.run("filestore verify") == ""
    assert (await shell.run(f"filestore ls {raw(b'here')}")) == f"{raw(b'here')}: no block in a file of yours\n"


async def test_a_stored_copy_goes_first_and_shows_among_the_dups(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"both")
    root = await root_of(shell, f"add -q --nocopy {tmp_path / 'file'}")
    assert await shell.run("filestore dups") == ""
    await root_of(shell, f"add -q {tmp_path / 'file'}")
    assert await shell.run("filestore dups") == f"{root}\n"
    (tmp_path / "file").unlink()
    assert await shell.run(f"cat {root}") == "both"


async def test_only_hashing_notes_nothing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    await shell.run(f"add -q -n --nocopy {tmp_path / 'file'}")
    assert await shell.run("filestore ls") == ""


async def test_what_has_no_file_or_no_raw_leaves_cannot_stay(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(BadCall, match="Abspath"):
        await shell.run("add --nocopy", b"data")
    for options in ("--raw-leaves=false", "--mode=0600"):
        with pytest.raises(ImportOptionError, match="raw leaves"):
            await shell.run(f"add --nocopy {options} {tmp_path / 'file'}")


async def test_a_collection_leaves_pinned_files_alone(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(3_000_000))
    root = await root_of(shell, f"add -q --nocopy {tmp_path / 'file'}")
    async for _ in shell.api.collector.garbage():
        continue
    assert (await shell.run(f"cat {root}")).encode("latin-1") == noise(3_000_000)


async def test_the_layer_is_a_block_store(tmp_path: Path) -> None:
    path, data = tmp_path / "file", noise(5000)
    path.write_bytes(data)
    references, inner = References(tmp_path / "table"), MemoryStore()
    assert references.page(b"") == [] and references.remove([b"x"]) == [False]
    blocks = Filestore(inner, references)
    references.put([reference(path, data, 0, 2000), reference(path, data, 2000, 3000)])
    await blocks.put_many([Block(raw(b"in"), b"in")], kept=True, durability=Durability.DURABLE)
    cids = [raw(data[2000:]), raw(b"absent"), raw(b"in"), raw(data[:2000])]
    assert blocks.get_if_ready(cids[0]) is None
    assert await blocks.get_many(cids) == [data[2000:], None, b"in", data[:2000]]
    assert await blocks.size_many(cids) == [3000, None, 2, 2000]
    keys = [key async for page in blocks.keys() for key in page]
    assert keys == sorted(cid.multihash for cid in cids if cid != raw(b"absent"))
    assert [key async for page in blocks.keys(keys[0]) for key in page] == keys[1:]
    assert await blocks.delete_many(cids[:3]) == [True, False, True]
    assert await blocks.get_many(cids) == [None, None, None, data[:2000]]
    path.write_bytes(data[:100])
    assert await blocks.size_many(cids[3:]) == await blocks.get_many(cids[3:]) == [None]
    assert await blocks.why(cids[1]) is None
    await blocks.close()


def test_other_processes_read_the_table_and_an_absent_one_is_empty(tmp_path: Path) -> None:
    assert References(tmp_path / "none", read_only=True).get(b"x") is None
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_bytes(b"data")
    writer = References(tmp_path / "table")
    noted = reference(tmp_path / "file", b"data", 0, 4)
    writer.put([noted])
    writer.close()
    reader = References(tmp_path / "table", read_only=True)
    assert reader.get(noted.multihash) == noted
    reader.close()


def test_pipes_folders_and_short_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    noted = reference(path, b"data", 0, 4)
    path.write_bytes(b"da")
    assert look(noted)[1][1:] == (Status.CHANGED, "the file became shorter")
    path.write_bytes(b"dato")
    assert look(noted)[1].status is Status.CHANGED
    path.unlink()
    os.mkfifo(path)
    assert look(noted)[1][1:] == (Status.CHANGED, "it is no longer a file")
    assert look(noted._replace(path="a\0b"))[1].status is Status.FILE_ERROR


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    table = References(tmp_path / "table")
    table.put([Reference(b"key", "", 0, 0, 0, 0)])
    with pytest.raises(ReferenceDamaged):
        table.get(b"key")
    table.close()


async def test_uploads_that_name_their_files_stay_there(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"here")
    item = Bytes(b"here", "file", abspath=str(tmp_path / "file"))
    assert await shell.run("add -q --nocopy", item) == f"{raw(b'here')}\n"
    assert (await shell.api.store.stat()).blocks == 0
    assert await shell.run("add -q", item) == f"{raw(b'here')}\n"
    assert (await shell.api.store.stat()).blocks == 1


async def test_a_changed_file_is_missing_where_sizes_are_asked_and_a_touched_one_is_not(
    shell: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    await shell.run(f"add -q --nocopy {path}")
    os.utime(path, ns=(1, 1))
    assert await shell.api.blocks.size_many([raw(b"before")]) == [6]
    path.write_bytes(b"after!")
    assert await shell.api.blocks.size_many([raw(b"before")]) == [None]
