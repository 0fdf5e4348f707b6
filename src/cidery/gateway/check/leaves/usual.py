"""Expectations that many checks share. Pure."""

from collections.abc import Mapping

from cidery.gateway.check.bodies import Bytes, Nothing, Parts
from cidery.gateway.check.headers import Has, Is, Lacks, Like
from cidery.gateway.check.model import Ask, Check, Expect, HeaderRule, expect
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.multihash import SHA2_256

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
RECORD_TYPE = "application/vnd.ipfs.ipns-record"
IMMUTABLE = "public, max-age=29030400, immutable"
"""Cache-Control of what a CID names: 48 weeks."""
GENERATED = Like("Cache-Control", r"^public, max-age=604800, stale-while-revalidate=2678400$", or_absent=True)
"""That of pages that are made from content and may change: a week, or nothing."""
BY_NAME = Like("Cache-Control", r"^public, max-age=\d+", or_absent=True)
"""That of what a name points to: its time to live, or nothing."""
INLINED_HELLO = "bafkqabtimvwgy3yk"
"""A CID that holds its data, ``hello\\n``: it needs no blockstore."""
NOWHERE = str(CID(1, RAW, bytes([SHA2_256, 32]) + b"nobody has the bytes of this CID"))
"""A CID whose digest is a text: there are no such bytes."""

FIRST_RANGE = (7, 9)
SECOND_RANGE = (1, 3)


def by_accept(media_type: str) -> dict[str, str]:
    return {"Accept": media_type}


def partly(data: bytes, span: tuple[int, int], *headers: HeaderRule) -> Expect:
    """206 with one range (first, last) of ``data``."""
    start, end = span
    content_range = Is("Content-Range", f"bytes {start}-{end}/{len(data)}")
    return expect(206, content_range, *headers, body=Bytes(data[start : end + 1]))


def multiply(data: bytes, spans: tuple[tuple[int, int], ...], media_type: str = "") -> tuple[Expect, ...]:
    """The two answers to a request of several ranges: the first of them, or all in parts."""
    typed = (Is("Content-Type", media_type),) if media_type else ()
    parts = expect(206, Has("Content-Type", ("multipart/byteranges",)), body=Parts(data, spans, media_type))
    return partly(data, spans[0], *typed), parts


def ranges(
    leaf: str, name: str, asked: Ask, data: bytes, media_type: str, *, also: tuple[HeaderRule, ...] = ()
) -> list[Check]:
    """One range and two, either of which may be ignored: "a server MAY ignore the Range header" (RFC 9110)."""
    whole = expect(200, body=Bytes(data))
    both = (FIRST_RANGE, SECOND_RANGE)
    two = (expect(200, Is("Content-Type", media_type), body=Bytes(data)), *multiply(data, both, media_type))
    return [
        Check(
            (leaf,),
            f"{name}: one range",
            ranged(asked, FIRST_RANGE),
            expect(None, *also, one_of=(partly(data, FIRST_RANGE), whole)),
        ),
        Check((leaf,), f"{name}: two ranges", ranged(asked, *both), expect(None, *also, one_of=two)),
    ]


def strict_ranges(leaf: str, name: str, asked: Ask, data: bytes, media_type: str) -> list[Check]:
    """Ours: "Accept-Ranges: bytes" is a promise, so a range is answered with 206."""
    both = (FIRST_RANGE, SECOND_RANGE)
    typed = Is("Content-Type", media_type)
    beyond = f"bytes={len(data)}-"
    return [
        Check(
            (leaf,),
            f"{name}: one range is answered with 206",
            ranged(asked, FIRST_RANGE),
            partly(data, FIRST_RANGE, typed),
            ours=True,
        ),
        Check(
            (leaf,),
            f"{name}: two ranges are answered with 206",
            ranged(asked, *both),
            expect(one_of=multiply(data, both, media_type)),
            ours=True,
        ),
        Check(
            (leaf,),
            f"{name}: the last bytes are answered with 206",
            with_headers(asked, {"Range": "bytes=-3"}),
            partly(data, (len(data) - 3, len(data) - 1), typed),
            ours=True,
        ),
        Check(
            (leaf,),
            f"{name}: a range behind the end is answered with 416, which no cache may keep",
            with_headers(asked, {"Range": beyond}),
            expect(416, Is("Content-Range", f"bytes */{len(data)}"), Lacks("Cache-Control", "public")),
            ours=True,
        ),
    ]


def ranged(asked: Ask, *spans: tuple[int, int]) -> Ask:
    return with_headers(asked, {"Range": "bytes=" + ",".join(f"{start}-{end}" for start, end in spans)})


def with_headers(asked: Ask, headers: Mapping[str, str]) -> Ask:
    return asked._replace(headers=(*asked.headers, *headers.items()))


def as_head(asked: Ask) -> Ask:
    return asked._replace(method="HEAD")


def tagged(leaf: str, name: str, asked: Ask) -> list[Check]:
    """Ours: the Etag of an answer, sent back, saves the body."""
    return [
        Check(
            (leaf,),
            f"{name}: If-None-Match with {what} is answered with 304",
            with_headers(asked, {"If-None-Match": given}),
            expect(304, body=Nothing()),
            first=asked,
            ours=True,
        )
        for what, given in (
            ("its Etag", "{etag}"),
            ("its Etag among others", '"other", {etag}'),
            ("the weak form", 'W/"{tag}"'),
        )
    ]


def same_head(leaf: str, name: str, asked: Ask, *headers: HeaderRule) -> Check:
    """Ours: HEAD has the headers of GET and no body."""
    expected = expect(200, *headers, body=Nothing())
    return Check((leaf,), f"{name}: HEAD has the headers and no body", as_head(asked), expected, ours=True)


def get(leaf: str, name: str, asked: Ask, expected: Expect) -> Check:
    return Check((leaf,), name, asked, expected)


def own(leaf: str, name: str, asked: Ask, expected: Expect, first: Ask | None = None) -> Check:
    """A check of ours."""
    return Check((leaf,), name, asked, expected, first, ours=True)
