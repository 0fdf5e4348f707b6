"""The trustless gateway on the fixtures of gateway-conformance: what its tests ask, and what they do not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.car.importing import CarStats, import_car
from cidery.gateway.negotiate import parse_byte_range
from cidery.gateway.options import OVER_STREAMS
from cidery.gateway.site import Site
from cidery.http.message import BadRequest, Request, Response
from cidery.http.ranges import Range, Unsatisfiable, parse_ranges
from cidery.ipld.car_reader import CarReader
from cidery.multiformats.cid import CID
from cidery.unixfs.profile import UNIXFS_V1_2025, with_options

FIXTURES = Path(__file__).parents[1] / "vectors" / "gateway-conformance" / "fixtures"
CARS = FIXTURES / "trustless_gateway_car"
CAR = {"accept": "application/vnd.ipld.car"}


async def stored(api: object, path: Path) -> CID:
    """The first root of an archive, whose blocks are stored now."""

    async def pieces() -> AsyncIterator[bytes]:
        yield path.read_bytes()

    await import_car(pieces(), api.store, CarStats())  # type: ignore[attr-defined]
    await api.store.sync()  # type: ignore[attr-defined]
    reader = CarReader()
    reader.receive_data(path.read_bytes())
    return reader.roots[0]


class Client:
    """Requests to one gateway, in this process."""

    def __init__(self, node: cidery.Node) -> None:
        self.node = node
        self.gateway = Site(node.api, OVER_STREAMS)

    async def get(self, target: str, headers: dict[str, str] | None = None, method: str = "GET") -> Response:
        response = await self.gateway.handle(Request(method, target, headers or {}))
        if not isinstance(response.body, bytes):
            response.body = b"".join([bytes(piece) async for piece in response.body])
        return response

    async def blocks(self, target: str) -> list[CID]:
        response = await self.get(target, CAR)
        assert response.status == 200, response.body
        reader = CarReader()
        assert isinstance(response.body, bytes)
        found = [block.cid for block, _ in reader.receive_data(response.body)]
        reader.receive_eof()
        return found


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        yield Client(node)


async def path_cids(client: Client, root: CID, *names: str) -> list[CID]:
    """The CIDs of a path, from the root to its end."""
    from cidery.core.reading.content_path import ContentPath
    from cidery.core.reading.resolve import resolve

    async with client.node.api.session() as session:
        return [await resolve(ContentPath(root, names[:count]), session) for count in range(len(names) + 1)]


# --- blocks


async def test_a_block_comes_with_headers_that_let_it_be_kept_and_checked(client: Client) -> None:
    root = await stored(client.node.api, FIXTURES / "gateway-raw-block.car")
    _, directory, cid = await path_cids(client, root, "dir", "ascii.txt")
    for target, headers in (
        (f"/ipfs/{root}/dir/ascii.txt?format=raw", {}),
        (f"/ipfs/{root}/dir/ascii.txt", {"accept": "application/vnd.ipld.raw"}),
    ):
        answer = await client.get(target, headers)
        assert answer.status == 200 and answer.body == b"hello application/vnd.ipld.raw\n"
        shown = answer.headers
        assert shown["Content-Type"] == "application/vnd.ipld.raw"
        assert shown["Etag"] == f'"{cid}.raw"'
        assert shown["Cache-Control"] == "public, max-age=29030400, immutable"
        assert shown["X-Content-Type-Options"] == "nosniff"
        assert shown["Content-Disposition"] == f'attachment; filename="{cid}.bin"'
        assert shown["X-Ipfs-Roots"] == f"{root},{directory},{cid}"
        assert shown["X-Ipfs-Path"] == target.partition("?")[0]
        assert shown["Access-Control-Allow-Origin"] == "*"


async def test_a_block_may_be_asked_for_in_part(client: Client) -> None:
    root = await stored(client.node.api, FIXTURES / "gateway-raw-block.car")
    target = f"/ipfs/{root}/dir/ascii.txt?format=raw"
    part = await client.get(target, {"range": "bytes=6-16"})
    assert (part.status, part.body) == (206, b"application")
    assert part.headers["Content-Range"] == "bytes 6-16/31"
    assert (await client.get(target, {"range": "bytes=-3"})).body == b"aw\n"
    beyond = await client.get(target, {"range": "bytes=31-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */31")
    assert beyond.body == b"the range begins after the end, 31 bytes\n"
    # a cache that kept it would give it to who asks for the whole block
    assert not {"Cache-Control", "Etag", "Last-Modified"} & set(beyond.headers)


async def test_who_has_it_already_gets_no_body(client: Client) -> None:
    root = await stored(client.node.api, FIXTURES / "gateway-raw-block.car")
    target = f"/ipfs/{root}/dir/ascii.txt"
    for query in ("?format=raw", "?format=car"):
        tag = (await client.get(target + query)).headers["Etag"]
        for given in (tag, f'"other", {tag}', "*"):
            answer = await client.get(target + query, {"if-none-match": given})
            assert (answer.status, answer.body) == (304, b"")


async def test_the_probe_that_clients_begin_with_is_answered_with_nothing(client: Client) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.get("/ipfs/bafkqaaa?format=raw", method=method)
        assert (answer.status, answer.body) == (200, b"")
    assert await client.blocks("/ipfs/bafkqaaa") == []


async def test_only_what_is_stored_is_answered_when_that_is_asked_for(client: Client) -> None:
    root = await stored(client.node.api, FIXTURES / "gateway-raw-block.car")
    absent = CID.of(b"nobody has this")
    only = {"cache-control": "only-if-cached"}
    assert (await client.get(f"/ipfs/{root}?format=raw", only)).status == 200
    for method in ("GET", "HEAD"):
        assert (await client.get(f"/ipfs/{absent}?format=raw", only, method)).status == 412
    assert (await client.get(f"/ipfs/{absent}?format=raw")).status == 404
    assert (await client.get(f"/ipfs/{absent}?format=car")).status == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/ipfs/QmInvalidCID?format=raw", 400),
        ("/ipfs/?format=raw", 400),
        ("/other?format=raw", 404),
        ("/ipfs/bafkqaaa", 406),
        ("/ipfs/bafkqaaa?format=tar", 406),
        ("/ipfs/bafkqaaa?format=ipns-record", 400),
        ("/ipfs/bafkqaaa/../..?format=raw", 400),
        ("/ipfs/bafkqaaa?format=car&dag-scope=some", 400),
        ("/ipfs/bafkqaaa?format=car&car-version=2", 400),
        ("/ipfs/bafkqaaa?format=car&car-order=any", 400),
        ("/ipfs/bafkqaaa?format=car&car-dups=maybe", 400),
        ("/ipfs/bafkqaaa?format=car&entity-bytes=5", 400),
        ("/ipfs/bafkqaaa?format=car&entity-bytes=9:2", 400),
        ("/ipfs/bafkqaaa?format=raw&" + "&".join(f"a{n}=b" for n in range(100)), 400),
        ("/ipns/nodots?format=raw", 400),
    ],
)
async def test_what_makes_no_sense_is_refused_in_one_line(client: Client, target: str, status: int) -> None:
    answer = await client.get(target)
    assert answer.status == status
    assert isinstance(answer.body, bytes) and answer.body.count(b"\n") == 1


async def test_other_methods_are_refused_and_options_tell_which_are_not(client: Client) -> None:
    assert (await client.get("/ipfs/bafkqaaa?format=raw", method="POST")).status == 405
    answer = await client.get("/ipfs/bafkqaaa", method="OPTIONS")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"


# --- archives


async def test_an_archive_proves_its_path_and_what_is_at_its_end(client: Client) -> None:
    root = await stored(client.node.api, CARS / "subdir-with-two-single-block-files.car")
    way = await path_cids(client, root, "subdir", "hello.txt")
    target = f"/ipfs/{root}/subdir/hello.txt"
    for query in ("", "?dag-scope=block", "?dag-scope=entity", "?dag-scope=all"):
        assert await client.blocks(target + query) == way


async def test_scopes_of_a_directory(client: Client) -> None:
    root = await stored(client.node.api, CARS / "subdir-with-two-single-block-files.car")
    way = await path_cids(client, root, "subdir")
    files = [(await path_cids(client, root, "subdir", name))[-1] for name in ("ascii.txt", "hello.txt")]
    target = f"/ipfs/{root}/subdir"
    assert await client.blocks(f"{target}?dag-scope=block") == way
    assert await client.blocks(f"{target}?dag-scope=entity") == way
    assert await client.blocks(f"{target}?dag-scope=all") == way + files
    assert await client.blocks(target) == way + files


async def test_scopes_of_a_sharded_directory_have_its_shards_and_those_of_the_way_only(client: Client) -> None:
    root = await stored(client.node.api, CARS / "single-layer-hamt-with-multi-block-files.car")
    everything = await client.blocks(f"/ipfs/{root}")
    shards = await client.blocks(f"/ipfs/{root}?dag-scope=entity")
    assert shards[0] == root and 1 < len(shards) < len(everything)
    assert await client.blocks(f"/ipfs/{root}?dag-scope=block") == [root]
    on_way = await client.blocks(f"/ipfs/{root}/1.txt?dag-scope=block")
    assert on_way[0] == root and len(on_way) <= 3 and set(on_way[:-1]) <= set(shards)


async def test_scopes_of_a_file_of_several_blocks(client: Client) -> None:
    root = await stored(client.node.api, CARS / "subdir-with-mixed-block-files.car")
    way = await path_cids(client, root, "subdir", "multiblock.txt")
    target = f"/ipfs/{root}/subdir/multiblock.txt"
    whole = await client.blocks(f"{target}?dag-scope=entity")
    assert whole[: len(way)] == way and len(whole) > len(way) + 1
    assert await client.blocks(f"{target}?dag-scope=all") == whole
    assert await client.blocks(f"{target}?dag-scope=block") == way


@pytest.mark.parametrize(
    ("wanted", "leaves"),
    [
        ("0:*", [0, 1, 2, 3, 4]),
        ("0:0", [0]),
        ("255:256", [0, 1]),
        ("256:511", [1]),
        ("512:*", [2, 3, 4]),
        ("-5:*", [3, 4]),
        ("-2:*", [4]),
        ("-9999:*", [0, 1, 2, 3, 4]),
        ("0:-1000", [0]),
        ("100000:*", []),
        ("-9999:-3", [0, 1, 2, 3]),
    ],
)
async def test_bytes_of_a_file_come_with_the_blocks_that_hold_them(
    client: Client, wanted: str, leaves: list[int]
) -> None:
    data = b"".join(bytes([number]) * 256 for number in range(4)) + b"zz"
    root = await add_root([data], client.node.api.store, AddOptions(with_options(UNIXFS_V1_2025, chunker="size-256")))
    whole = await client.blocks(f"/ipfs/{root}?dag-scope=entity")
    assert len(whole) == 6
    got = await client.blocks(f"/ipfs/{root}?entity-bytes={wanted}")
    assert got == [whole[0], *(whole[1 + number] for number in leaves)]


async def test_bytes_are_served_though_blocks_beside_them_are_missing(client: Client) -> None:
    root = await stored(client.node.api, CARS / "file-3k-and-3-blocks-missing-block.car")
    first = await client.blocks(f"/ipfs/{root}?entity-bytes=0:1000")
    last = await client.blocks(f"/ipfs/{root}?entity-bytes=2048:*")
    assert first[0] == last[0] == root and len(first) == len(last) == 2 and first[1] != last[1]
    with pytest.raises(cidery.errors.NotFound):
        await client.blocks(f"/ipfs/{root}?entity-bytes=0:*")


async def test_a_path_goes_through_dag_cbor(client: Client) -> None:
    root = await stored(client.node.api, CARS / "dir-with-dag-cbor-with-links.car")
    name = (await client.node.ls(str(root)))[0].name
    everything = await client.blocks(f"/ipfs/{root}/{name}")
    entity = await client.blocks(f"/ipfs/{root}/{name}?dag-scope=entity")
    assert entity == everything[: len(entity)] and len(entity) == 2


async def test_duplicates_come_when_they_are_wanted(client: Client) -> None:
    root = await stored(client.node.api, CARS / "dir-with-duplicate-files.car")
    once = await client.blocks(f"/ipfs/{root}")
    assert len(once) == len(set(once))
    answer = await client.get(f"/ipfs/{root}?car-dups=y", CAR)
    assert answer.headers["Content-Type"] == "application/vnd.ipld.car; version=1; order=dfs; dups=y"
    twice = await client.blocks(f"/ipfs/{root}?car-dups=y")
    assert len(twice) == len(once) + 1 and set(twice) == set(once)
    by_accept = {"accept": "application/vnd.ipld.car; order=dfs; dups=y"}
    assert (await client.get(f"/ipfs/{root}", by_accept)).headers["Content-Type"].endswith("dups=y")
    over = await client.get(f"/ipfs/{root}?format=car&car-dups=n", by_accept)
    assert over.headers["Content-Type"].endswith("dups=n")


async def test_format_goes_before_accept(client: Client) -> None:
    root = await stored(client.node.api, FIXTURES / "gateway-raw-block.car")
    answer = await client.get(f"/ipfs/{root}?format=raw", CAR)
    assert answer.headers["Content-Type"] == "application/vnd.ipld.raw"


async def test_tags_of_archives_differ_with_what_is_in_them(client: Client) -> None:
    root = await stored(client.node.api, CARS / "subdir-with-mixed-block-files.car")
    queries = ("", "dag-scope=block", "dag-scope=entity", "entity-bytes=0:5", "car-dups=y")
    tags = {(await client.get(f"/ipfs/{root}/subdir?{query}", CAR)).headers["Etag"] for query in queries}
    assert len(tags) == len(queries) and all(tag.startswith('W/"') for tag in tags)
    head = await client.get(f"/ipfs/{root}", CAR, method="HEAD")
    assert head.headers["Accept-Ranges"] == "none"


async def test_a_name_that_is_not_in_a_directory_is_not_found(client: Client) -> None:
    root = await stored(client.node.api, CARS / "subdir-with-two-single-block-files.car")
    for query in ("?format=car", "?format=raw"):
        assert (await client.get(f"/ipfs/{root}/subdir/nothing{query}")).status == 404


# --- names


async def test_a_record_is_answered_as_it_was_signed(client: Client) -> None:
    from cidery.identity.keys import PrivateKey
    from cidery.ipns.name import format_name
    from cidery.ipns.record import check
    from cidery.namesys.publisher import PublishOptions

    key = PrivateKey.generate_ed25519(lambda count: bytes(range(count)))
    naming = client.node.api.naming
    await naming.publisher.publish(key, "/ipfs/bafkqabtimvwgy3yk", PublishOptions(ttl=1800.0), online=False)
    name = format_name(key.peer_id)
    answer = await client.get(f"/ipns/{name}?format=ipns-record")
    assert answer.status == 200 and isinstance(answer.body, bytes)
    assert check(answer.body, key.peer_id, naming.resolver.now()).value == b"/ipfs/bafkqabtimvwgy3yk"
    assert answer.headers["Content-Type"] == "application/vnd.ipfs.ipns-record"
    assert answer.headers["Cache-Control"] == "public, max-age=1800"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.ipns-record"'
    again = await client.get(f"/ipns/{name}?format=ipns-record", {"if-none-match": answer.headers["Etag"]})
    assert again.status == 304
    assert (await client.get(f"/ipns/{name}/below?format=ipns-record")).status == 400
    through = await client.get(f"/ipns/{name}?format=raw")
    assert (through.status, through.body) == (200, b"hello\n")
    assert through.headers["Cache-Control"] == "public, max-age=1800"


async def test_a_name_that_nobody_published_is_a_failure_of_ours(client: Client) -> None:
    name = "k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw"
    assert (await client.get(f"/ipns/{name}?format=ipns-record")).status == 500
    assert (await client.get("/ipns/example.org?format=ipns-record")).status == 400


# --- parts


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-4", [(0, 4)]),
        ("bytes=5-", [(5, 9)]),
        ("bytes=-3", [(7, 9)]),
        ("bytes=-99", [(0, 9)]),
        ("bytes=0-99", [(0, 9)]),
        ("bytes=1-2,5-6", [(1, 2), (5, 6)]),
        ("bytes=1-2,99-", [(1, 2)]),
        (f"bytes=1-{'9' * 30}", [(1, 9)]),
        (f"bytes=-{'9' * 5000}", [(0, 9)]),
        (f"bytes={'0' * 30}1-{'0' * 5000}2", [(1, 2)]),
        (f"bytes=1-2,{'9' * 30}-", [(1, 2)]),
        (f"bytes={'9' * 30}-{'9' * 29}", []),
        (f"bytes={'9' * 30}x-", []),
        ("bytes=0-9,0-9", []),
        ("bytes=" + ",".join(["1-1"] * 17), []),
        ("", []),
        ("lines=1-2", []),
        ("bytes=x", []),
        ("bytes=5-2", []),
    ],
)
def test_ranges(header: str, expected: list[tuple[int, int]]) -> None:
    assert parse_ranges(header, 10) == [Range(*one) for one in expected]


@pytest.mark.parametrize(
    "header",
    [
        "bytes=10-",
        "bytes=99-100",
        "bytes=-0",
        "bytes=10-,11-12",
        f"bytes={'9' * 23}-",
        f"bytes={'9' * 5000}-{'9' * 5000}",
    ],
)
def test_ranges_beyond_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable, match="after the end"):
        parse_ranges(header, 10)


@pytest.mark.parametrize("text", ["", ":", "1", "a:b", "1:", "*:1", "--1:*", "5:4", "-1:-5", "9" * 30 + ":*"])
def test_byte_ranges_that_make_no_sense(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_byte_range(text)
