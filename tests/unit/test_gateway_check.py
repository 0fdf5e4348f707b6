"""The conformance table of gateways: its size, that each rule can fail, the requests on the wire, the command."""

import asyncio
import io
import json
import re
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cidery.cli.main import main
from cidery.gateway.check import bodies, headers
from cidery.gateway.check.command import site_of
from cidery.gateway.check.compare import differences
from cidery.gateway.check.dag import dag, fixture
from cidery.gateway.check.model import LEAVES, Answer, Check, Site, ask, expect
from cidery.gateway.check.names import DOMAINS, V1_AND_V2, V2_ONLY, inlined, records, value_of
from cidery.gateway.check.needed import lacks
from cidery.gateway.check.probe import NoFixtures, NoGateway, probe
from cidery.gateway.check.provision import CannotProvision, archives, provision
from cidery.gateway.check.report import curl
from cidery.gateway.check.run import run_all, run_one
from cidery.gateway.check.table import UnknownLeaf, selected, table, wanted
from cidery.gateway.check.wire import BadUrl, Place, TooLong, parse_url, send
from cidery.ipld.car_reader import CarReader

SITE = Site("http", "example.com:8080")
COUNTS = {
    ("trustless-block-gateway",): 7,
    ("trustless-car-gateway",): 52,
    ("trustless-car-gateway-optional",): 7,
    ("trustless-ipns-gateway",): 5,
    ("path-unixfs-gateway",): 26,
    ("path-range-gateway", "path-unixfs-gateway"): 6,
    ("path-ipns-gateway", "path-unixfs-gateway"): 5,
    ("path-ipns-gateway",): 9,
    ("path-tar-gateway",): 6,
    ("path-dag-gateway",): 60,
    ("path-dag-gateway", "path-ipns-gateway"): 8,
    ("path-raw-gateway",): 6,
    ("subdomain-ipfs-gateway",): 24,
    ("subdomain-ipns-gateway",): 18,
    ("dnslink-gateway",): 6,
    ("redirects-file", "subdomain-ipfs-gateway"): 17,
    ("redirects-file", "dnslink-gateway"): 4,
    ("redirects-file", "subdomain-ipns-gateway"): 2,
    ("proxy-gateway", "subdomain-ipfs-gateway"): 6,
}
"""Requests of gateway-conformance v0.13.2, by the parts that they need."""
SMALL = "trustless_gateway_car/subdir-with-two-single-block-files.car"


# --- the table


def test_the_table_has_every_request_of_the_public_suite():
    assert Counter(check.leaves for check in table(SITE) if not check.ours) == COUNTS
    assert sum(COUNTS.values()) == 274


def test_every_part_has_checks_of_ours_too():
    assert {check.leaves[0] for check in table(SITE) if check.ours} == set(LEAVES)


def test_no_two_checks_of_a_part_have_the_same_name():
    names = Counter(("+".join(check.leaves), check.name) for check in table(SITE))
    assert not [name for name, count in names.items() if count > 1]


def test_every_check_can_fail():
    """An answer with a strange status, no headers, and a body that nobody expects, is wrong for each."""
    for check in table(SITE):
        first = Answer(200, (), b"something else") if check.first else None
        assert differences(check.expect, Answer(299, (), b"\0nothing that is expected"), first), check.name


def test_every_target_is_ready_for_the_request_line():
    for check in table(SITE):
        for asked in filter(None, (check.ask, check.first)):
            assert asked.target.isascii() and asked.target.isprintable() and " " not in asked.target, check.name
            assert asked.target.startswith(("/", "http://")), check.name


def test_the_names_of_checks_do_not_depend_on_the_host():
    assert [check.name for check in table(SITE)] == [check.name for check in table(Site("https", "a.example"))]


def test_parts_are_chosen_or_left_out_by_name():
    assert wanted("") == frozenset(LEAVES)
    assert wanted("redirects-file, dnslink-gateway") == {"redirects-file", "dnslink-gateway"}
    assert wanted("-redirects-file") == frozenset(LEAVES) - {"redirects-file"}
    with pytest.raises(UnknownLeaf, match="there are: trustless-block-gateway"):
        wanted("redirects")
    only = {check.leaves for check in selected(table(SITE), wanted("redirects-file,dnslink-gateway"))}
    assert only == {("redirects-file", "dnslink-gateway"), ("redirects-file",), ("dnslink-gateway",)}


# --- the fixtures


def test_the_fixtures_are_those_of_the_public_suite():
    vectors = Path(__file__).parents[1] / "vectors" / "gateway-conformance" / "fixtures"
    for path in [*archives(), *(record.path for record in records())]:
        assert fixture(path) == (vectors / path).read_bytes()
    assert len(archives()) == 23 and len(records()) == 12


def test_the_domains_are_those_of_the_public_suite():
    vectors = Path(__file__).parents[1] / "vectors" / "gateway-conformance" / "fixtures"
    lines = [
        line.split("#")[0].strip() for file in vectors.rglob("dnslink.yml") for line in file.read_text().splitlines()
    ]
    named = [line.partition(": ")[2] for line in lines if line.startswith("domain:")]
    led = [line.partition(": ")[2] for line in lines if line.startswith("path:")]
    assert dict(zip(named, led, strict=True)) == DOMAINS


def test_an_inlined_domain_is_one_label():
    assert inlined("en.wikipedia-on-ipfs.org") == "en-wikipedia--on--ipfs-org"


def test_provisioning_writes_what_a_node_can_load(tmp_path: Path) -> None:
    provision(tmp_path / "new")
    for archive in (tmp_path / "new" / "cars").iterdir():
        reader = CarReader()
        assert reader.receive_data(archive.read_bytes())
        reader.receive_eof()
    assert {path.name for path in (tmp_path / "new" / "records").iterdir()} == {record.name for record in records()}
    assert len((tmp_path / "new" / "domains").read_text().split(",")) == len(DOMAINS)
    assert set(json.loads((tmp_path / "new" / "public-gateways.json").read_text())) == {"example.com", "localhost"}
    assert "cidery dag import" in (tmp_path / "new" / "README.md").read_text()


# --- the rules


def answer(*pairs: tuple[str, str], status: int = 200, body: bytes = b"") -> Answer:
    return Answer(status, pairs, body)


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (headers.Is("Etag", '"a"'), ['"a"'], ['"b"', 'W/"a"', None]),
        (headers.Has("X", ("a", "b")), ["ab", "b a"], ["a", "", None]),
        (headers.Lists("X", ("GET", "HEAD")), ["get, head", "HEAD,GET,PUT"], ["GET", "GETHEAD", None]),
        (headers.Lacks("X", "immutable"), ["public", None], ["public, immutable"]),
        (headers.Like("X", "^a"), ["ab"], ["ba", None]),
        (headers.Like("X", "^a", or_absent=True), ["ab", None], ["ba"]),
        (headers.Present("X"), ["a"], ["", None]),
        (headers.Absent("X"), [None], ["a"]),
        (headers.Kept(100), ["public, max-age=100, immutable"], ["public, max-age=99, immutable", "max-age=100", None]),
    ],
)
def test_a_header_is_right_or_wrong(rule, right: list[str | None], wrong: list[str | None]) -> None:  # type: ignore[no-untyped-def]
    name = "Cache-Control" if isinstance(rule, headers.Kept) else rule.name
    for value in right:
        assert not rule.faults(answer(*[(name.lower(), value)] if value is not None else []))
    for value in wrong:
        (fault,) = {
            text.partition(", but")[0].partition(" must")[0] for text in rule.faults(answer((name, value or "")))
        }
        assert fault == name


def test_repeated_headers_are_one_list():
    assert answer(("A", "1"), ("a", "2")).header("A") == "1, 2"


def tar(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


RECORD = fixture(next(record.path for record in records() if record.name == V1_AND_V2))
PARTS = b"Content-type: text/plain\r\nContent-range: bytes 0-1/5\r\n\r\nab\r\nContent-Range: bytes 3-4/5\r\n\r\nde"


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (bodies.Bytes(b"a"), [b"a"], [b"", b"ab"]),
        (bodies.Text(("a", "b"), ("c",)), [b"ab"], [b"a", b"abc", b"\xff"]),
        (bodies.Json({"a": 1}), [b'{ "a":1}'], [b'{"a":2}', b"{", b""]),
        (bodies.Nothing(), [b""], [b"a"]),
        (bodies.SameAsFirst(), [b"first"], [b"", b"second"]),
        (bodies.Parts(b"abcde", ((0, 1), (3, 4)), "text/plain"), [PARTS], [PARTS[:-1], PARTS[1:], b""]),
        (bodies.Tar((("a/b", b"c"),)), [tar("a/b", b"c")], [tar("a/b", b"d"), tar("b", b"c"), b"no archive" * 60]),
        (bodies.Tar((("a", None),)), [tar("a", b"x")], [tar("b", b"x"), tar("a", b"x" * 900)[:700]]),
        (
            bodies.NoTar(),
            [tar("a", b"x" * 900)[:700], b"an error", tar("a", b"x")[:1024] + b"an error"],
            [tar("a", b"x")],
        ),
        (bodies.Record(V1_AND_V2, value_of(V1_AND_V2)), [RECORD], [RECORD[:-1], b"", RECORD.replace(b"k", b"l")]),
        (bodies.Record(V2_ONLY, value_of(V2_ONLY)), [], [RECORD]),
        (bodies.Record(V1_AND_V2, "/ipfs/other"), [], [RECORD]),
    ],
)
def test_a_body_is_right_or_wrong(rule, right: list[bytes], wrong: list[bytes]) -> None:  # type: ignore[no-untyped-def]
    first = Answer(200, (), b"first")
    for body in right:
        assert not rule.faults(Answer(200, (), body), first)
    for body in wrong:
        assert rule.faults(Answer(200, (), body), first)


def test_an_archive_has_to_hold_the_right_blocks_in_order():
    tree = dag(SMALL)
    archive = fixture(SMALL)
    reader = CarReader()
    cids = tuple(block.cid for block, _ in reader.receive_data(archive))
    got = Answer(200, (), archive)
    assert not bodies.Car(cids).faults(got, None)
    assert not bodies.Car(cids[:1], exact=False).faults(got, None)
    assert not bodies.Car(cids[::-1], ordered=False).faults(got, None)
    assert "block 0" in bodies.Car(cids[::-1]).faults(got, None)[0]
    assert "must not hold" in bodies.Car(cids[:-1]).faults(got, None)[0]
    assert f"lacks {cids[0]} (2 times)" in bodies.Car((*cids, cids[0], cids[0])).faults(got, None)[0]
    assert "lacks" in bodies.Car((tree.root, dag("gateway-raw-block.car").root), exact=False).faults(got, None)[0]
    assert "right blocks" in bodies.Car(cids).faults(Answer(200, (), archive[:-1]), None)[0]
    damaged = archive[:-1] + bytes([archive[-1] ^ 1])
    assert "right blocks" in bodies.Car(cids).faults(Answer(200, (), damaged), None)[0]


def test_one_of_several_expectations_is_enough():
    either = expect(None, headers.Present("Etag"), one_of=(expect(404), expect(200, body=bodies.Bytes(b"a"))))
    assert not differences(either, answer(("Etag", "x"), status=404))
    assert not differences(either, answer(("Etag", "x"), body=b"a"))
    assert len(differences(either, answer(("Etag", "x"), body=b"b"))) == 2
    assert differences(either, answer(status=404)) == ["Etag must be present"]


def test_a_broken_connection_is_a_difference_unless_it_is_expected():
    broken = Answer(200, (), b"", "it ended early")
    assert differences(expect(200), broken) == ["the connection broke: it ended early"]
    assert not differences(expect((400, 599), may_break=True), broken)


# --- the wire


Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handle: Connection) -> AsyncIterator[Place]:
    running: set[asyncio.Task[None] | None] = set()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())
        try:
            await handle(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        yield Place("http", "127.0.0.1", server.sockets[0].getsockname()[1])
    left = [task for task in running if task is not None]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def replying(data: bytes, seen: list[bytes]) -> Connection:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(data)
        await writer.drain()
        writer.close()

    return handle


OK = b'HTTP/1.1 200 OK\r\nEtag: W/"x"\r\nContent-Length: 2\r\n\r\nhi'


async def test_target_and_host_go_out_exactly_as_given() -> None:
    seen: list[bytes] = []
    async with serving(replying(OK, seen)) as place:
        got = await send(place, ask("/a/../%2e%c4%85+?x=%2F", {"Accept": "b"}, host="cid.ipfs.example.com:8080"))
        await send(place, ask("http://cid.example/ipfs/", method="HEAD", host="cid.example"))
    assert (got.status, got.body, got.header("ETAG"), got.broken) == (200, b"hi", 'W/"x"', "")
    assert seen[0].startswith(b"GET /a/../%2e%c4%85+?x=%2F HTTP/1.1\r\nHost: cid.ipfs.example.com:8080\r\n")
    assert b"\r\nAccept: b\r\n" in seen[0]
    assert seen[1].startswith(b"HEAD http://cid.example/ipfs/ HTTP/1.1\r\nHost: cid.example\r\n")


async def test_a_redirect_is_an_answer() -> None:
    seen: list[bytes] = []
    moved = b"HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with serving(replying(moved, seen)) as place:
        got = await send(place, ask("/"))
    assert (got.status, got.header("Location"), len(seen)) == (301, "/elsewhere", 1)


async def test_a_tunnel_is_asked_for_first() -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"HTTP/1.1 200 Connection established\r\n\r\n", OK):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply)
        writer.close()

    async with serving(handle) as place:
        got = await send(place, ask("/x", host="a.example", tunnel="{gateway}"))
        assert got.body == b"hi"
        assert seen[0].startswith(f"CONNECT 127.0.0.1:{place.port} HTTP/1.1\r\n".encode())
        assert seen[1].startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n")


async def test_a_refused_tunnel_is_told() -> None:
    async with serving(replying(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", [])) as place:
        outcome = await run_one(place, Check(LEAVES[:1], "x", ask("/", tunnel="{gateway}"), expect(200)))
    assert "answered with 405" in outcome.differences[0] and outcome.answer is None


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, "not HTTP"),
    ],
)
async def test_what_is_no_answer_is_told(reply: bytes, told: str) -> None:
    async with serving(replying(reply, [])) as place:
        outcome = await run_one(place, Check(LEAVES[:1], "x", ask("/"), expect(200)))
    assert told in outcome.differences[0]


async def test_an_endless_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cidery.gateway.check.wire.MAX_BODY", 10)
    async with serving(replying(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 11, [])) as place:
        with pytest.raises(TooLong):
            await send(place, ask("/"))


async def test_the_tag_of_the_first_answer_goes_into_the_second_request() -> None:
    seen: list[bytes] = []
    tagged = Check(LEAVES[:1], "x", ask("/", {"If-None-Match": '{etag}, "{tag}"'}), expect(200), first=ask("/first"))
    async with serving(replying(OK, seen)) as place:
        outcome = await run_one(place, tagged)
    assert not outcome.differences
    assert b'\r\nIf-None-Match: W/"x", "x"\r\n' in seen[1] and seen[0].startswith(b"GET /first ")


async def test_the_outcomes_come_in_the_order_of_the_table() -> None:
    checks = [Check(LEAVES[:1], str(number), ask(f"/{number}"), expect(200)) for number in range(30)]
    async with serving(replying(OK, [])) as place:
        assert [outcome.check.name async for outcome in run_all(place, checks)] == [str(n) for n in range(30)]


@pytest.mark.parametrize(
    "text", ["nonsense", "ftp://a", "http://", "http://a:b", "http://a/b", "http://[::1", "http://a?b"]
)
def test_what_is_no_url_of_a_gateway_is_refused(text: str) -> None:
    with pytest.raises(BadUrl):
        parse_url(text)


def test_a_url_names_scheme_host_and_port():
    assert parse_url("http://127.0.0.1:8080/") == Place("http", "127.0.0.1", 8080)
    assert parse_url("https://a.example").authority == "a.example"
    assert parse_url("http://[::1]:8080").url == "http://[::1]:8080"


def test_the_origin_with_subdomains_follows_from_the_url():
    here = parse_url("http://127.0.0.1:8080")
    assert site_of(here, "") == Site("http", "localhost:8080")
    assert site_of(here, "https://example.com") == Site("https", "example.com")
    assert site_of(parse_url("https://ipfs.example"), "") == Site("https", "ipfs.example")


def test_a_request_is_shown_as_a_line_for_curl():
    place = Place("http", "127.0.0.1", 8080)
    assert curl(place, ask("/a?b", {"Range": "bytes=0-1"}, method="HEAD")) == (
        "curl -sS -i --path-as-is -I -H 'Range: bytes=0-1' 'http://127.0.0.1:8080/a?b'"
    )
    assert curl(place, ask("/", host="a.example")).endswith("-H 'Host: a.example' http://127.0.0.1:8080/")
    assert curl(place, ask("/x", host="a.example", tunnel="{gateway}")).endswith(
        "-x http://127.0.0.1:8080 -p http://a.example/x"
    )


# --- the command


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["gateway", "check", *words])
    sys.stdout.flush()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["http://127.0.0.1:1"], "no gateway answers at http://127.0.0.1:1: connection refused"),
        (["nonsense"], "no URL of a gateway"),
        (["http://127.0.0.1:1", "--specs", "nothing"], "unknown part 'nothing'"),
        (["http://127.0.0.1:1", "--subdomain-url", "nonsense"], "no URL of a gateway"),
        ([], "'url' is required"),
        (["http://127.0.0.1:1", "--provision", "x"], "a call of its own"),
    ],
)
def test_when_nothing_was_checked_the_exit_code_is_two(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "") and told in err and err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotProvision, match=r"cannot be written to .*file: not a directory; give another folder"):
        provision(tmp_path / "file")


def test_provisioning_is_an_option_of_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "--provision", str(tmp_path / "x")) == (0, "", "")
    assert (tmp_path / "x" / "cars").is_dir()


Replies = Callable[[bytes], bytes | None]
"""The reply to a request; None: never."""


def gateway_with(replies: Replies, seen: list[bytes]) -> Connection:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        seen.append(request)
        reply = replies(request)
        if reply is None:
            await reader.read()
        else:
            writer.write(reply)
            await writer.drain()
        writer.close()

    return handle


EMPTY_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NOT_HERE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (NOT_HERE, "with 404, where every gateway says 200"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n", "with 301"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        (None, "no answer to HEAD /ipfs/bafkqaaa?format=raw within 0 s"),
    ],
)
async def test_what_is_no_gateway_is_told_after_one_request(
    reply: bytes | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidery.gateway.check.probe.PROBE_SECONDS", 0.2 if reply is None else 30.0)
    seen: list[bytes] = []
    async with serving(gateway_with(lambda _: reply, seen)) as place:
        with pytest.raises(NoGateway, match=r"is no IPFS gateway: .*" + re.escape(told)):
            await probe(place)
    assert len(seen) == 1


@pytest.mark.parametrize("elsewhere", [NOT_HERE, None], ids=["says that they are not there", "searches for ever"])
async def test_a_gateway_without_any_fixture_is_told_soon(
    elsewhere: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidery.gateway.check.probe.PROBE_SECONDS", 0.5)
    seen: list[bytes] = []
    replies: Replies = lambda request: EMPTY_OK if b"bafkqaaa" in request else elsewhere  # noqa: E731
    async with serving(gateway_with(replies, seen)) as place:
        with pytest.raises(NoFixtures, match="cidery gateway check --provision DIR"):
            await probe(place)
    assert len(seen) == 1 + len({dag(path).root for path in archives()})


async def test_one_fixture_is_enough_to_begin_and_the_others_are_known_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cidery.gateway.check.probe.PROBE_SECONDS", 0.5)
    held = str(dag(SMALL).root).encode()
    replies: Replies = lambda request: EMPTY_OK if b"bafkqaaa" in request or held in request else None  # noqa: E731
    async with serving(gateway_with(replies, [])) as place:
        missing = await probe(place)
    assert SMALL not in missing and missing == {path for path in archives() if dag(path).root != dag(SMALL).root}


def test_a_check_needs_the_archive_of_what_it_asks_for_by_cid_or_by_name() -> None:
    every = set(archives())
    checks = table(SITE)
    assert not any(lacks(check, ()) for check in checks)
    needing = [check for check in checks if lacks(check, every)]
    assert {check.leaves[0] for check in needing} == set(LEAVES) - {"trustless-ipns-gateway"}
    assert len(needing) > 0.6 * len(checks)
    for check in checks:
        if str(dag(SMALL).root) in check.ask.target:
            assert lacks(check, {SMALL}) == SMALL and not lacks(check, every - {SMALL})
    listing = next(check for check in checks if "dnslink-dir-listing.example.org" in check.ask.host)
    assert lacks(listing, every).startswith("dir_listing/")
    assert not any(lacks(check, every) for check in checks if "bafkqaaa" in check.ask.target and not check.ask.host)


async def test_what_is_missing_is_said_and_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    held = str(dag(SMALL).root).encode()
    replies: Replies = lambda request: EMPTY_OK if b"bafkqaaa" in request or held in request else NOT_HERE  # noqa: E731
    seen: list[bytes] = []
    async with serving(gateway_with(replies, seen)) as place:
        code, out, _ = await asyncio.to_thread(run, capsys, place.url, "--specs", "trustless-block-gateway")
    blocks = str(dag("gateway-raw-block.car").root).encode()
    assert sum(blocks in request for request in seen) == 1, "by the probe"
    assert code == 1 and re.search(r"gateway-raw-block.car is not on this gateway: \d+ checks are skipped", out)
    row = next(line for line in out.splitlines() if line.startswith("trustless-block-gateway "))
    assert int(row.split()[3]) > 5


async def test_a_gateway_that_leads_to_its_subdomains_is_one() -> None:
    def replies(request: bytes) -> bytes:
        cid = request.split(b"/ipfs/")[1].split(b"?")[0] if b"/ipfs/" in request else b""
        moved = b"HTTP/1.1 301 Moved\r\nLocation: http://%s.ipfs.localhost/?format=raw\r\nContent-Length: 0\r\n\r\n"
        return moved % cid if cid else EMPTY_OK

    seen: list[bytes] = []
    async with serving(gateway_with(replies, seen)) as place:
        await probe(place)
    assert seen[1].startswith(b"HEAD /?format=raw HTTP/1.1\r\nHost: bafkqaaa.ipfs.localhost\r\n")
