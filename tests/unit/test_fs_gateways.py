"""Trustless gateways as they should not be: lying, busy, broken, boundless. And several of them."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")

import cidery.fs  # noqa: E402
from cidery.fs.remote import reachable  # noqa: E402
from cidery.fs.tree import MAX_TOGETHER  # noqa: E402
from cidery.ipld import dag_pb  # noqa: E402
from cidery.ipld.block import MAX_BLOCK, Block  # noqa: E402
from cidery.ipld.car import encode_header, encode_section_head  # noqa: E402
from cidery.multiformats.cid import CID  # noqa: E402
from cidery.multiformats.multicodec import DAG_PB  # noqa: E402
from cidery.unixfs.data import NodeType, UnixFSData  # noqa: E402

DATA = os.urandom(1000)
ROOT = str(CID.of(DATA))
Answer = Callable[[BaseHTTPRequestHandler], None]


class Gateway:
    """Answers every request as it is told, and counts them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Answer = sends(DATA)
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gateway.asked.append(self.path)
                gateway.answer(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def gateways() -> Iterator[tuple[Gateway, Gateway]]:
    made = (Gateway(), Gateway())
    yield made
    cidery.fs.IPFSFileSystem().close()
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def opened(*gateways: Gateway) -> cidery.fs.IPFSFileSystem:
    return cidery.fs.IPFSFileSystem(via="gateway", gateways=[one.url for one in gateways], skip_instance_cache=True)


def test_a_block_is_asked_for_once_and_checked(gateways: tuple[Gateway, Gateway]) -> None:
    fs = opened(gateways[0])
    assert fs.cat_file(ROOT) == DATA and fs.cat_file(ROOT, 10, 20) == DATA[10:20]
    assert gateways[0].asked == [f"/ipfs/{ROOT}?format=raw"] and not gateways[1].asked


def test_a_gateway_that_lies_is_not_asked_again(gateways: tuple[Gateway, Gateway]) -> None:
    liar, honest = gateways
    liar.answer = sends(os.urandom(1000))
    fs = opened(liar, honest)
    assert fs.cat_file(ROOT) == DATA
    other = os.urandom(100_000)  # hashed in a thread
    honest.answer = sends(other)
    assert fs.cat_file(str(CID.of(other))) == other
    assert len(liar.asked) == 1


def test_if_all_lie_it_is_an_error(gateways: tuple[Gateway, Gateway]) -> None:
    for one in gateways:
        one.answer = sends(b"something else")
    with pytest.raises(OSError, match="sent other bytes") as told:
        opened(*gateways).cat_file(ROOT)
    assert not isinstance(told.value, FileNotFoundError)


def test_a_busy_gateway_is_asked_again(gateways: tuple[Gateway, Gateway]) -> None:
    gateway = gateways[0]
    busy = sends(b"", 429, Retry_After="0")

    def first_busy(request: BaseHTTPRequestHandler) -> None:
        (busy if len(gateway.asked) == 1 else sends(DATA))(request)

    gateway.answer = first_busy
    assert opened(gateway).cat_file(ROOT) == DATA and len(gateway.asked) == 2


def test_a_block_that_is_nowhere_is_an_error_that_names_who_was_asked(gateways: tuple[Gateway, Gateway]) -> None:
    for one in gateways:
        one.answer = sends(b"", 404)
    with pytest.raises(OSError, match="status 404") as told:
        opened(*gateways).cat_file(ROOT)
    assert all(one.url in str(told.value) for one in gateways)
    assert not isinstance(told.value, FileNotFoundError)


def test_a_block_without_end_is_cut_off(gateways: tuple[Gateway, Gateway]) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(1 << 40))
        request.end_headers()
        request.close_connection = True
        try:
            for _ in range(10 * MAX_BLOCK >> 16):
                request.wfile.write(bytes(1 << 16))
        except OSError:
            return  # the reader has had enough

    gateways[0].answer = endless
    with pytest.raises(OSError, match="sends a block of more than"):
        opened(gateways[0]).cat_file(ROOT)


def test_a_gateway_that_redirects_to_another_place_is_not_followed(gateways: tuple[Gateway, Gateway]) -> None:
    gateways[0].answer = sends(b"", 302, Location=gateways[1].url)
    with pytest.raises(OSError, match="status 302"):
        opened(gateways[0]).cat_file(ROOT)
    assert not gateways[1].asked


def archives_of(gateway: Gateway, archives: dict[str, list[Block]]) -> None:
    """Let it answer these requests, and no other, with these blocks."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        blocks = archives[request.path]
        body = encode_header([blocks[0].cid]) + b"".join(map(section, blocks))
        sends(body, Content_Type="application/vnd.ipld.car; version=1")(request)

    gateway.answer = answer


@pytest.mark.parametrize(
    ("span", "asked"),
    [((500, 4500), "500:4499"), ((None, None), f"0:{MAX_TOGETHER - 1}"), ((4500, None), "4500:8393107")],
)
def test_the_way_to_a_file_and_its_bytes_come_with_one_request(
    gateways: tuple[Gateway, Gateway], span: tuple[int | None, int | None], asked: str
) -> None:
    parts = [os.urandom(1000) for _ in range(5)]
    file, folder, root = made_tree(parts)
    gateway = gateways[0]
    way = f"/ipfs/{root.cid}/a%20b/file?format=car&entity-bytes={asked}"
    archives_of(gateway, {way: [root, folder, file, *leaves_of(parts)]})
    assert opened(gateway).cat_file(f"{root.cid}/a b/file", *span) == b"".join(parts)[slice(*span)]
    assert gateway.asked == [way]


def test_a_file_that_was_looked_at_costs_one_request_for_its_bytes(gateways: tuple[Gateway, Gateway]) -> None:
    parts = [os.urandom(1000) for _ in range(5)]
    file, folder, root = made_tree(parts)
    gateway = gateways[0]
    archives = {
        f"/ipfs/{root.cid}/a%20b/file?format=car&dag-scope=block": [root, folder, file],
        f"/ipfs/{file.cid}?format=car&entity-bytes=500:4499": [file, *leaves_of(parts)],
    }
    archives_of(gateway, archives)
    fs = opened(gateway)
    assert fs.info(f"{root.cid}/a b/file")["size"] == 5000
    assert fs.cat_file(f"{root.cid}/a b/file", 500, 4500) == b"".join(parts)[500:4500]
    assert gateway.asked == list(archives)


def test_of_a_long_file_the_first_request_brings_the_beginning(gateways: tuple[Gateway, Gateway]) -> None:
    parts = [os.urandom(1 << 20) for _ in range(10)]
    file, folder, root = made_tree(parts)
    leaves = leaves_of(parts)
    gateway = gateways[0]
    way = f"/ipfs/{root.cid}/a%20b/file?format=car&entity-bytes=0:{MAX_TOGETHER - 1}"
    known = {f"/ipfs/{leaf.cid}?format=raw": leaf.data for leaf in leaves[8:]}

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path in known:
            sends(bytes(known[request.path]))(request)
            return
        assert request.path == way
        body = encode_header([root.cid]) + b"".join(map(section, [root, folder, file, *leaves[:8]]))
        sends(body, Content_Type="application/vnd.ipld.car; version=1")(request)

    gateway.answer = answer
    assert opened(gateway).cat_file(f"{root.cid}/a b/file") == b"".join(parts)
    assert sorted(gateway.asked) == sorted([way, *known])


def test_an_archive_with_a_wrong_block_is_not_believed(gateways: tuple[Gateway, Gateway]) -> None:
    parts = [os.urandom(1000) for _ in range(5)]
    file, folder, root = made_tree(parts)
    wrong = encode_header([root.cid]) + section(Block(root.cid, folder.data))
    gateways[0].answer = sends(wrong, Content_Type="application/vnd.ipld.car; version=1")
    with pytest.raises(OSError, match="no source that was asked is trustworthy"):
        opened(gateways[0]).cat_file(f"{root.cid}/a b/file")
    assert len(gateways[0].asked) == 1


def section(block: Block) -> bytes:
    return encode_section_head(block.cid, len(block.data)) + bytes(block.data)


def leaves_of(parts: list[bytes]) -> list[Block]:
    return [Block(CID.of(part), part) for part in parts]


def made_tree(parts: list[bytes]) -> tuple[Block, Block, Block]:
    """A file of these parts, a folder with it as ``file``, and a folder with that as ``a b``."""

    def node(links: tuple[dag_pb.Link, ...], data: UnixFSData) -> Block:
        encoded = dag_pb.encode(links, data.encode())
        return Block(CID.of(encoded, DAG_PB), encoded)

    sizes = tuple(map(len, parts))
    links = tuple(dag_pb.Link(leaf.cid, "", len(leaf.data)) for leaf in leaves_of(parts))
    file = node(links, UnixFSData(NodeType.FILE, None, sum(sizes), sizes))
    folder = node((dag_pb.Link(file.cid, "file", 6000),), UnixFSData(NodeType.DIRECTORY))
    return file, folder, node((dag_pb.Link(folder.cid, "a b", 7000),), UnixFSData(NodeType.DIRECTORY))


def test_localhost_is_asked_by_its_number() -> None:
    assert reachable("http://localhost:8080/base") == "http://127.0.0.1:8080/base"
    assert reachable("https://gateway.example") == "https://gateway.example"


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(OSError, match="is not a URL"):
        cidery.fs.IPFSFileSystem(via="gateway", gateways=["ftp://example.org"]).info(ROOT)
    with pytest.raises(OSError, match="via="):
        cidery.fs.IPFSFileSystem(via="somehow").info(ROOT)
