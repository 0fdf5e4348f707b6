"""The gateway on content made here: pages, files, names that attack, and trees that lie."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cidery
from cidery.blockstore.interface import Durability
from cidery.core.api import Api
from cidery.errors import CideryError
from cidery.gateway.conditional import NotCached
from cidery.gateway.errors import readable, status_of
from cidery.gateway.hosts import PublicGateway
from cidery.gateway.options import GatewayOptions, of_every_answer, options_of
from cidery.gateway.site import Site
from cidery.gateway.welcome import EXAMPLE
from cidery.http.message import Request, Response
from cidery.ipld import dag_cbor, dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, RAW
from cidery.repo.config import new_raw, parse_config
from cidery.repo.config_file import ConfigError
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.metadata import Mtime

SITES = GatewayOptions(fetches=False, no_dnslink=True)
PATHS = SITES._replace(hosts={})
HTML = {"accept": "text/html"}


class Client:
    """Requests to a gateway in this process."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def put(self, data: bytes, codec: int = RAW) -> CID:
        cid = CID.of(data, codec)
        await self.api.store.put_many((Block(cid, data),), kept=True, durability=Durability.VISIBLE)
        return cid

    async def directory(self, **entries: CID) -> CID:
        return await self.links([dag_pb.Link(cid, name, 10) for name, cid in entries.items()])

    async def links(self, links: list[dag_pb.Link]) -> CID:
        return await self.put(dag_pb.encode(links, UnixFSData(NodeType.DIRECTORY).encode()), DAG_PB)

    async def file(self, *parts: CID, sizes: tuple[int, ...]) -> CID:
        message = UnixFSData(NodeType.FILE, filesize=sum(sizes), blocksizes=sizes)
        links = tuple(dag_pb.Link(cid, "", size) for cid, size in zip(parts, sizes, strict=True))
        return await self.put(dag_pb.encode(links, message.encode()), DAG_PB)

    async def dated(self, data: bytes, seconds: int) -> CID:
        """A file in one node, with its date."""
        message = UnixFSData(NodeType.FILE, data, filesize=len(data), mtime=Mtime(seconds))
        return await self.put(dag_pb.encode((), message.encode()), DAG_PB)

    async def get(
        self,
        target: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        options: GatewayOptions = PATHS,
    ) -> Response:
        request = Request(method, target, headers or {})
        site = Site(self.api, options)
        response = await site.handle(request)
        if not isinstance(response.body, bytes):
            response.body = b"".join([bytes(piece) async for piece in response.body])
        at_hand = site.at_hand(request)
        if at_hand is not None:
            assert (at_hand.status, at_hand.headers, at_hand.body) == (response.status, response.headers, response.body)
        return response


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        yield Client(node.api)


async def test_names_are_text_in_a_listing_whatever_they_hold(client: Client) -> None:
    leaf = await client.put(b"x")
    names = ['"><script>alert(1)</script>', "a&b", "javascript:alert(1)", "%2e", "a b?c#d", "x\udc80", "'\"<>"]
    root = await client.links([dag_pb.Link(leaf, name, 1) for name in sorted(names)])
    response = await client.get(f"/ipfs/{root}/")
    assert isinstance(response.body, bytes)
    page = response.body.decode()
    assert "<script" not in page and 'href="javascript:' not in page
    assert f'href="/ipfs/{root}/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"' in page
    assert f'href="/ipfs/{root}/a%20b%3Fc%23d"' in page and f'href="/ipfs/{root}/%252e"' in page
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_a_path_of_two_slashes_does_not_lead_to_another_host(client: Client) -> None:
    inner = await client.directory()
    root = await client.links([dag_pb.Link(inner, "evil.example", 1)])
    host = {"host": f"{root}.ipfs.localhost"}
    response = await client.get("//evil.example", host, options=SITES)
    assert (response.status, response.headers["Location"]) == (301, "/evil.example/")


async def test_text_that_looks_like_a_page_is_text_on_a_path_and_a_page_on_its_own_host(client: Client) -> None:
    cid = await client.put(b"<html><script>alert(1)</script>")
    response = await client.get(f"/ipfs/{cid}")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    response = await client.get("/", {"host": f"{cid}.ipfs.localhost"}, options=SITES)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_errors_are_pages_for_people_and_lines_for_programs(client: Client) -> None:
    root = await client.directory()
    line = await client.get(f"/ipfs/{root}/%3Cscript%3E")
    assert line.status == 404 and line.body == f"no link named '<script>' under {root}\n".encode()
    page = await client.get(f"/ipfs/{root}/%3Cscript%3E", HTML)
    assert isinstance(page.body, bytes)
    assert page.status == 404 and b"&lt;script&gt;" in page.body and b"<script" not in page.body
    plain = await client.get(f"/ipfs/{root}/x", HTML, options=PATHS._replace(html_errors=False))
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_a_directory_shows_its_index_under_its_own_tag(client: Client) -> None:
    index = await client.put(b"<p>hello")
    root = await client.links([dag_pb.Link(index, "index.html", 8)])
    response = await client.get(f"/ipfs/{root}/")
    assert response.body == b"<p>hello" and response.headers["Etag"] == f'"{root}"'
    assert response.headers["X-Ipfs-Roots"] == str(root)
    again = await client.get(f"/ipfs/{root}/", {"if-none-match": f'W/"{root}"'})
    assert (again.status, again.body) == (304, b"")
    bare = await client.get(f"/ipfs/{root}?a=b")
    assert (bare.status, bare.headers["Location"]) == (301, f"/ipfs/{root}/?a=b")


async def test_parts_of_a_file_come_in_one_answer(client: Client) -> None:
    first, second = await client.put(b"0123456789"), await client.put(b"abcdefghij")
    cid = await client.file(first, second, sizes=(10, 10))
    response = await client.get(f"/ipfs/{cid}", {"range": "bytes=8-11,-2"})
    assert response.status == 206 and isinstance(response.body, bytes)
    kind, _, boundary = response.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert response.body.decode() == (
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 8-11/20\r\n\r\n89ab\r\n"
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 18-19/20\r\n\r\nij\r\n"
        f"--{boundary}--\r\n"
    )
    assert response.length == len(response.body)


@pytest.mark.parametrize(("condition", "status"), [("", 206), ('"other"', 200), ("Sat, 28 Nov 2026 00:00:00 GMT", 200)])
async def test_a_part_is_sent_only_of_the_file_that_the_client_has(client: Client, condition: str, status: int) -> None:
    cid = await client.put(b"0123456789")
    response = await client.get(f"/ipfs/{cid}", {"range": "bytes=1-2", "if-range": condition or f'"{cid}"'})
    assert response.status == status


@pytest.mark.parametrize("form", ["", "?format=raw", "?format=car", "?format=tar"])
async def test_what_is_not_the_content_that_a_request_names_is_not_sent(client: Client, form: str) -> None:
    target = f"/ipfs/{await client.put(b'0123456789')}{form}"
    tag = (await client.get(target)).headers["Etag"]
    assert (await client.get(target, {"if-match": "*"})).status == 200
    assert (await client.get(target, {"if-match": '"other"'})).status == 412
    assert (await client.get(target, {"if-match": '"other"', "if-none-match": "*"})).status == 412, "it counts first"
    # "must use the strong comparison function" (13.1.1): archives are equal only weakly
    assert (await client.get(target, {"if-match": f'"other", {tag}'})).status == (412 if tag.startswith("W/") else 200)


async def test_content_that_was_changed_since_is_not_sent(client: Client) -> None:
    cid = await client.dated(b"0123456789", 1_600_000_000)  # 13 September 2020, 12:26:40
    for date, status in (
        ("Sun, 13 Sep 2020 12:26:39 GMT", 412),
        ("Sun, 13 Sep 2020 12:26:40 GMT", 200),
        ("nonsense", 200),
    ):
        assert (await client.get(f"/ipfs/{cid}", {"if-unmodified-since": date})).status == status


async def test_what_is_missing_below_a_root_that_is_here_is_not_cached(client: Client) -> None:
    there, missing = await client.put(b"0123456789"), CID.of(b"missing")
    leaves = await client.file(there, missing, sizes=(10, 7)), await client.file(missing, there, sizes=(7, 10))
    root = await client.directory(file=missing, **{"late.bin": leaves[0], "early.bin": leaves[1]})
    only = {"cache-control": "Only-If-Cached"}
    for target in (f"{root}/file", f"{root}/file?format=raw", f"{root}/file?format=car", f"{root}/file/below"):
        for method in ("GET", "HEAD"):
            assert (await client.get(f"/ipfs/{target}", only, method=method)).status == 412, target
    for target in (f"{root}/none", f"{there}/none"):
        assert (await client.get(f"/ipfs/{target}", only)).status == 404, "it is known not to exist"
    with pytest.raises(NotCached):  # the first piece of a body: Bounded makes a status of it
        await client.get(f"/ipfs/{root}/early.bin", only)
    assert status_of(NotCached(missing)) == 412


async def test_a_form_that_was_chosen_by_accept_is_not_for_who_accepts_another(client: Client) -> None:
    cid = await client.put(b"0123456789")
    by_header = await client.get(f"/ipfs/{cid}", {"accept": "application/vnd.ipld.raw"})
    assert by_header.headers["Vary"] == "Accept"
    for usual in (await client.get(f"/ipfs/{cid}"), await client.get(f"/ipfs/{cid}?format=raw")):
        assert "Vary" not in usual.headers, "browsers accept different types and get the same"
    data = await client.put(dag_cbor.encode({"a": 1}), DAG_CBOR)
    for accept in ("text/html", "*/*"):
        for slash in ("", "/"):
            assert (await client.get(f"/ipfs/{data}{slash}", {"accept": accept})).headers["Vary"].startswith("Accept")


async def test_a_part_in_the_middle_needs_no_other_block(client: Client) -> None:
    missing, there = CID.of(b"0" * 10), await client.put(b"abcdefghij")
    cid = await client.file(missing, there, sizes=(10, 10))
    response = await client.get(f"/ipfs/{cid}", {"range": "bytes=12-13"})
    assert (response.status, response.body) == (206, b"cd")
    assert response.headers["Content-Type"] == "application/octet-stream"
    whole = await client.get(f"/ipfs/{cid}")
    assert whole.status == 404, "the first bytes are missing: nothing was promised yet"


async def test_large_files_are_served_in_parts_only_below_the_limit(client: Client) -> None:
    cid = await client.put(b"0123456789")
    small = PATHS._replace(max_range_file_size=9)
    assert (await client.get(f"/ipfs/{cid}", {"range": "bytes=1-2"}, options=small)).status == 501
    assert (await client.get(f"/ipfs/{cid}", options=small)).status == 200


async def test_a_file_whose_parts_lie_about_their_sizes_breaks_off(client: Client) -> None:
    small = await client.file(await client.put(b"01234"), await client.put(b"x"), sizes=(5, 9))
    assert (await client.get(f"/ipfs/{small}")).status == 500
    large = await client.file(await client.put(b"0" * 5000), await client.put(b"x"), sizes=(5000, 9))
    with pytest.raises(CideryError):
        await client.get(f"/ipfs/{large}")


async def test_names_that_leave_the_archive_break_it_off(client: Client) -> None:
    leaf = await client.put(b"x")
    root = await client.links([dag_pb.Link(leaf, "../x", 1)])
    with pytest.raises(CideryError, match="outside of its own tree"):
        await client.get(f"/ipfs/{root}?format=tar")


async def test_a_path_below_a_file_is_not_there(client: Client) -> None:
    cid = await client.put(b"x")
    assert (await client.get(f"/ipfs/{cid}/a")).status == 404
    assert (await client.get(f"/ipfs/{cid}/")).status == 200, "as Kubo has it"


async def test_data_is_shown_as_a_page_with_its_links(client: Client) -> None:
    target = await client.put(b"x")
    cid = await client.put(dag_cbor.encode({"a": target, "b": "<script>"}), DAG_CBOR)
    page = await client.get(f"/ipfs/{cid}/", HTML)
    assert isinstance(page.body, bytes)
    assert f'<a href="/ipfs/{target}/">'.encode() in page.body and b"&lt;script&gt;" in page.body
    assert "Content-Disposition" not in page.headers
    block = await client.get(f"/ipfs/{cid}")
    assert block.headers["Content-Type"] == "application/vnd.ipld.dag-cbor"


async def test_settings_of_headers_replace_and_take_away(client: Client) -> None:
    cid = await client.put(b"x")
    response = await client.get(f"/ipfs/{cid}", options=PATHS._replace(headers={"X-Mine": "1"}))
    assert response.headers["X-Mine"] == "1" and "Access-Control-Allow-Origin" not in response.headers
    replaced = {"Cache-Control": "no-store", "X-Content-Type-Options": ""}
    response = await client.get(f"/ipfs/{cid}", options=PATHS._replace(replaced=replaced))
    assert response.headers["Cache-Control"] == "no-store" and "X-Content-Type-Options" not in response.headers


def test_the_headers_of_the_config_go_before_the_gateways_own() -> None:
    raw = new_raw(lambda count: bytes(range(count)), cid_profile="unixfs-v1-2025", profiles=["test"])
    raw["Gateway"] = {"HTTPHeaders": {"cache-control": ["no-store"], "Access-Control-Allow-Origin": []}}
    options = options_of(parse_config(raw))
    assert options.replaced == {"Cache-Control": "no-store", "Access-Control-Allow-Origin": ""}
    every = of_every_answer(options)
    assert "Access-Control-Allow-Origin" not in every and every["Cache-Control"] == "no-store"
    for name in ("Content-Length", "transfer-encoding", "Location", "Etag"):
        raw["Gateway"] = {"HTTPHeaders": {name: ["1"]}}
        with pytest.raises(ConfigError, match="Gateway.HTTPHeaders"):
            parse_config(raw)


async def test_a_host_may_serve_less_than_others(client: Client) -> None:
    cid = await client.put(b"x")
    hosts = {"raw.example": PublicGateway(("/ipfs",), deserialized=False), "names.example": PublicGateway(("/ipns",))}
    options = PATHS._replace(hosts=hosts)
    assert (await client.get(f"/ipfs/{cid}", {"host": "raw.example"}, options=options)).status == 406
    assert (await client.get(f"/ipfs/{cid}?format=raw", {"host": "raw.example"}, options=options)).status == 200
    assert (await client.get(f"/ipfs/{cid}", {"host": "names.example"}, options=options)).status == 404


async def test_strangers_and_pages_publish_no_records(client: Client) -> None:
    name = "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam"
    site = Site(client.api, PATHS._replace(routing=True))
    page = {"origin": "http://x"}  # of the same host, as DNS rebinding makes it
    for peer, more, status in (("192.0.2.7", {}, 405), ("127.0.0.1", {}, 406), ("127.0.0.1", page, 405)):
        response = await site.handle(Request("PUT", f"/routing/v1/ipns/{name}", {"host": "x", **more}, client=peer))
        assert response.status == status, response.body


async def test_the_root_leads_where_the_config_says(client: Client) -> None:
    response = await client.get("/", options=PATHS._replace(root="/ipns/docs.example"))
    assert (response.status, response.headers["Location"]) == (302, "/ipns/docs.example")


async def test_people_get_pages_and_programs_get_lines_wherever_nothing_is(client: Client) -> None:
    for target, status in (("/foo", 404), ("/ipfs", 404), ("/ipns/", 400), ("/ipfs/x", 400), ("/", 200)):
        line = await client.get(target)
        page = await client.get(target, HTML)
        assert (line.status, page.status) == (status, status), target
        assert line.headers["Content-Type"] == "text/plain; charset=utf-8" and b"<" not in line.body
        assert page.headers["Content-Type"] == "text/html; charset=utf-8" and b"<h1>" in page.body
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        plain = await client.get(target, HTML, options=PATHS._replace(html_errors=False))
        assert plain.body == line.body
    assert (await client.get("/ipfs/bafkqaaa", HTML, method="DELETE")).body.startswith(b"<!DOCTYPE")


async def test_the_root_says_what_this_is_and_links_to_nothing_outside(client: Client) -> None:
    page = (await client.get("/", HTML)).body
    assert isinstance(page, bytes)
    links = re.findall(rb'href="([^"]*)"', page)
    assert links == [b"data:,", EXAMPLE.encode()]
    assert (await client.get(EXAMPLE)).body == b"hello from IPFS"
    assert b"/ipfs/CID" in page and b"/ipfs/CID" in (await client.get("/")).body
    names = {"names.example": PublicGateway(("/ipns",)), "none.example": PublicGateway(())}
    options = PATHS._replace(hosts=names)
    other = await client.get("/", HTML | {"host": "names.example"}, options=options)
    assert b"/ipns/NAME" in other.body and b"/ipfs/" not in other.body
    assert b'value="ipns"' in other.body and b'value="ipfs"' not in other.body
    strict = await client.get("/", HTML, options=PATHS._replace(deserialized=False))
    assert b"/ipfs/CID?format=raw" in strict.body and b"/ipfs/CID:" not in strict.body and b"<" not in strict.body
    assert (await client.get("/", {"host": "none.example"}, options=options)).status == 404


async def test_the_only_script_is_that_of_the_root_and_the_only_one_that_its_policy_lets_run(client: Client) -> None:
    root = await client.get("/", HTML)
    assert isinstance(root.body, bytes)
    (script,) = re.findall(rb"<script>(.*?)</script>", root.body, re.DOTALL)
    assert b"registerProtocolHandler" in script
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert re.findall("script-src ([^;]*)", root.headers["Content-Security-Policy"]) == [f"'sha256-{digest}'"]
    for target in (f"/ipfs/{await client.directory()}/", "/nothing"):
        page = await client.get(target, HTML)
        assert isinstance(page.body, bytes) and b"<script" not in page.body
        assert "script-src" not in page.headers["Content-Security-Policy"]


async def test_names_that_are_no_text_are_readable_in_errors(client: Client) -> None:
    root = await client.directory()
    for target in ("/ipfs/%ff%fe", f"/ipfs/{root}/%ff%fe", "/ipns/%ff%fe", "/ipfs/?uri=ipfs://%ff%fe"):
        for headers in ({}, HTML):
            body = (await client.get(target, headers)).body
            assert isinstance(body, bytes)
            assert b"udc" not in body and b"?" not in body.split(b"</style>")[-1], (target, body)
    assert (await client.get(f"/ipfs/{root}/%ff%0aa")).body == f"no link named '%FF%0Aa' under {root}\n".encode()


@given(st.text(st.characters(categories=None)))
def test_no_name_makes_an_error_unreadable(name: str) -> None:
    for message in (name, repr(name)):
        shown = readable(message)
        assert all(one.isprintable() or one == "\n" for one in shown)
        assert re.search(r"(?<!\\)(\\\\)*\\udc", shown) is None
        shown.encode()


async def test_slashes_too_many_lead_to_the_clean_path_of_this_host(client: Client) -> None:
    cid = await client.put(b"x")
    for target in (f"//ipfs/{cid}/a?b=//c", f"/ipfs//{cid}/a?b=//c", f"///ipfs///{cid}/a?b=//c"):
        response = await client.get(target)
        assert (response.status, response.headers["Location"]) == (301, f"/ipfs/{cid}/a?b=//c"), target
    for target in ("//evil.example/ipfs/x", "//evil.example", "/\\evil.example"):
        response = await client.get(target)
        assert (response.status, "Location" in response.headers) == (404, False)
    own = await client.get(f"//ipfs//{cid}", {"host": f"{cid}.ipfs.localhost"}, options=SITES)
    assert "Location" not in own.headers, "on a host of its own this is a path below the content"


async def test_an_address_is_no_domain_and_advice_fits_the_cause(client: Client) -> None:
    for address in ("127.0.0.1", "2001:db8::1", "[::1]", "10.0.0"):
        assert (await client.get(f"/ipns/{address}")).status == 400, address
    for address in ("127.0.0.1", "2001:db8::1", "[::1]"):
        assert (await client.get(f"/ipns/{address}/x", {"host": "localhost"}, options=SITES)).status == 400, address
    assert (await client.get("/", {"host": "127.0.0.1.ipns.localhost"}, options=SITES)).status == 400
    assert b"is an IP address" in (await client.get("/ipns/127.0.0.1")).body
    page = await client.get("/ipns/example.org", HTML)
    assert isinstance(page.body, bytes)
    assert page.status == 501 and b"no resolver is configured" in page.body and b"reached in time" not in page.body


async def test_preflights_are_answered_for_all_paths(client: Client) -> None:
    headers = {"access-control-request-private-network": "true"}
    response = await client.get("/ipfs/bafkqaaa", headers, method="OPTIONS")
    assert response.status == 204 and response.headers["Access-Control-Allow-Private-Network"] == "true"
    assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert (await client.get("/ipfs/bafkqaaa", method="DELETE")).status == 405


async def test_a_leaf_that_the_client_has_need_not_be_here_unless_it_is_asked_for_as_cached(client: Client) -> None:
    absent = CID.of(b"stored nowhere")
    root = await client.directory(leaf=absent)
    known = {"if-none-match": f'W/"x", "{absent}"'}
    for target in (f"/ipfs/{absent}", f"/ipfs/{root}/leaf", f"/ipfs/{absent}?format=raw"):
        answer = await client.get(target, known)
        assert (answer.status, answer.body) == (304, b"") and str(absent) in answer.headers["Etag"]
        assert answer.headers["X-Ipfs-Roots"].endswith(str(absent))
        assert (await client.get(target, {"if-none-match": '"x"'})).status == 404
    for target in (f"/ipfs/{absent}", f"/ipfs/{absent}?format=raw"):
        cached = {**known, "cache-control": "only-if-cached"}
        assert (await client.get(target, cached)).status == 412
