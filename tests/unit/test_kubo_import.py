"""Importing repositories in Kubo's form that a test wrote; a real one is in tests/interop/test_kubo_repository.py."""

import asyncio
import base64
import fcntl
import hashlib
import json
import os
from contextlib import aclosing
from pathlib import Path

import pytest

import cidery
from cidery.blockstore.interface import Durability
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.registry import find
from cidery.commands.run.repo_import import ImportIncomplete, import_kubo
from cidery.core import kubo_blocks
from cidery.core.kubo_import import ImportOptions, KuboImport
from cidery.identity.keys import PrivateKey
from cidery.ipld import dag_cbor
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipns.name import format_name
from cidery.ipns.record import sign
from cidery.kubo.config_map import map_config
from cidery.kubo.repository import KuboRepository, KuboRunning, KuboUnreadable
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, RAW
from cidery.namesys.publisher import PublishOptions
from cidery.repo.config_file import read_raw, write_raw
from cidery.repo.gc.collection import GcStopped
from cidery.repo.keystore import Keystore, file_name
from cidery.repo.pins import Pin
from kubo_repo import block_path, pin_record, reference_record, write_block, write_repo
from shell import Shell

ETH_BLOCK = 0x90
"""A codec that is known by name only."""
PEER = "12D3KooWGRMVjhzu6GMtfW1RXCuW4jGSmNhEKGorfMiWE2uSHjHY"


def raw(data: bytes) -> CID:
    return CID.of(data, RAW)


def stored(*texts: bytes) -> list[tuple[bytes, bytes]]:
    return [(raw(text).multihash, text) for text in texts]


def state_of(tree: Path) -> str:
    """Of every file and folder: name, bytes, mode and times of change."""
    found = hashlib.sha256()
    for path in sorted([tree, *tree.rglob("*")]):
        info = path.lstat()
        found.update(repr((str(path), info.st_mtime_ns, info.st_ctime_ns, info.st_mode, info.st_size)).encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


async def run(shell: Shell, source: Path, options: str = "") -> str:
    """What the import prints; nothing may be wrong."""
    before = state_of(source)
    said = await shell.run(f"repo import-kubo {options} {source}")
    assert state_of(source) == before
    return said


async def run_with_faults(shell: Shell, source: Path, options: str = "") -> list[str]:
    """What could not be imported, one line each."""
    before = state_of(source)
    found = find(["repo", "import-kubo"])
    call = bind(found.command, [str(source)], [(options, "true")] if options else [])
    lines = []
    with pytest.raises(ImportIncomplete) as caught:
        async for line in import_kubo(Context(shell.api, shell.api.path), call):
            lines.append(line)
    assert state_of(source) == before
    faults = [line["Msg"] for line in lines if line.get("Msg", "").startswith("not imported: ")]
    assert lines[-1]["Summary"]["Faults"] == caught.value.faults == len(faults)
    return faults


async def test_blocks_and_pins_come_over_and_the_source_stays_as_it_is(shell, tmp_path):
    pins = [pin_record(1, raw(b"one"), name="site"), pin_record(2, raw(b"two"), recursive=False)]
    source = write_repo(tmp_path / "kubo", stored(b"one", b"two", b"loose"), pins)
    said = await run(shell, source)
    assert "blocks:        3 imported" in said and "pins:          2 imported" in said
    assert await shell.run("pin ls --type=recursive --names") == f"{raw(b'one')} recursive site\n"
    assert await shell.run("pin ls --type=direct") == f"{raw(b'two')} direct\n"
    assert await shell.api.store.get_many([raw(b"one"), raw(b"loose")]) == [b"one", b"loose"]
    assert shell.api.store.is_kept(raw(b"loose")) is True


async def test_an_import_is_a_job(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", stored(b"one", b"two"), [])
    await run(shell, source)
    (job,) = shell.api.jobs.every()
    assert (job.kind, job.title, str(job.state), job.blocks) == ("import", str(source), "done", 2)
    assert job.detail["command"] == ["repo", "import-kubo", str(source)]


async def test_a_second_run_reads_no_block_and_changes_nothing(shell, tmp_path, monkeypatch):
    source = write_repo(tmp_path / "kubo", stored(b"one", b"two"), [pin_record(1, raw(b"one"), name="site")])
    await run(shell, source)
    monkeypatch.setattr(kubo_blocks, "read_block", None)
    said = await run(shell, source)
    assert "blocks:        0 imported (0 B), 2 here already" in said
    assert "pins:          0 imported, 1 here already" in said


async def test_an_interrupted_import_goes_on(shell, tmp_path, monkeypatch):
    texts = [b"block %d" % number for number in range(300)]
    source = write_repo(tmp_path / "kubo", stored(*texts), [pin_record(1, raw(texts[0]))])
    monkeypatch.setattr(kubo_blocks, "PAGE", 1)
    seen = asyncio.Event()
    with KuboRepository.open(source) as opened:
        first = KuboImport(shell.api, opened, ImportOptions())

        async def consume() -> None:
            async with aclosing(first.run()) as steps:
                async for _ in steps:
                    if first.report.blocks.imported >= 100:
                        seen.set()
                        await asyncio.Event().wait()

        task = asyncio.create_task(consume())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await shell.run("pin ls") == ""
    assert shell.api.provisional.every() == []
    said = await run(shell, source)
    present = int(said.split(", ")[1].split()[0])
    assert 100 <= present < 300 and f"{300 - present} imported" in said
    assert await shell.run("pin ls --type=recursive") == f"{raw(texts[0])} recursive\n"


async def test_bad_blocks_are_listed_and_left_out(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", stored(b"good"), [])
    broken = write_block(source, raw(b"broken").multihash, b"brokem")
    empty = write_block(source, raw(b"empty").multihash, b"")
    large = write_block(source, raw(bytes(MAX_BLOCK + 1)).multihash, bytes(MAX_BLOCK + 1))
    pipe = block_path(source, raw(b"pipe").multihash)
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    link = block_path(source, raw(b"link").multihash)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(write_block(tmp_path / "elsewhere", raw(b"link").multihash, b"link"))
    strange = broken.parent / "not-a-key.data"
    strange.write_bytes(b"x")
    unknown = write_block(source, b"\x99\x01\x14" + bytes(20), b"of an unknown hash")
    (broken.parent / "put-123").write_bytes(b"left over by a crash of Kubo")
    os.unlink(pipe)
    faults = await run_with_faults(shell, source)
    for path, reason in [
        (broken, "do not match"),
        (empty, "do not match"),
        (large, "at most"),
        (link, "cannot be opened"),
        (strange, "no key"),
        (unknown, "not known"),
    ]:
        assert any(str(path) in fault and reason in fault for fault in faults), (path, faults)
    assert len(faults) == 6
    assert await shell.run("repo ls") == f"{raw(b'good')}\n"


async def test_a_pipe_among_the_blocks_does_not_stop_the_import(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", stored(b"good"), [])
    pipe = block_path(source, raw(b"pipe").multihash)
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    (fault,) = await run_with_faults(shell, source)
    assert "it is not a file" in fault


async def test_blocks_of_old_repositories_under_whole_cids_are_found(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", [], [])
    write_block(source, raw(b"old").encode(), b"old")
    await run(shell, source)
    assert await shell.api.store.get_many([raw(b"old")]) == [b"old"]


async def test_a_block_that_was_cached_becomes_kept(shell, tmp_path):
    await shell.api.store.put_many([Block(raw(b"one"), b"one")], kept=False, durability=Durability.VISIBLE)
    await run(shell, write_repo(tmp_path / "kubo", stored(b"one"), []))
    assert shell.api.store.is_kept(raw(b"one")) is True


async def test_a_pin_that_is_here_keeps_what_it_has(shell, tmp_path):
    api = shell.api
    await api.pins.add(
        Pin(raw(b"one"), True, "mine", 1.0), Pin(raw(b"two"), False, "", 1.0), Pin(raw(b"six"), True, "", 1.0, 9e9)
    )
    changes = [
        pin_record(1, raw(b"one"), recursive=False, name="theirs"),
        pin_record(2, raw(b"two"), name="named"),
        pin_record(3, raw(b"six")),
    ]
    source = write_repo(tmp_path / "kubo", stored(b"one", b"two", b"six"), changes)
    assert "pins:          2 imported, 1 here already" in await run(shell, source)
    assert api.pins.get(raw(b"one")) == Pin(raw(b"one"), True, "mine", 1.0)
    assert api.pins.get(raw(b"two")) == Pin(raw(b"two"), True, "named", 1.0)
    assert api.pins.get(raw(b"six")) == Pin(raw(b"six"), True, "", 1.0)  # Kubo's does not end


async def test_pins_with_faults_are_listed(shell, tmp_path):
    changes = [
        pin_record(1, raw(b"gone")),
        pin_record(2, raw(b"one"), name="n" * 300),
        (b"/pins/pin/3", b"\xff"),
        (b"/pins/pin/4", b"\xa1\x63cid\x41\x01"),
        (b"/local/pins", raw(b"root of the old pinner").encode()),
    ]
    faults = await run_with_faults(shell, write_repo(tmp_path / "kubo", stored(b"one"), changes))
    for word in ("/pins/pin/3", "/pins/pin/4", "is missing", "over 255 bytes", "before go-ipfs 0.8"):
        assert sum(word in fault for fault in faults) == 1, (word, faults)
    assert len(faults) == 5
    assert sorted((await shell.run("pin ls --type=recursive -q")).split()) == sorted(
        [str(raw(b"one")), str(raw(b"gone"))]
    )


async def test_a_block_below_a_pin_that_cannot_be_followed_is_named_and_stops_collections(shell, tmp_path):
    block = CID.of(b"of Ethereum", ETH_BLOCK)
    top = dag_cbor.encode({"header": block})
    top_cid = CID.of(top, DAG_CBOR)
    blocks = [(block.multihash, b"of Ethereum"), (top_cid.multihash, top)]
    (fault,) = await run_with_faults(shell, write_repo(tmp_path / "kubo", blocks, [pin_record(1, top_cid)]))
    assert str(block) in fault and "eth-block" in fault
    await shell.run("add --pin=false", b"garbage")
    with pytest.raises(GcStopped, match=str(block)):
        await shell.run("repo gc")
    assert await shell.api.blocks.size_many([block, top_cid]) == [11, len(top)]


async def test_mutable_files_become_ours_if_we_have_none(shell, tmp_path):
    source = await source_with_files(tmp_path)
    assert "mutable files of Kubo" in await run(shell, source)
    assert await shell.run("files read /notes/a") == "hello"
    assert "mutable files: /\n" in await run(shell, source)
    assert await shell.run("files ls /") == "notes\n"


async def test_mutable_files_go_into_a_directory_of_their_own_beside_ours(shell, tmp_path):
    await shell.run("files write -e /notes", b"mine")
    source = await source_with_files(tmp_path)
    assert "mutable files: /from-kubo\n" in await run(shell, source)
    assert await shell.run("files read /notes") == "mine"
    assert await shell.run("files read /from-kubo/notes/a") == "hello"
    assert "mutable files: /from-kubo\n" in await run(shell, source)
    assert (await shell.run("files ls /")).split() == ["from-kubo", "notes"]
    await shell.run("files write -e /from-kubo/more", b"changed since")
    assert "mutable files: /from-kubo-2\n" in await run(shell, source)
    await shell.run("repo gc")
    assert await shell.run("files read /from-kubo-2/notes/a") == "hello"


async def source_with_files(tmp_path: Path) -> Path:
    """A repository of Kubo with the mutable file /notes/a."""
    async with cidery.Node(tmp_path / "other", profile="test", offline=True) as node:
        other = Shell(node.api)
        await other.run("files write -e -p /notes/a", b"hello")
        root = await node.api.files.flush()
        keys = [key async for page in node.api.store.keys() for key in page]
        data = await node.api.store.get_many([CID(1, RAW, key) for key in keys])
    return write_repo(tmp_path / "kubo", zip(keys, data, strict=True), [(b"/local/filesroot", root.encode())])


async def test_mutable_files_whose_root_is_missing_are_a_fault(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", [], [(b"/local/filesroot", CID.of(b"", 0x70, version=0).encode())])
    (fault,) = await run_with_faults(shell, source)
    assert fault.startswith("not imported: mutable files: Qm")


async def test_blocks_in_files_are_noted_where_the_files_still_hold_them(shell, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(b"0123456789")
    (tmp_path / "data" / "changed").write_bytes(b"other")
    changes = [
        reference_record(raw(b"3456").multihash, "data/file", 3, 4),
        reference_record(raw(b"789").multihash, "data/./x/../file", 7, 3),
        reference_record(raw(b"bytes").multihash, "data/changed", 0, 5),
        reference_record(raw(b"gone").multihash, "data/gone", 0, 4),
        reference_record(raw(b"far").multihash, "data/file", 2**63, 3),
        reference_record(raw(b"web").multihash, "http://example.com/file", 0, 3),
        (b"/filestore/NOTAKEY1", b""),
    ]
    source = write_repo(tmp_path / "kubo", [], [*changes, pin_record(1, raw(b"3456"))])
    faults = await run_with_faults(shell, source)
    assert len(faults) == 5
    assert await shell.api.blocks.get_many([raw(b"3456"), raw(b"789")]) == [b"3456", b"789"]
    assert len((await shell.run("filestore ls")).splitlines()) == 2
    assert await shell.run("pin ls --type=recursive") == f"{raw(b'3456')} recursive\n"


async def test_keys_come_over_and_never_replace_one(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", [], [])
    theirs, ours = Keystore(source / "keystore"), Keystore(shell.api.path / "keystore")
    first, second = (PrivateKey.generate_ed25519(lambda n, b=byte: bytes([b]) * n) for byte in (1, 2))
    theirs.put("site", first)
    theirs.put("blog", second)
    ours.put("blog", first)
    (source / "keystore" / file_name("broken")).write_bytes(b"\x08\x01\x12\x02ab")
    (source / "keystore" / "stray").write_bytes(b"")
    faults = await run_with_faults(shell, source)
    assert [name in fault for name, fault in zip(["stray", "blog", "broken"], faults, strict=True)] == [True] * 3
    assert ours.names() == ["blog", "site"]
    assert ours.get("site").encode() == first.encode() == ours.get("blog").encode()
    assert (shell.api.path / "keystore" / file_name("site")).stat().st_mode & 0o777 == 0o600


def published(key: PrivateKey, value: bytes, sequence: int) -> tuple[bytes, bytes]:
    """A record of the database, long over."""
    name = base64.b32encode(key.peer_id.multihash).rstrip(b"=")
    return b"/ipns/" + name, sign(key, value, sequence=sequence, validity=10**18, ttl=10**9).raw


async def test_names_published_with_the_keys_are_kept_alive_from_their_sequence_on(shell, tmp_path):
    site, node, other = (PrivateKey.generate_ed25519(lambda n, b=byte: bytes([b]) * n) for byte in (1, 2, 3))
    records = [published(site, b"/ipfs/bafkqaaa", 41), published(node, b"/ipfs/bafkqabi", 7)]
    bad = [(b"/ipns/lower", b""), (published(other, b"", 0)[0], b"nonsense")]
    identity = {"PeerID": str(node.peer_id), "PrivKey": base64.b64encode(node.encode()).decode()}
    source = write_repo(tmp_path / "kubo", [], records, {"Identity": identity})
    Keystore(source / "keystore").put("site", site)
    said = await run(shell, source)
    assert "names:         1 kept alive from now on, 0 here already" in said
    assert f"/ipns/{format_name(node.peer_id)} is not kept alive here" in said
    names = shell.api.naming.names
    found = names.get(site.peer_id)
    assert (found.record.value, found.record.sequence, found.lifetime > 0) == (b"/ipfs/bafkqaaa", 41, True)
    assert names.get(node.peer_id) is None
    renewed = await shell.api.naming.publisher.publish(site, "/ipfs/bafkqacd", PublishOptions(), online=False)
    assert renewed.record.sequence == 42
    said = await run(shell, source, "--identity")
    assert "names:         1 kept alive from now on, 1 here already" in said
    assert names.get(site.peer_id).record.sequence == 42 and names.get(node.peer_id).record.sequence == 7
    source = write_repo(tmp_path / "broken", [], bad)
    Keystore(source / "keystore").put("other", other)
    record, name = await run_with_faults(shell, source)
    assert "bad IPNS record" in record and "its key is no name" in name


async def test_settings_are_taken_where_they_fit_and_the_rest_is_named(shell, tmp_path):
    config = {
        "Identity": {"PeerID": "QmX", "PrivKey": "secret"},
        "Datastore": {"StorageMax": "123GB", "Spec": {"type": "mount"}, "BloomFilterSize": 1048576},
        "Addresses": {"Swarm": ["/ip4/0.0.0.0/tcp/4002"], "API": "/ip4/0.0.0.0/tcp/5001", "Gateway": "nonsense"},
        "Bootstrap": ["auto"],
        "Peering": {"Peers": [{"ID": PEER, "Addrs": ["/ip4/192.0.2.1/tcp/4001"]}]},
        "Gateway": {"PublicGateways": {"example.com": {"Paths": ["/ipfs"]}}, "NoFetch": False},
        "Import": {"CidVersion": 1, "UnixFSChunker": "size-1048576", "BatchMaxNodes": 128},
        "Pinning": {"RemoteServices": {"service": {"API": {"Key": "secret"}}}},
        "Swarm": {"ConnMgr": {"LowWater": 10, "HighWater": 20}, "RelayClient": {"Enabled": True}},
        "AutoTLS": {"IPCerts": True},
    }
    said = await run(shell, write_repo(tmp_path / "kubo", [], [], config))
    raw_config = read_raw(shell.api.path / "config")
    assert raw_config["Datastore"]["StorageMax"] == "123GB"
    assert raw_config["Addresses"]["Swarm"] == ["/ip4/0.0.0.0/tcp/4002"]
    assert raw_config["Addresses"]["API"] == "/ip4/127.0.0.1/tcp/0"
    assert raw_config["Peering"] == config["Peering"]
    assert raw_config["Gateway"] == config["Gateway"]
    assert raw_config["Import"]["CidVersion"] == 1 and "BatchMaxNodes" not in raw_config["Import"]
    assert raw_config["Identity"]["PeerID"] == shell.api.config.peer_id
    assert "secret" not in json.dumps(raw_config) and "secret" not in said
    for line in (
        'config Datastore.StorageMax is now "123GB"',
        "config Swarm.RelayClient.Enabled is now true\n",
        "config AutoTLS.IPCerts is now true (kept, without effect yet)",
        "config Addresses.API was not taken: other machines could command this node; set it by hand if they may",
        "config Addresses.Gateway was not taken: it takes an address",
        "config Datastore.BloomFilterSize was not taken: there is no such setting here",
        "config Pinning.RemoteServices was not taken: it holds passwords",
    ):
        assert line in said, said
    await shell.run(f"repo import-kubo {tmp_path / 'kubo'}")
    assert read_raw(shell.api.path / "config") == raw_config


async def test_settings_that_contradict_each_other_are_not_taken(shell, tmp_path):
    before = read_raw(shell.api.path / "config")
    source = write_repo(tmp_path / "kubo", [], [], {"Swarm": {"ConnMgr": {"LowWater": 5000}}})
    (fault,) = await run_with_faults(shell, source)
    assert "nothing of the config was taken" in fault
    assert read_raw(shell.api.path / "config") == before


async def test_what_another_process_sets_meanwhile_is_kept(shell, tmp_path, monkeypatch):
    path = shell.api.path / "config"

    def mapped(raw, kubo):
        write_raw(path, raw | {"Mine": 1})
        return map_config(raw, kubo)

    monkeypatch.setattr("cidery.core.kubo_import.map_config", mapped)
    source = write_repo(tmp_path / "kubo", [], [], {"Datastore": {"StorageMax": "123GB"}})
    (fault,) = await run_with_faults(shell, source)
    assert "another process has changed it" in fault
    assert read_raw(path)["Mine"] == 1 and read_raw(path)["Datastore"].get("StorageMax") != "123GB"


async def test_settings_stay_when_told_so(shell, tmp_path):
    before = read_raw(shell.api.path / "config")
    source = write_repo(tmp_path / "kubo", [], [], {"Datastore": {"StorageMax": "123GB"}})
    await run(shell, source, "--config=false")
    assert read_raw(shell.api.path / "config") == before


async def test_the_identity_is_taken_only_when_asked_and_the_old_one_is_kept(shell, tmp_path):
    key = PrivateKey.generate_ed25519(lambda n: b"\x07" * n)
    identity = {"PeerID": str(key.peer_id), "PrivKey": base64.b64encode(key.encode()).decode()}
    source = write_repo(tmp_path / "kubo", [], [], {"Identity": identity})
    old = shell.api.config
    await run(shell, source)
    assert read_raw(shell.api.path / "config")["Identity"]["PeerID"] == old.peer_id
    said = await run(shell, source, "--identity")
    assert f"this node is now {key.peer_id}" in said
    assert read_raw(shell.api.path / "config")["Identity"] == identity
    assert Keystore(shell.api.path / "keystore").get(old.peer_id).encode() == old.private_key.encode()


async def test_a_running_kubo_is_noticed(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", [], [])
    with open(source / "repo.lock", "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(KuboRunning, match="stop it"):
            await shell.run(f"repo import-kubo {source}")


async def test_kubo_does_not_start_while_its_repository_is_read(tmp_path):
    source = write_repo(tmp_path / "kubo", [], [])
    with KuboRepository.open(source), open(source / "repo.lock", "rb+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda repo: (repo / "datastore_spec").write_text('{"type": "badgerds", "path": "badgerds"}'), "badgerds"),
        (lambda repo: (repo / "datastore_spec").write_text("[["), "not JSON"),
        (lambda repo: (repo / "datastore_spec").write_text('{"type": "mount", "mounts": []}'), "does not mount"),
        (lambda repo: (repo / "version").write_text("19"), "upgrade Cidery"),
        (lambda repo: (repo / "version").write_text("x"), "no number"),
        (lambda repo: (repo / "version").unlink(), "version is missing"),
        (lambda repo: (repo / "blocks" / "SHARDING").write_text("/other"), "unknown layout"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_the_reason(shell, tmp_path, change, reason):
    source = write_repo(tmp_path / "kubo", [], [])
    change(source)
    with pytest.raises(KuboUnreadable, match=reason):
        await shell.run(f"repo import-kubo {source}")


async def test_what_is_no_repository_of_kubo_is_refused(shell, tmp_path):
    for path in (tmp_path, tmp_path / "missing", shell.api.path):
        with pytest.raises(KuboUnreadable, match="not a Kubo repository"):
            await shell.run(f"repo import-kubo {path}")


async def test_without_its_database_the_blocks_and_keys_come_over(shell, tmp_path):
    source = write_repo(tmp_path / "kubo", stored(b"one"), [])
    (source / "datastore" / "CURRENT").unlink()
    Keystore(source / "keystore").put("site", PrivateKey.generate_ed25519(lambda n: b"\x01" * n))
    (fault,) = await run_with_faults(shell, source)
    assert "pins and mutable files may be incomplete" in fault
    assert await shell.run("repo ls") == f"{raw(b'one')}\n"
    assert Keystore(shell.api.path / "keystore").names() == ["site"]
