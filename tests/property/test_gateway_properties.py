"""Whatever a client or a site's author writes: the gateway's parsers give a value, or their own error."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cidery
from cidery.errors import CideryError
from cidery.gateway.conditional import matches_tag, not_modified_since
from cidery.gateway.hosts import Hosts, LabelTooLong, PublicGateway, from_inlined, inlined
from cidery.gateway.listing import Crumbs, Row, rows
from cidery.gateway.media_type import by_content, by_name
from cidery.gateway.negotiate import form_of
from cidery.gateway.options import GatewayOptions
from cidery.gateway.redirects_file import BadRedirects, find_redirect, parse_redirects, with_query
from cidery.gateway.site import Site
from cidery.http.dates import imf_fixdate
from cidery.http.message import BadRequest, Request
from cidery.http.ranges import Range, Unsatisfiable, multipart, parse_ranges
from cidery.multiformats.cid import CID

TOKENS = st.sampled_from(
    ["/ipfs/", "/ipns/", "bafkqaaa", "bafkqabtimvwgy3yk", "..", "%2f", "%00", "%ff", "?", "&", "=", "format=", "raw",
     "car", "tar", "json", "uri=", "ipfs://", "*", ":a", " ", "\n", "#", "301", "200", "/", "\\", "é", "filename="]
)  # fmt: skip
TARGETS = st.lists(TOKENS | st.text(max_size=5), max_size=12).map("".join)
FEW = settings(max_examples=200, deadline=None)


@FEW
@given(st.text(max_size=60) | st.lists(st.sampled_from("bytes=-,0123456789 ")).map("".join), st.integers(0, 2000))
def test_ranges_lie_inside(header: str, size: int) -> None:
    try:
        ranges = parse_ranges(header, size)
    except Unsatisfiable:
        return
    assert all(0 <= one.first <= one.last < size for one in ranges)
    if len(ranges) > 1:
        frame = multipart(ranges, size, "text/plain", "b")
        assert frame.length == sum(map(len, frame.heads)) + sum(one.length for one in ranges) + len(frame.tail)


@FEW
@given(st.integers(0, 10**40), st.none() | st.integers(0, 10**40), st.integers(0, 3), st.integers(1, 2000))
def test_a_range_of_any_numbers_is_the_one_that_they_say(first: int, last: int | None, zeros: int, size: int) -> None:
    header = f"bytes={'0' * zeros}{first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert parse_ranges(header, size) == []
    elif first >= size:
        with pytest.raises(Unsatisfiable):
            parse_ranges(header, size)
    else:
        assert parse_ranges(header, size) == [Range(first, min(size - 1 if last is None else last, size - 1))]


@FEW
@given(st.binary(max_size=400) | TARGETS.map(str.encode), TARGETS, st.text(max_size=20))
def test_redirects_are_rules_or_refused(data: bytes, path: str, query: str) -> None:
    try:
        rules = parse_redirects(data)
    except BadRedirects:
        return
    found = find_redirect(rules, path)
    if found is not None:
        assert "\n" not in with_query(found.target, query.replace("\n", "")) and "\r" not in found.target


@FEW
@given(
    st.binary(max_size=4000) | st.text(alphabet="<!-?xmlsvghtp >{[\"'", max_size=4000).map(str.encode), st.booleans()
)
def test_content_has_one_type(head: bytes, whole: bool) -> None:
    alone = by_content(head, whole=whole, isolated=True)
    shared = by_content(head, whole=whole, isolated=False)
    assert alone == shared or shared == "text/plain; charset=utf-8"
    assert not shared.startswith("text/html")


@FEW
@given(st.text(max_size=80), st.text(max_size=80))
def test_texts_of_headers_never_break_anything(first: str, second: str) -> None:
    by_name(first)
    matches_tag(first, (second,))
    not_modified_since(first, 0)
    Hosts({"a.example": PublicGateway(use_subdomains=True)}).find(first)
    try:
        form_of(Request("GET", f"/ipfs/x?{second}", {"accept": first}))
    except BadRequest:
        pass


@FEW
@given(st.integers())
def test_times_have_a_date_or_none(seconds: int) -> None:
    date = imf_fixdate(seconds)
    assert date is None or date.endswith(" GMT")


@FEW
@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?){1,4}", fullmatch=True))
def test_a_domain_survives_its_label(domain: str) -> None:
    try:
        label = inlined(domain)
    except LabelTooLong:
        return
    assert from_inlined(label) == domain and "." not in label


@FEW
@given(st.text(max_size=30))
def test_a_name_never_leaves_its_row(name: str) -> None:
    row = rows(Crumbs("ipfs", "root", ()), "/ipfs/root/", [Row(name, CID.of(b""), 1)])
    assert row.count("<tr>") == 1 and row.count("<a ") == 2
    assert "<script" not in row.lower()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        yield Site(node.api, GatewayOptions(fetches=False, no_dnslink=True))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=TARGETS, host=st.sampled_from(["", "localhost", "bafkqaaa.ipfs.localhost", "x.ipns.localhost"]) | TARGETS)
async def test_every_request_has_an_answer(site: Site, target: str, host: str) -> None:
    request = Request("GET", f"/{target}", {"host": host, "accept": "text/html"})
    response = await site.handle(request)
    assert 200 <= response.status < 600
    for name, value in response.headers.items():
        assert not set(name + value) & set("\r\n\0"), (name, value)
    if not isinstance(response.body, bytes):
        try:
            async for _ in response.body:
                pass
        except CideryError:
            pass
