"""What is denied is neither read, fetched, served, named nor announced: real nodes on the loopback."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.core.denying import DenyingSession, DenyingStore
from cidery.core.reading.resolve import resolve
from cidery.core.session import FilestoreSession
from cidery.denylist.denylists import Denied
from cidery.denylist.header import Header
from cidery.denylist.rule_list import RuleList
from cidery.exchange.service import NetworkSession
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http.message import Request
from cidery.identity.peer_id import PeerId
from cidery.kad.message import DhtMessage, MessageType, PeerInfo
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.node.network import NodeNetwork
from shell import Shell

COMMANDS = (
    *("cat {0}", "get {0}", "ls {0}", "block get {0}", "block stat {0}", "dag get {0}", "dag export {0}", "refs {0}"),
    *("pin add {0}", "resolve /ipfs/{0}", "dag stat {0}", "dag resolve {0}", "files cp /ipfs/{0} /x", "why {0}"),
    "name publish {0}",
)


def deny(node: cidery.Node, *rules: str) -> None:
    """Put rules in force."""
    files = node.api.deny_files
    assert files is not None
    made = RuleList("test.deny", Header())
    made.add_lines([rule.encode() for rule in rules], 0)
    made.seal()
    files.denylists.use([made] if rules else [])


async def read(node: cidery.Node, path: str | CID) -> bytes:
    return b"".join([bytes(piece) async for piece in node.cat(path)])


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[cidery.Node, cidery.Node]]:
    async with (
        cidery.Node(tmp_path / "a", profile="test") as owner,
        cidery.Node(tmp_path / "b", profile="test") as reader,
    ):
        await reader.api.online.connect(Multiaddr.parse(owner.api.online.identity().addresses[0]))
        yield owner, reader


@pytest.fixture
async def folder(nodes: tuple[cidery.Node, cidery.Node], tmp_path: Path) -> CID:
    """On the first node, with two files, one of them of several blocks."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "good").write_bytes(b"good")
    (tmp_path / "folder" / "bad").write_bytes(bytes(3_000_000))
    return CID.parse(str(await nodes[0].add(tmp_path / "folder")))


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_command_reaches_what_is_denied(
    nodes: tuple[cidery.Node, cidery.Node], folder: CID, command: str
) -> None:
    owner, _ = nodes
    deny(owner, f"/ipfs/{folder}/* reason:test")
    with pytest.raises(Denied, match=r"denied on this node by the list 'test.deny' \(test\)"):
        await Shell(owner.api).run(command.format(folder))


async def test_a_name_is_denied_before_it_is_resolved(nodes: tuple[cidery.Node, cidery.Node]) -> None:
    owner, _ = nodes
    name = await owner.peer_id()
    await Shell(owner.api).run(f"name publish --allow-offline /ipfs/{CID.of(b'x')}")
    assert await Shell(owner.api).run(f"name resolve {name}")
    deny(owner, f"/ipns/{name}")
    for command in (f"name resolve {name}", f"cat /ipns/{name}", f"name resolve --stream {name}"):
        with pytest.raises(Denied):
            await Shell(owner.api).run(command)


async def test_a_denied_part_of_something_larger_stops_its_reader(
    nodes: tuple[cidery.Node, cidery.Node], folder: CID, tmp_path: Path
) -> None:
    owner, _ = nodes
    bad = await owner.api.locate(f"{folder}/bad")
    async with owner.api.session() as session:
        cid = await resolve(bad, session)
    deny(owner, f"/ipfs/{cid}")
    with pytest.raises(Denied):
        await owner.get(folder, tmp_path / "copy")
    assert await read(owner, f"{folder}/good") == b"good"
    deny(owner)
    await owner.get(folder, tmp_path / "copy2")


async def test_what_is_denied_is_not_fetched_and_what_it_contains_is_not_stored(
    nodes: tuple[cidery.Node, cidery.Node], folder: CID
) -> None:
    owner, reader = nodes
    deny(reader, f"/ipfs/{folder}")
    with pytest.raises(Denied):
        await read(reader, f"{folder}/good")
    assert await reader.api.blocks.size_many([folder]) == [None]
    assert isinstance(owner.api.online, NodeNetwork)
    assert owner.api.online.bitswap.blocks_sent == 0
    deny(reader)
    assert await read(reader, f"{folder}/good") == b"good"


async def test_the_gateway_denies_files_names_and_rewritten_paths_too(
    nodes: tuple[cidery.Node, cidery.Node], tmp_path: Path
) -> None:
    owner, _ = nodes
    site_folder = tmp_path / "site"
    site_folder.mkdir()
    (site_folder / "bad").write_text("bad page")
    (site_folder / "good").write_text("good page")
    (site_folder / "_redirects").write_text("/* /bad 200\n")
    root = CID.parse(str(await owner.add(site_folder)))
    await Shell(owner.api).run(f"name publish --allow-offline /ipfs/{root}")
    name = str(CID(1, 0x72, PeerId.parse(await owner.peer_id()).multihash).format("base36"))
    site = Site(owner.api, GatewayOptions(fetches=True))

    async def status(target: str, host: str = "", known: str = "") -> int:
        request = Request("GET", target, {"host": host or "127.0.0.1"} | ({"if-none-match": known} if known else {}))
        answer = site.at_hand(request) or await site.handle(request)
        if not isinstance(answer.body, bytes):
            await answer.body.aclose()
        return answer.status

    host = f"{root}.ipfs.localhost"
    assert [await status(*one) for one in ((f"/ipfs/{root}/bad",), ("/absent", host), (f"/ipns/{name}/bad",))] == [
        200
    ] * 3
    deny(owner, f"/ipfs/{root}/bad")
    assert [await status(*one) for one in ((f"/ipfs/{root}/bad",), ("/absent", host), (f"/ipns/{name}/bad",))] == [
        410
    ] * 3
    assert await status(f"/ipfs/{root}/good") == 200
    bad = CID.of(b"bad page")
    deny(owner, f"/ipfs/{bad}")
    assert await status(f"/ipfs/{root}/good", known=f'"{CID.of(b"good page")}"') == 304
    for target in (f"/ipfs/{root}/bad", f"/ipfs/{bad}", f"/ipfs/{root}/bad?format=raw"):
        assert await status(target, known=f'"{bad}"') == 410, "also who has it is told"
    assert [await status(*one) for one in ((f"/ipfs/{root}/bad",), ("/absent", host), (f"/ipns/{name}/bad",))] == [
        410
    ] * 3
    deny(owner, f"/ipns/{name}/bad")
    assert await status(f"/ipns/{name}/bad") == 410 and await status(f"/ipns/{name}/good") == 200
    deny(owner, f"/ipns/{name}")
    assert await status(f"/ipns/{name}/good") == 410


@pytest.mark.parametrize("codec", [RAW, DAG_PB])
async def test_a_peer_is_told_at_once_that_a_denied_block_is_not_here(
    nodes: tuple[cidery.Node, cidery.Node], codec: int
) -> None:
    owner, reader = nodes
    cid = await owner.add(b"denied to others")
    multihash = CID.parse(str(cid)).multihash
    deny(owner, f"/ipfs/{CID(1, RAW, multihash)}")
    network, serving = reader.api.online, owner.api.online
    assert isinstance(network, NodeNetwork) and isinstance(serving, NodeNetwork)
    wanted = CID(1, codec, multihash)
    told: asyncio.Event = asyncio.Event()

    class Watching(NetworkSession):
        def on_dont_have(self, name: str, cid: CID) -> None:
            told.set()
            super().on_dont_have(name, cid)

    session = network.fetch_session(kept=False)
    session.__class__ = Watching
    async with session:
        waiting = asyncio.create_task(session.get(wanted))
        async with asyncio.timeout(20.0):
            await told.wait()
        assert serving.bitswap.blocks_sent == 0
        deny(owner)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_the_gateway_says_that_it_is_gone_and_by_which_list(
    nodes: tuple[cidery.Node, cidery.Node], folder: CID
) -> None:
    owner, _ = nodes
    site = Site(owner.api, GatewayOptions(fetches=True, routing=True))
    deny(owner, f"/ipfs/{folder}/bad reason:malware", "/ipns/bad.example gateway_status:451")
    for target, status in (
        (f"/ipfs/{folder}/bad?format=raw", 410),
        (f"/ipfs/{folder}/bad?format=car", 410),
        ("/ipns/bad.example?format=car", 451),
        (f"/ipfs/{folder}/good?format=raw", 200),
    ):
        answer = await site.handle(Request("GET", target))
        assert answer.status == status, target
        if status == 410:
            assert b"by the list 'test.deny' (malware)" in bytes(answer.body)  # type: ignore[arg-type]
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    deny(owner, f"/ipfs/{folder}")
    assert (await site.handle(Request("GET", f"/routing/v1/providers/{folder}"))).status == 410


async def test_an_archive_ends_where_something_is_denied(nodes: tuple[cidery.Node, cidery.Node], folder: CID) -> None:
    owner, _ = nodes
    good = CID.of(b"good", RAW)
    deny(owner, f"/ipfs/{good}")
    answer = await Site(owner.api, GatewayOptions(fetches=True)).handle(Request("GET", f"/ipfs/{folder}?format=car"))
    assert answer.status == 200 and not isinstance(answer.body, bytes)
    with pytest.raises(Denied):
        async for _ in answer.body:
            pass
    await answer.body.aclose()


async def test_what_is_denied_can_still_be_removed(nodes: tuple[cidery.Node, cidery.Node], folder: CID) -> None:
    owner, _ = nodes
    deny(owner, f"/ipfs/{folder}/*")
    assert str(folder) in str(await Shell(owner.api).run(f"pin ls {folder}"))
    await Shell(owner.api).run(f"pin rm {folder}")
    await Shell(owner.api).run(f"block rm {folder}")
    assert await owner.api.blocks.size_many([folder]) == [None]


async def test_what_is_denied_is_not_announced(nodes: tuple[cidery.Node, cidery.Node], folder: CID) -> None:
    owner, _ = nodes
    store = owner.api.served
    assert isinstance(store, DenyingStore)
    keys = [key async for page in store.keys() for key in page]
    deny(owner, f"/ipfs/{folder}")
    left = [key async for page in store.keys() for key in page]
    assert set(keys) - set(left) == {folder.multihash}
    assert await store.size_many([folder]) == [None] and store.get_if_ready(folder) is None


async def test_the_dht_server_of_a_node_keeps_and_tells_no_providers_of_what_is_denied(tmp_path: Path) -> None:
    denied, sender = CID.of(b"denied"), PeerId.parse("12D3KooWGRUVYZyAXZ1ZAB7kGxm9PJaNb1sSLTDGaWDCLkLVyyXv")
    async with cidery.Node(tmp_path / "a", profile="test", offline=True) as node:
        await Shell(node.api).run("config Routing.Type dht")
    async with cidery.Node(tmp_path / "a") as node:
        network = node.api.network
        assert isinstance(network, NodeNetwork) and network.kad is not None
        server = network.kad.lan._server
        at = PeerInfo(sender, (Multiaddr.parse("/ip4/127.0.0.1/tcp/4001").encode(),))

        def providers(key: bytes) -> list[PeerId]:
            answer = server.handle(PeerId(b"\0" + bytes(36)), DhtMessage(MessageType.GET_PROVIDERS, key), 0.0)
            assert answer is not None
            return [info.peer for info in answer.providers]

        add = DhtMessage(MessageType.ADD_PROVIDER, denied.multihash, providers=[at])
        server.handle(sender, add, 0.0)
        assert providers(denied.multihash) == [sender]
        deny(node, f"/ipfs/{denied}")
        assert providers(denied.multihash) == []
        deny(node, f"//{hashlib.sha256(b'other').hexdigest()}")
        assert providers(denied.multihash) == [sender]
        assert providers(b"\xff" * 80) == [], "a key that is no multihash"


async def test_whoever_waits_for_a_denied_block_is_not_told_when_it_comes(
    nodes: tuple[cidery.Node, cidery.Node],
) -> None:
    owner, _ = nodes
    told: list[bytes] = []
    owner.api.served.on_stored.append(lambda blocks: told.extend(key for key, _ in blocks))
    deny(owner, f"/ipfs/{CID.of(b'one')}")
    await owner.add(b"one")
    await owner.add(b"two")
    assert told == [CID.of(b"two").multihash]


async def test_a_session_of_a_node_without_lists_is_the_plain_one(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "a", profile="test", offline=True) as node:
        assert node.api.deny_files is None
        async with node.api.session() as session:
            assert type(session) is FilestoreSession


async def test_an_offline_node_obeys_the_lists_of_its_repository(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "a", profile="test", offline=True) as node:
        cid = await node.add(b"data")
    (tmp_path / "a" / "denylists").mkdir()
    (tmp_path / "a" / "denylists" / "mine.deny").write_text(f"/ipfs/{cid}\n")
    async with cidery.Node(tmp_path / "a", profile="test", offline=True) as node:
        with pytest.raises(Denied):
            await read(node, cid)
        async with node.api.session() as session:
            assert isinstance(session, DenyingSession)
            with pytest.raises(Denied):
                await session.get(CID.parse(str(cid)))


async def test_a_stream_of_a_dag_leaves_denied_blocks_out(nodes: tuple[cidery.Node, cidery.Node]) -> None:
    _, reader = nodes
    network = reader.api.online
    assert isinstance(network, NodeNetwork)
    cid = CID.of(b"denied")
    deny(reader, f"/ipfs/{cid}")
    assert network.gateways.refuses(cid) and not network.gateways.refuses(CID.of(b"other"))


def test_no_path_from_outside_passes_the_judge_by() -> None:
    """Commands and the gateway take paths from Api.locate(), or ask Api.admitted() themselves."""
    source = Path(cidery.__file__).parent
    exempt = {
        "denylist.py": "tells what is denied",
        "pin.py": "of a job that was admitted when it was queued",
        "origin.py": "checks that a URI can be redirected to",
        "content.py": "every plan is admitted when it is carried out",
    }
    assert "path = self._api.admitted(located.path)" in (source / "gateway" / "content.py").read_text()
    lines = [
        (path.name, line)
        for folder in ("gateway", "commands/run", "rpc")
        for path in (source / folder).glob("*.py")
        for line in path.read_text().splitlines()
        if "parse_path(" in line and path.name not in exempt
    ]
    assert [line for _, line in lines if "admitted(" not in line] == []
