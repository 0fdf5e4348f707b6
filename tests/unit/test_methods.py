"""Every method of every group does the same on an embedded node, through a daemon, and blocking."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import cidery
from cidery.core.reading.ls import EntryType
from cidery.errors import CideryError, InvalidInput, NotFound
from cidery.ipld.car_reader import CarReader
from cidery.methods import dag, files, key, name, pin, pin_remote, pubsub, repo, swarm
from cidery.methods.blocking import BlockingGroup
from cidery.methods.blocking_surface import BlockingSurface
from cidery.methods.caller import Group
from cidery.methods.results import CarImported, Key, PinEntry, RemotePin, RemoteService
from cidery.methods.surface import Surface
from cidery.repo.jobs import JobState
from cidery.rpc.listen import listen
from peers.cidery_daemon import CideryDaemon
from peers.pinning_service import PinningService

GROUPS = {
    "pin": (pin.Pin, pin.BlockingPin),
    "pin.remote": (pin_remote.Remote, pin_remote.BlockingRemote),
    "pin.remote.service": (pin_remote.RemoteServices, pin_remote.BlockingRemoteServices),
    "files": (files.Files, files.BlockingFiles),
    "name": (name.Name, name.BlockingName),
    "key": (key.Key, key.BlockingKey),
    "dag": (dag.Dag, dag.BlockingDag),
    "block": (dag.Block, dag.BlockingBlock),
    "car": (dag.Car, dag.BlockingCar),
    "swarm": (swarm.Swarm, swarm.BlockingSwarm),
    "routing": (swarm.Routing, swarm.BlockingRouting),
    "repo": (repo.Repo, repo.BlockingRepo),
    "config": (repo.Config, repo.BlockingConfig),
    "bootstrap": (repo.Bootstrap, repo.BlockingBootstrap),
    "jobs": (repo.Jobs, repo.BlockingJobs),
    "stats": (repo.Stats, repo.BlockingStats),
    "pubsub": (pubsub.Pubsub, pubsub.BlockingPubsub),
}
STRANGER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


class Awaited:
    """A blocking object as an asynchronous one: every call runs in a thread."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if isinstance(value, BlockingGroup):
            return Awaited(value)
        if not inspect.isgeneratorfunction(value):
            return lambda *args, **options: asyncio.to_thread(value, *args, **options)
        return lambda *args, **options: self._items(value(*args, **options))

    def __call__(self, *args: Any, **options: Any) -> Any:
        return asyncio.to_thread(self._inner, *args, **options)

    async def _items(self, found: Any) -> AsyncIterator[Any]:
        end = object()
        try:
            while (item := await asyncio.to_thread(next, found, end)) is not end:
                yield item
        finally:
            await asyncio.to_thread(found.close)


async def made(path: Path) -> Path:
    """A repository whose node joins the DHT of this machine, with pubsub."""
    async with cidery.Node(path, profile="test", offline=True) as node:
        await node.config.set("Routing.Type", "dhtserver")
        await node.config.set("Pubsub.Enabled", True)
        await node.config.set("Ipns.UsePubsub", True)
    return path


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[cidery.Node]:
    async with cidery.Node(await made(tmp_path / "other")) as node:
        yield node


@pytest.fixture(params=["embedded", "client", "blocking"])
async def face(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "blocking":
        opened = await asyncio.to_thread(cidery.open, await made(tmp_path / "repo"))
        try:
            yield Awaited(opened)
        finally:
            await asyncio.to_thread(opened.close)
        return
    async with cidery.Node(await made(tmp_path / "repo")) as node:
        if request.param == "embedded":
            yield node
            return
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            yield cidery.Client(str(addrs[0]))


async def every(items: Any) -> list[Any]:
    async with aclosing(items) as found:
        return [item async for item in found]


async def test_pins(face: Any) -> None:
    seen: list[Any] = []
    one, two = [await face.add(text, pin=False) for text in (b"one", b"two")]
    assert await face.pin.add(one, name="first", progress=seen.append) == one
    assert seen and seen[-1].blocks == 1
    assert await every(face.pin.ls(type="recursive")) == [PinEntry(one, "recursive", "first")]
    assert await face.pin.add(f"/ipfs/{two}", expires_in=3600.0, recursive=False) == two
    (found,) = await every(face.pin.ls(two))
    assert found.type == "direct" and found.expires is not None
    assert await face.pin.rm(two, recursive=False) == [two]
    assert await face.pin.update(one, two) == two
    assert [entry.cid for entry in await every(face.pin.ls(type="recursive", name="first"))] == [two]
    assert [(check.cid, check.ok) for check in await every(face.pin.verify())] == [(two, True)]
    folder = await face.dag.put({"link": one})
    await face.pin.add(folder)
    (entry,) = await every(face.pin.ls(one))
    assert entry.type == "indirect" and entry.through == folder
    number = await face.pin.queue(one, name="later")
    (queued,) = [found for found in await every(face.pin.status()) if found.job == number]
    assert queued.name == "later" and queued.status in ("queued", "pinning", "pinned")
    with pytest.raises(NotFound, match="not pinned"):
        await face.pin.rm(ABSENT)


async def test_pins_at_services(face: Any, tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "keeper") as keeper, PinningService(keeper) as service:
        await face.pin.remote.service.add("mysrv", service.endpoint, service.key)
        assert await face.pin.remote.service.ls() == [RemoteService("mysrv", service.endpoint)]
        cid, seen = await face.add(b"kept elsewhere"), list[RemotePin]()
        kept = await face.pin.remote.add(cid, service="mysrv", name="mine", progress=seen.append)
        assert kept == RemotePin(cid, "mine", "pinned") and seen[0].status in ("queued", "pinning")
        assert str(cid) in keeper.run("pin", "ls", "--type=recursive")
        assert await every(face.pin.remote.ls("mysrv", cids=[cid], name="mine")) == [kept]
        assert await every(face.pin.remote.ls("mysrv", status=["failed"])) == []
        [stat] = await face.pin.remote.service.ls(stat=True)
        assert stat.valid and stat.counts == {"queued": 0, "pinning": 0, "pinned": 1, "failed": 0}
        await face.pin.remote.rm("mysrv", name="mine")
        with pytest.raises(NotFound, match="service not known"):
            await face.pin.remote.rm("other", force=True)
        service.key = "changed"
        with pytest.raises(CideryError, match="access denied"):
            await every(face.pin.remote.ls("mysrv"))
        [stat] = await face.pin.remote.service.ls(stat=True)
        assert stat.valid is False and stat.counts is None
        await face.pin.remote.service.rm("mysrv")
        assert await face.pin.remote.service.ls() == []


async def test_mutable_files(face: Any, tmp_path: Path) -> None:
    content = await face.add(b"content")
    await face.files.mkdir("/a/b", parents=True)
    await face.files.write("/a/one", b"hello world")
    await face.files.write("/a/one", b"J", offset=0)
    assert await face.files.read("/a/one") == b"Jello world"
    await face.files.write("/a/one", b"short")
    assert await face.files.read("/a/one", 1, 3) == b"hor"
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    await face.files.write("/c/big", tmp_path / "file", parents=True, flush=False)
    assert sum([len(chunk) for chunk in await every(face.files.cat("/c/big", 10))]) == 2_999_990
    await face.files.cp(content, "/a/content")
    await face.files.cp("/a/one", "/d/", parents=True)
    await face.files.mv("/a/one", "/a/moved")
    assert [(one.name, one.is_directory, one.size) for one in await face.files.ls("/a")] == [
        ("b", True, 0), ("content", False, 7), ("moved", False, 5),
    ]  # fmt: skip
    assert (await face.files.stat("/a/content", here=True)).stored_here == 7
    assert (await face.files.stat(content)).cid == content
    await face.files.chmod("/a/moved", 0o640)
    await face.files.touch("/a/moved", 1_700_000_000.5)
    stat = await face.files.stat("/a/moved")
    assert (stat.mode, stat.mtime, stat.size, stat.is_directory) == (0o640, 1_700_000_000.5, 5, False)
    await face.files.chcid("/a/b", hash="blake3")
    assert await face.files.flush("/a") == (await face.files.stat("/a")).cid
    with pytest.raises(CideryError, match="director"):
        await face.files.rm("/a")
    await face.files.rm("/a", "/c", "/d", recursive=True)
    assert await face.files.ls() == []
    for missing in (face.files.write("/none", b"", create=False), face.files.stat("/none"), face.files.read("/none")):
        with pytest.raises(NotFound):
            await missing


async def test_names_and_keys(face: Any, other: cidery.Node) -> None:
    made = await face.key.gen("website")
    assert made == Key("website", made.id) and made.id.startswith("k51")
    assert [one.name for one in await face.key.ls()] == ["self", "website"]
    signature = await face.key.sign(b"message", key="website")
    assert await face.key.verify(b"message", signature, key=made.id)
    assert not await face.key.verify(b"another", signature, key="website")
    content = await face.add(b"content")
    published = await face.name.publish(content, key="website", allow_offline=True, lifetime=3600.0, ttl=60.0)
    assert (published.name, published.value) == (made.id, f"/ipfs/{content}")
    assert await face.name.resolve(made.id) == f"/ipfs/{content}"
    assert await face.read(f"/ipns/{made.id}") == b"content"
    record = await face.name.get(made.id)
    seen = await face.name.inspect(record, name=made.id)
    assert seen.valid and seen.value == f"/ipfs/{content}" and seen.ttl == 60.0 and seen.sequence == 0
    assert not (await face.name.inspect(record, name=other.api.config.peer_id)).valid
    assert (await face.name.put(made.id, record, force=True, allow_offline=True)).name == made.id
    assert (await face.name.follow(made.id)).name == made.id
    assert [one.name for one in await face.name.ls()] == [made.id]
    await face.name.unfollow(made.id)
    assert await face.name.ls() == []
    assert await face.key.rename("website", "old") == Key("old", made.id)
    assert await face.key.rm("old") == [Key("old", made.id)]
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    taken = await face.key.import_("taken", pem, format="pem-pkcs8-cleartext")
    assert taken in await face.key.ls()


async def test_values_and_blocks(face: Any) -> None:
    leaf = await face.block.put(b"leaf")
    assert leaf.size == 4 and await face.block.get(leaf.cid) == b"leaf" and await face.block.stat(leaf.cid) == leaf
    value = {"text": "ü", "bytes": b"\0", "list": [1, -2.5, None, True], "leaf": leaf.cid}
    first = await face.dag.put(value)
    second = await face.dag.put({**value, "text": "v"}, codec="dag-json")
    assert await face.dag.get(first) == value and await face.dag.get(f"{first}/list/1") == -2.5
    found = await face.dag.resolve(f"{first}/list/1")
    assert (found.cid, found.rest) == (first, "list/1")
    assert await face.resolve(f"{first}/leaf") == f"/ipfs/{leaf.cid}"
    told: list[tuple[int, int]] = []
    stat = await face.dag.stat(first, progress=lambda blocks, size: told.append((blocks, size)))
    assert stat.unique_blocks == 2 and stat.dags[0].cid == first and told[-1] == (2, stat.total_size)
    before, after = [await face.add(data, wrap=True, name="leaf") for data in (b"leaf", b"new")]
    (change,) = await every(face.dag.diff(before, after))
    assert change.path == "leaf" and change.before == leaf.cid and change.after is not None
    assert [(one.source, one.target, one.name) for one in await every(face.refs(first))] == [(first, leaf.cid, "leaf")]
    assert await face.block.rm(second) == [second]
    kept = await face.block.put(b"kept", pin=True)
    with pytest.raises(CideryError, match="pinned"):
        await face.block.rm(kept.cid)


async def test_archives(face: Any, other: cidery.Node, tmp_path: Path) -> None:
    cid = await face.add(bytes(range(250)) * 12_000)
    archive = b"".join(await every(face.car.export(cid)))
    reader = CarReader()
    blocks = reader.receive_data(archive)
    assert reader.roots == (cid,) and len(blocks) == 4
    (tmp_path / "a.car").write_bytes(archive)
    taken: list[int] = []
    found = await face.car.import_(tmp_path / "a.car", progress=taken.append)
    assert taken[-1] == len(archive)
    assert isinstance(found, CarImported)
    assert (found.blocks, [root.cid for root in found.roots], found.roots[0].pin_error) == (4, [cid], "")
    assert (await other.car.import_(archive, pin_roots=False)).roots == ()
    with pytest.raises(CideryError):
        await face.car.import_(b"no archive")


async def test_peers(face: Any, other: cidery.Node) -> None:
    identity = await other.id()
    await face.swarm.connect(identity.addresses[0])
    (peer,) = await face.swarm.peers()
    assert peer.id == identity.id and peer.direction == "outbound" and peer.muxer
    assert identity.id in await face.swarm.addrs()
    assert (await face.swarm.listen_addrs())[0].startswith("/ip4/127.0.0.1/")
    assert (await face.swarm.reachability()).state == "Unknown"
    assert [0 < seconds < 10 for seconds in await every(face.swarm.ping(identity.id, 3))] == [True] * 3
    assert await face.swarm.filters() == []
    assert await face.swarm.filters_add("/ip4/10.1.2.3/ipcidr/8") == ["/ip4/10.0.0.0/ipcidr/8"]
    assert await face.swarm.filters() == ["/ip4/10.0.0.0/ipcidr/8"] == await face.swarm.filters_rm("all")
    assert await face.stats.wantlist() == []
    await face.swarm.peering_add(identity.addresses[0])
    assert [one.id for one in await face.swarm.peering()] == [identity.id]
    await face.swarm.peering_rm(identity.id)
    assert (await face.id(identity.id)).agent == identity.agent
    cid = await other.add(b"shared")
    assert await face.read(cid) == b"shared"
    stat = await face.stats.bitswap()
    assert (stat.blocks_received, stat.bytes_received, stat.peers) == (1, 6, (identity.id,))
    assert (await face.stats.bandwidth(peer=identity.id)).total_in > 0
    async with aclosing(face.stats.watch_bandwidth(0.01)) as polls:
        seen = [(await anext(polls)).total_in, (await anext(polls)).total_in]
    assert seen[0] <= seen[1]
    assert await face.swarm.disconnect(f"/p2p/{identity.id}") == [identity.id]
    assert await face.swarm.disconnect(f"/p2p/{STRANGER}") == []


async def test_topics(face: Any, other: cidery.Node) -> None:
    identity, own = await other.id(), await face.peer_id()
    await face.swarm.connect(identity.addresses[0])
    async with aclosing(face.pubsub.subscribe("weather")) as heard, asyncio.timeout(20):
        first = asyncio.create_task(anext(heard))
        while str(own) not in await other.pubsub.peers("weather"):
            await asyncio.sleep(0)
        assert await face.pubsub.topics() == ["weather"]
        await other.pubsub.publish("weather", b"sun")
        message = await first
        assert (message.author, message.data, message.topic) == (str(identity.id), b"sun", "weather")
        await face.pubsub.publish("weather", b"rain")
        assert (await anext(heard)).data == b"rain"
    assert str(identity.id) in await face.pubsub.peers()
    assert await face.pubsub.reset(str(identity.id)) == 0, "none of its messages is old yet"
    assert await face.pubsub.names_by_pubsub()
    assert isinstance(await face.pubsub.names(), list)
    assert not await face.pubsub.cancel_name(STRANGER)


async def test_routing(face: Any, other: cidery.Node) -> None:
    identity = await other.id()
    own = await face.peer_id()
    await face.swarm.connect(identity.addresses[0])
    cid = await face.add(b"announced")
    assert await face.routing.provide(cid) >= 0
    assert (await face.routing.find_peer(identity.id)).id == identity.id
    assert identity.id in [peer.id for peer in await face.routing.closest_peers(own)]
    providers = await every(face.routing.find_providers(cid, 1))
    assert len(providers) <= 1
    published = await face.name.publish(cid, allow_offline=True)
    record = await face.routing.get(f"/ipns/{published.name}")
    assert (await face.name.inspect(record)).value == f"/ipfs/{cid}"
    await face.routing.put(f"/ipns/{published.name}", record, allow_offline=True)
    assert {table.name for table in await face.stats.dht()} <= {"wan", "lan"}
    with pytest.raises(InvalidInput):
        await face.routing.get("nonsense")


async def test_the_repository(face: Any) -> None:
    kept = await face.add(b"kept")
    loose = await face.add(b"loose", pin=False)
    assert {cid.multihash for cid in await every(face.repo.ls())} >= {kept.multihash, loose.multihash}
    assert (await face.repo.stat()).blocks >= 2 and await face.repo.version() >= 1
    told: list[Any] = []
    assert await face.repo.verify(progress=told.append) >= 2 and not any(one.fault for one in told)
    steps: list[Any] = []
    assert (await face.repo.gc(progress=steps.append)).blocks == 1 and steps[-1].removed == 1
    assert await face.repo.compact() >= 0
    await face.config.set("Datastore.StorageMax", "11GB")
    assert await face.config.get("Datastore.StorageMax") == "11GB"
    assert (await face.config.show())["Datastore"]["StorageMax"] == "11GB"
    await face.config.apply_profile("lowpower")
    config = await face.config.show()
    await face.config.replace({**config, "Datastore": {**config["Datastore"], "StorageMax": "12GB"}})
    assert await face.config.get("Datastore.StorageMax") == "12GB"
    with pytest.raises(CideryError, match="Nonsense"):
        await face.config.set("Nonsense", 1)
    await face.bootstrap.clear()
    address = f"/ip4/127.0.0.1/tcp/4001/p2p/{STRANGER}"
    await face.bootstrap.add(address)
    assert await face.bootstrap.ls() == [address] == await face.bootstrap.rm(address)


async def test_jobs(face: Any) -> None:
    await face.add(b"a job")
    (job,) = await face.jobs(kind="add", state="done")
    assert job.state is JobState.DONE and job.bytes == 5
    assert (await face.jobs.show(job.id)).id == job.id
    assert (await face.jobs.resume(job.id)).state is JobState.DONE
    await face.jobs.rm(job.id)
    assert await face.jobs(kind="add") == []
    with pytest.raises(NotFound, match="no job"):
        await face.jobs.show(job.id)


async def test_content(face: Any, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "big").write_bytes(b"b" * 20_000_000)
    (folder / "skip.log").write_bytes(b"log")
    told: list[Any] = []
    cid = await face.add(folder, ignore=["*.log"], chunker="size-262144", progress=told.append)
    assert told and told[-1].bytes == 20_000_000
    (entry,) = await face.ls(cid)
    assert (entry.name, entry.size, entry.type) == ("big", 20_000_000, EntryType.FILE)
    assert await face.add(folder, ignore=["*.log"], profile="unixfs-v0-2015", only_hash=True) != cid
    assert await face.read(f"{cid}/big", 5, 7) == b"b" * 7
    saved: list[Any] = []
    assert await face.get(cid, tmp_path / "copy", progress=saved.append) == tmp_path / "copy"
    assert (tmp_path / "copy" / "big").stat().st_size == 20_000_000 == saved[-1].bytes
    assert sum(len(chunk) for chunk in await every(face.cat(f"{cid}/big"))) == 20_000_000
    assert (await face.why(cid, seconds=5.0)).stage == "stored"
    with pytest.raises(InvalidInput):
        await face.files.cp(5, "/x")


async def test_what_is_stored_with_modes_and_times_is_listed_with_them(face: Any) -> None:
    await face.files.write("/d/file", b"x", parents=True)
    await face.files.chmod("/d/file", 0o640)
    await face.files.touch("/d/file", 1_700_000_000.25)
    (entry,) = await face.ls((await face.files.stat("/d")).cid)
    assert entry.mode == 0o640 and entry.mtime == (1_700_000_000, 250_000_000)


async def test_an_error_after_the_first_result_keeps_its_category(face: Any, other: cidery.Node) -> None:
    identity = await other.id()
    await face.swarm.peering_add(identity.addresses[0])
    with pytest.raises(NotFound, match="not among the peers"):
        await face.swarm.peering_rm(identity.id, STRANGER)


def _methods(group: type) -> dict[str, Any]:
    found = {name: value for name, value in vars(group).items() if callable(value)}
    return {name: value for name, value in found.items() if not name.startswith("_") or name == "__call__"}


@pytest.mark.parametrize("name", GROUPS)
def test_each_method_of_a_group_is_documented_blocking_too_and_tested(name: str) -> None:
    group, blocking = GROUPS[name]
    assert issubclass(group, Group) and _methods(group)
    source = Path(__file__).read_text()
    for method, function in _methods(group).items():
        twin = _methods(blocking)[method]
        assert twin.__doc__ == function.__doc__ and function.__doc__
        assert list(inspect.signature(twin).parameters) == list(inspect.signature(function).parameters)
        assert inspect.isasyncgenfunction(function) == inspect.isgeneratorfunction(twin)
        call = f"face.{name}(" if method == "__call__" else f"face.{name}.{method}("
        assert call in source, f"{call} is not tested"
    assert set(_methods(group)) == set(_methods(blocking))


def test_the_blocking_surface_has_every_method_and_group() -> None:
    public = {name for name in vars(Surface) if not name.startswith("_")}
    assert {name for name in vars(BlockingSurface) if not name.startswith("_")} == public
    assert public >= {name for name in GROUPS if "." not in name}
    source = Path(__file__).read_text() + Path(__file__).with_name("test_node_faces.py").read_text()
    for method in public - set(GROUPS):
        assert f"face.{method}(" in source or f"node.{method}(" in source, method
