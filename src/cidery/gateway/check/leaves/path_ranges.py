"""Parts of files.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#range-request-header
"""

from cidery.gateway.check.bodies import Bytes, Nothing
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Is
from cidery.gateway.check.leaves.usual import multiply, partly
from cidery.gateway.check.model import Ask, Check, Expect, Site, ask, expect

LEAVES = ("path-range-gateway", "path-unixfs-gateway")
GAPS = "trustless_gateway_car/file-3k-and-3-blocks-missing-block.car"
MIXED = "trustless_gateway_car/subdir-with-mixed-block-files.car"


def checks(site: Site) -> list[Check]:
    tree = dag("path_gateway_unixfs/dir-with-files.car")
    data, path = tree.block("ascii.txt"), f"/ipfs/{tree.root}/ascii.txt"
    gaps = f"/ipfs/{dag(GAPS).root}"
    both = ((6, 16), (0, 4))
    promised = Is("Accept-Ranges", "bytes")
    return [
        _get("a file promises ranges", ask(path), expect(200, promised, body=Bytes(data))),
        _get("one range", _part(path, "6-16"), partly(data, (6, 16))),
        _get("the last bytes", _part(path, "-3"), partly(data, (28, 30))),
        _get("two ranges", _part(path, "6-16,0-4"), expect(one_of=multiply(data, both))),
        _get("bytes before a missing block", _part(gaps, "997-1000"), _span("997-1000")),
        _get("bytes behind a missing block", _part(gaps, "2200-2201"), _span("2200-2201")),
        *_ours(path, data),
        *_across(),
    ]


def _get(name: str, asked: Ask, expected: Expect, *, ours: bool = False) -> Check:
    return Check(LEAVES, name, asked, expected, ours=ours)


def _part(path: str, wanted: str) -> Ask:
    return ask(path, {"Range": f"bytes={wanted}"})


def _span(wanted: str) -> Expect:
    return expect(206, Is("Content-Range", f"bytes {wanted}/3072"))


def _ours(path: str, data: bytes) -> list[Check]:
    whole, last = expect(200, body=Bytes(data)), len(data) - 1
    head = expect(200, Is("Accept-Ranges", "bytes"), Is("Content-Length", str(len(data))), body=Nothing())
    refused = (expect(400), expect(416))
    outside = expect(416, Is("Content-Range", f"bytes */{len(data)}"))
    kept, other = {"Range": "bytes=6-16", "If-Range": "{etag}"}, {"Range": "bytes=6-16", "If-Range": '"other"'}
    return [
        _get("HEAD promises ranges", ask(path, method="HEAD"), head, ours=True),
        _get("from a place to the end", _part(path, "28-"), partly(data, (28, last)), ours=True),
        _get("more last bytes than there are", _part(path, "-9999"), partly(data, (0, last)), ours=True),
        _get("a range that ends behind the end", _part(path, "6-9999"), partly(data, (6, last)), ours=True),
        _get("a range behind the end", _part(path, f"{len(data)}-"), outside, ours=True),
        # "MAY ignore or reject a Range header field that contains an invalid ranges-specifier" (RFC 9110, 14.2)
        _get("a range that makes no sense", _part(path, "x-y"), expect(one_of=(whole, *refused)), ours=True),
        # "MUST ignore a Range header field that contains a range unit it does not understand"
        _get("a range of something else than bytes is ignored", ask(path, {"Range": "lines=1-2"}), whole, ours=True),
        Check(LEAVES, "If-Range with the tag", ask(path, kept), partly(data, (6, 16)), first=ask(path), ours=True),
        _get("If-Range with another tag", ask(path, other), whole, ours=True),
    ]


def _across() -> list[Check]:
    """Of a file of several blocks."""
    tree = dag(MIXED)
    path = f"/ipfs/{tree.root}/subdir/multiblock.txt"
    data = b"".join(tree.contents("subdir", "multiblock.txt"))
    whole = expect(200, Is("Content-Length", str(len(data))), body=Bytes(data))
    return [
        _get("a file of several blocks", ask(path), whole, ours=True),
        _get("a range of two blocks", _part(path, "250-260"), partly(data, (250, 260)), ours=True),
        _get("the last block", _part(path, "-2"), partly(data, (len(data) - 2, len(data) - 1)), ours=True),
    ]
