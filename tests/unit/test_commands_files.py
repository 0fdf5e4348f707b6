"""The files commands on a node: Kubo's t0250 line by line with its CIDs, errors, formats and flushes."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.commands.bind import BadCall
from cidery.core.adding.add import AddOptions, add_root
from cidery.errors import InvalidInput, NotFound
from cidery.mfs.path import BadPath
from cidery.mfs.tree import AlreadyThere, NoSuchFile, WrongKind
from cidery.unixfs.profile import UNIXFS_V0_2015
from shell import Shell

EMPTY = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
# Import options, options of mkdir and write, option of write only, CIDs of /, /cats, the file written, the one cut off
T0250 = [
    (
        {},
        "",
        "",
        "QmcwKfTMCT7AaeiD92hWjnZn9b6eh9NxnhfSzN5x2vnDpt",
        "Qma88m8ErTGkZHbBWGqy1C7VmEmX8wwNDWNpGyCaNmEgwC",
        "QmQdQt9qooenjeaNhiKHF3hBvmNteB4MQBtgu3jxgf9c7i",
        "QmPVnT9gocPbqzN4G6SMp8vAPyzcjDbUJrNdKgzQquuDg4",
    ),
    (
        {},
        "",
        "--raw-leaves",
        "QmTHzLiSouBHVTssS8xRzmfWGAvTGhPEjtPdB6pWMQdxJX",
        "QmPJkzbCoBuL379TbHgwF1YbVHnKgiDa5bjqYhe6Lovdms",
        "bafybeibkrazpbejqh3qun7xfnsl7yofl74o4jwhxebpmtrcpavebokuqtm",
        "bafybeigwhb3q36yrm37jv5fo2ap6r6eyohckqrxmlejrenex4xlnuxiy3e",
    ),
    (
        {},
        "--cid-version=1",
        "",
        "QmTLdTaZNj8Mvq1cgYup59ZFJFv1KxptouFSZUZKeq7X3z",
        "bafybeihsqinttigpskqqj63wgalrny3lifvqv5ml7igrirdhlcf73l3wvm",
        "bafybeibkrazpbejqh3qun7xfnsl7yofl74o4jwhxebpmtrcpavebokuqtm",
        "bafybeigwhb3q36yrm37jv5fo2ap6r6eyohckqrxmlejrenex4xlnuxiy3e",
    ),
    (
        {"CidVersion": 1, "UnixFSRawLeaves": True},
        "",
        "",
        "bafybeickjecu37qv6ue54ofk3n4rpm4g4abuofz7yc4qn4skffy263kkou",
        "bafybeihsqinttigpskqqj63wgalrny3lifvqv5ml7igrirdhlcf73l3wvm",
        "bafybeibkrazpbejqh3qun7xfnsl7yofl74o4jwhxebpmtrcpavebokuqtm",
        "bafybeigwhb3q36yrm37jv5fo2ap6r6eyohckqrxmlejrenex4xlnuxiy3e",
    ),
    (
        {"CidVersion": 1, "UnixFSRawLeaves": True, "HashFunction": "blake2b-256"},
        "",
        "",
        "bafykbzaceaebvwrjdw5rfhqqh5miaq3g42yybnrw3kxxxx43ggyttm6xn2zek",
        "bafykbzaceaqvpxs3dfl7su6744jgyvifbusow2tfixdy646chasdwyz2boagc",
        "bafykbzaceca45w2i3o3q3ctqsezdv5koakz7sxsw37ygqjg4w54m2bshzevxy",
        "bafykbzaceadeu7onzmlq7v33ytjpmo37rsqk2q6mzeqf5at55j32zxbcdbwig",
    ),
]


def _configured(repo: Path, **imports: object) -> None:
    """A repository whose Import section says so beside Kubo's old defaults."""
    from cidery.node.create import create_repository

    create_repository(repo, profiles=["test", "unixfs-v0-2015"])
    config = json.loads((repo / "config").read_text())
    config["Import"].update(imports)
    (repo / "config").write_text(json.dumps(config))


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    _configured(tmp_path / "repo")
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        yield Shell(node.api)


async def _added(node: cidery.Node, data: bytes, raw: bool) -> str:
    """A file of one leaf, as ``add`` with or without --raw-leaves makes it."""
    return str(await add_root([data], node.api.store, AddOptions(UNIXFS_V0_2015._replace(raw_leaves=raw))))


@pytest.mark.parametrize(("imports", "every", "raw", "root", "cats", "file", "cut"), T0250)
async def test_kubos_sequence_gives_kubos_cids(
    tmp_path: Path, imports: dict[str, object], every: str, raw: str, root: str, cats: str, file: str, cut: str
) -> None:
    _configured(tmp_path / "repo", **imports)
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        run = Shell(node.api).run
        raw_added = bool(raw or every or imports)
        foo, baz = await _added(node, b"foo\n", raw_added), await _added(node, b"baz\n", raw_added)
        await run(f"files mkdir {every} /cats")
        with pytest.raises(AlreadyThere):
            await run(f"files mkdir {every} /")
        await run(f"files cp /ipfs/{foo} /cats/file1")
        assert await run("files ls -l /cats") == f"file1\t{foo}\t4\n"
        await run(f"files mkdir {every} -p /cats/this/is/a/dir")
        await run(f"files cp /ipfs/{baz} /cats/this/is/a/dir/file3")
        await run("files rm /cats/this/is/a/dir/file3")
        await run("files rm -r /cats/this/is/a/dir")
        await run(f"files write {every} {raw} --create /cats/ipfs", b"ipfs rocks\n")
        await run(f"files write {every} {raw} -o 5 /cats/ipfs", b"is super cool\n")
        assert await run("files read /cats/ipfs") == "ipfs is super cool\n"
        assert await run("files stat --hash /cats/ipfs") == f"{file}\n"
        await run(f"files write {every} {raw} --create /fun", b"foobar\n")
        await run(f"files write {every} {raw} --offset 50 /fun", b"blah\n")
        assert await run("files read /fun") == "foobar\n" + "\0" * 43 + "blah\n"
        await run("files rm /fun")
        await run(f"files write {every} {raw} -f=false -e /cats/walrus", b"testing\n")
        assert await run("files stat --hash /") == f"{root}\n"
        assert await run("files stat --hash /cats") == f"{cats}\n"
        await run("files flush /")
        await run("files mv /cats/this/is /cats/")
        await run("files mv /cats/is /")
        await run("files mv /is /cats")
        assert await run("files ls /cats") == "file1\nipfs\nis\nthis\nwalrus\n"
        await run("files rm -r /cats")
        await run(f"files write {every} {raw} --create /cats", b"some content\n")
        await run(f"files write {every} {raw} --truncate /cats", b"fish\n")
        assert await run("files read /cats") == "fish\n"
        assert await run("files stat --hash /cats") == f"{cut}\n"


@pytest.mark.parametrize(
    ("version", "cid"),
    [
        (0, "QmPkwLJTYZRGPJ8Lazr9qPdrLmswPtUjaDbEpmR9jEh1se"),
        (1, "bafybeibu4i76qi26jhpgskqhivuactsvdsia44swpi7eaw45r7c3c3lhs4"),
    ],
)
async def test_a_directory_of_100_files_is_sharded_as_kubos(tmp_path: Path, version: int, cid: str) -> None:
    _configured(tmp_path / "repo", UnixFSHAMTDirectorySizeThreshold="1B")
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        run = Shell(node.api).run
        await run(f"files mkdir --cid-version={version} /foo")
        for number in range(100, 0, -1):
            # Kubo's files follow an explicit Import.CidVersion, ours the directory they are in
            await run(f"files write --cid-version=0 --flush=false --create /foo/file{number}", b"%d\n" % number)
        assert await run("files stat --hash /foo") == f"{cid}\n"
        names = [f"file{number}" for number in range(1, 101)]
        assert (await run("files ls /foo")).split() == sorted(names)
        unsorted = (await run("files ls -U /foo")).split()
        assert unsorted != sorted(names) and sorted(unsorted) == sorted(names)
        assert await run("files read /foo/file65") == "65\n"


async def test_an_empty_tree_is_the_empty_directory(shell: Shell) -> None:
    assert await shell.run("files stat --hash /") == f"{EMPTY}\n"
    assert await shell.run("files ls") == ""


async def test_stat_prints_what_kubo_prints(shell: Shell) -> None:
    await shell.run("files write -e /a", b"foo\n")
    hash_ = (await shell.run("files stat --hash /a")).strip()
    assert await shell.run("files stat /a") == (
        f"{hash_}\nSize: 4\nCumulativeSize: 62\nChildBlocks: 1\nType: file\nMode: not set (not set)\nMtime: not set\n"
    )
    assert await shell.run("files stat --size /a") == "62\n"
    assert await shell.run("files stat --format=<type>,<childs> /a") == "file,1\n"
    with pytest.raises(BadCall):
        await shell.run("files stat --hash --size /a")
    assert (await shell.run(f"files stat --with-local /ipfs/{hash_}")).endswith("Local: 62 B of 62 B (100.00%)\n")


async def test_mode_and_time_are_kept_and_shown(shell: Shell) -> None:
    await shell.run("files write -e -p /d/a", b"foo\n")
    for path, kind in (("/d/a", "-"), ("/d", "d")):
        await shell.run(f"files chmod 0751 {path}")
        await shell.run(f"files touch --mtime=1604320482 --mtime-nsecs=7 {path}")
        shown = await shell.run(f"files stat {path}")
        assert f"Mode: {kind}rwxr-x--x (0751)\nMtime: 2 Nov 2020, 12:34:42 UTC\n" in shown
    assert await shell.run("files stat --format=<mtime-secs>.<mtime-nsecs> /d/a") == "1604320482.7\n"
    await shell.run("files write -o 1 /d/a", b"ix")
    assert await shell.run("files read /d/a") == "fix\n"
    assert await shell.run("files stat --format=<mode-octal> /d/a") == "0751\n"
    assert await shell.run("files stat --format=<mtime-secs> /d/a") != "1604320482\n", "a write is a modification"
    await shell.run("files touch /d")
    assert await shell.run("files stat --format=<mtime-secs> /d") != "1604320482\n"
    with pytest.raises(BadCall):
        await shell.run("files chmod 0999 /d")


async def test_a_mode_on_a_raw_file_wraps_its_bytes(shell: Shell) -> None:
    await shell.run("files write -e --cid-version=1 /raw", b"bytes")
    assert (await shell.run("files stat --hash /raw")).startswith("bafkrei")
    await shell.run("files chmod 0640 /raw")
    assert (await shell.run("files stat --hash /raw")).startswith("bafybei")
    assert await shell.run("files read /raw") == "bytes"


async def test_chcid_changes_a_directory_and_what_is_made_in_it(shell: Shell) -> None:
    await shell.run("files mkdir /d")
    await shell.run("files chcid --hash=blake2b-256 /d")
    assert (await shell.run("files stat --hash /d")).startswith("bafykbzace")
    await shell.run("files write -e /d/new", b"x")
    assert (await shell.run("files stat --hash /d/new")).startswith("bafk2bzace")
    with pytest.raises(WrongKind, match=r"Import\.CidVersion"):
        await shell.run("files chcid --cid-version=1 /")
    with pytest.raises(WrongKind):
        await shell.run("files chcid --cid-version=1 /d/new")


async def test_ranges_are_read(shell: Shell) -> None:
    await shell.run("files write -e /a", bytes(range(97, 123)))
    assert await shell.run("files read -o 23 /a") == "xyz"
    assert await shell.run("files read -o 1 -n 2 /a") == "bc"
    assert await shell.run("files read -n 0 /a") == ""
    assert await shell.run("files read -n 999 -o 26 /a") == ""
    with pytest.raises(InvalidInput, match=r"past end of file \(27 > 26\)"):
        await shell.run("files read -o 27 /a")
    with pytest.raises(BadCall):
        await shell.run("files read -o -1 /a")


async def test_copies_replace_only_when_forced(shell: Shell) -> None:
    await shell.run("files write -e /a", b"a")
    await shell.run("files write -e /b", b"b")
    with pytest.raises(AlreadyThere):
        await shell.run("files cp /a /b")
    await shell.run("files cp --force /a /b")
    assert await shell.run("files read /b") == "a"
    await shell.run("files mkdir /d")
    await shell.run("files cp /a /d/")
    assert await shell.run("files ls /d") == "a\n"
    with pytest.raises(WrongKind):
        await shell.run("files cp --force /a /d")
    await shell.run("files cp -p /d /x/y/z")
    assert await shell.run("files ls /x/y/z") == "a\n"
    with pytest.raises(NoSuchFile):
        await shell.run("files cp /a /missing/a")


async def test_moves_refuse_what_would_lose_something(shell: Shell) -> None:
    await shell.run("files write -e -p /d/e/f", b"1")
    await shell.run("files write -e /f", b"2")
    with pytest.raises(WrongKind):
        await shell.run("files mv /d /d/e")
    with pytest.raises(WrongKind):
        await shell.run("files mv / /d")
    with pytest.raises(NoSuchFile):
        await shell.run("files mv /missing /d")
    await shell.run("files mv /d/e /d/e")
    await shell.run("files mv /f /d/e/f")
    assert await shell.run("files read /d/e/f") == "2"
    assert await shell.run("files ls /") == "d\n"


async def test_a_moved_directory_keeps_what_was_not_flushed(shell: Shell) -> None:
    await shell.run("files mkdir -p /a/b")
    await shell.run("files write --flush=false -e /a/b/f", b"1")
    await shell.run("files mv --flush=false /a/b /c")
    await shell.run("files write --flush=false -e /c/g", b"2")
    assert await shell.run("files ls /c") == "f\ng\n"
    assert await shell.run("files ls /a") == ""


async def test_removing_asks_for_the_right_options(shell: Shell) -> None:
    await shell.run("files write -e -p /d/f", b"1")
    with pytest.raises(WrongKind, match="use -r"):
        await shell.run("files rm /d")
    with pytest.raises(WrongKind):
        await shell.run("files rm -r /")
    with pytest.raises(BadCall):
        await shell.run("files rm --flush=false /d")
    with pytest.raises(NotFound):
        await shell.run("files rm /nothing")
    await shell.run("files rm --force /nothing /d /no/such/parent")
    assert await shell.run("files ls") == ""


@pytest.mark.parametrize("path", ["a", "", "../a", "/..", "/a/../../b", "/a\0b", "/" + "n" * 256, "/a" * 1025])
async def test_paths_that_lead_elsewhere_are_refused(shell: Shell, path: str) -> None:
    from cidery.commands.bind import bind
    from cidery.commands.context import Context
    from cidery.commands.definition import Output, load
    from cidery.commands.registry import find

    for name in ("mkdir", "ls", "rm", "read", "flush"):
        found = find(["files", name])
        assert found is not None
        with pytest.raises((BadPath, BadCall)):
            call = bind(found.command, [path], [])
            if not path and name in ("ls", "flush"):
                raise BadPath(path, "empty means the root there")
            done = load(found.command.run)(Context(shell.api, shell.api.path), call)
            if found.command.output is Output.STREAM:
                assert [said async for said in done] == []
            await done


async def test_writes_refuse_directories_and_missing_files(shell: Shell) -> None:
    await shell.run("files mkdir /d")
    for path, error in (("/d", WrongKind), ("/", WrongKind), ("/d/", WrongKind), ("/x", NoSuchFile)):
        with pytest.raises(error):
            await shell.run(f"files write {path}", b"x")
    with pytest.raises(NoSuchFile):
        await shell.run("files write -e /no/parent/x", b"x")
    with pytest.raises(BadCall):
        await shell.run("files write -o -1 -e /x", b"x")
    await shell.run("files write -e -p -n 2 /no/parent/x", b"abc")
    assert await shell.run("files read /no/parent/x") == "ab"
    with pytest.raises(InvalidInput):
        await shell.run("files write -e /no/parent/x/y", b"x")


async def test_chroot_replaces_the_tree(shell: Shell) -> None:
    await shell.run("files write -e -p /d/f", b"1")
    inner = (await shell.run("files stat --hash /d")).strip()
    with pytest.raises(BadCall, match="--confirm"):
        await shell.run("files chroot")
    said = await shell.run(f"files chroot --confirm {inner}")
    assert inner in said and "garbage collected" in said
    assert await shell.run("files ls") == "f\n"
    file = (await shell.run("files stat --hash /f")).strip()
    with pytest.raises(InvalidInput):
        await shell.run(f"files chroot --confirm {file}")
    with pytest.raises(NotFound):
        await shell.run("files chroot --confirm bafybeibdxtd5thfoitjmnfhxhywokebwdmwnuqgkzjjdjhwjz7qh77777a")
    await shell.run("files chroot --confirm")
    assert await shell.run("files stat --hash /") == f"{EMPTY}\n"


async def test_chroot_recovers_from_a_root_that_is_lost(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        await Shell(node.api).run("files write -e /a", b"1")
        root = await node.api.files.root()
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        await node.api.store.delete_many([root])
        with pytest.raises(NotFound):
            await Shell(node.api).run("files ls")
        assert str(root) in await Shell(node.api).run("files chroot --confirm")
        assert await Shell(node.api).run("files ls") == ""


async def test_the_tree_survives_closing_even_unflushed(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        await Shell(node.api).run("files write --flush=false -e -p /a/b", b"1")
    async with cidery.Node(tmp_path / "repo", read_only=True) as node:
        assert await Shell(node.api).run("files read /a/b") == "1"
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        assert await Shell(node.api).run("files ls /") == "a\n"
        assert not node.api.provisional.left_over() and not node.api.provisional.under_way()


async def test_a_changed_import_config_changes_the_form_of_the_root(tmp_path: Path) -> None:
    _configured(tmp_path / "repo")
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        await Shell(node.api).run("files mkdir /d")
        await Shell(node.api).run("files rm -r /d")
    config = json.loads((tmp_path / "repo" / "config").read_text())
    config["Import"]["CidVersion"] = 1
    (tmp_path / "repo" / "config").write_text(json.dumps(config))
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        assert (await Shell(node.api).run("files stat --hash /")).startswith("bafybeiczsscds")


async def test_chmod_keeps_the_permissions_and_nothing_else(shell: Shell) -> None:
    await shell.run("files write -e /f", b"foo\n")
    await shell.run("files chmod 0755 /f")
    plain = await shell.run("files stat --hash /f")
    for mode in ("4755", "2755", "1755", "7755"):
        await shell.run(f"files chmod {mode} /f")
        assert await shell.run("files stat --hash /f") == plain
