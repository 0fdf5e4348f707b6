"""Blocks: ``/ipfs/CID?format=raw``.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/#block-responses-application-vnd-ipld-raw
"""

from cidery.gateway.check.bodies import Bytes, Nothing
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is, Kept, Like, Lists, Present
from cidery.gateway.check.leaves.usual import (
    IMMUTABLE,
    NOWHERE,
    RAW_TYPE,
    by_accept,
    get,
    own,
    ranges,
    same_head,
    strict_ranges,
    tagged,
)
from cidery.gateway.check.model import Check, Site, ask, expect

LEAF = "trustless-block-gateway"
PROBE = "/ipfs/bafkqaaa?format=raw"
"""The empty block, by which clients find out whether a host is a gateway."""


def checks(site: Site) -> list[Check]:
    blocks = dag("gateway-raw-block.car")
    directory, cid = blocks.cid("dir"), blocks.cid("dir", "ascii.txt")
    data, raw = blocks.block("dir", "ascii.txt"), by_accept(RAW_TYPE)
    asked = ask(f"/ipfs/{cid}", raw)
    whole = expect(200, body=Bytes(blocks.block("dir")))
    found = [
        get(LEAF, "?format=raw returns the block", ask(f"/ipfs/{directory}?format=raw"), whole),
        get(LEAF, "Accept of a raw block returns the block", ask(f"/ipfs/{directory}", raw), whole),
        get(LEAF, "a block has its headers", asked, expect(200, *block_headers(data), body=Bytes(data))),
        get(
            LEAF,
            "?filename names the attachment",
            ask(f"/ipfs/{cid}?filename=foobar.bin", raw),
            expect(200, Has("Content-Disposition", ("attachment;", 'filename="foobar.bin'))),
        ),
        get(
            LEAF,
            "a block may be kept for ever",
            asked,
            expect(
                200,
                Present("Etag"),
                Is("X-Ipfs-Path", f"/ipfs/{cid}"),
                Has("X-Ipfs-Roots", (str(cid),)),
                Kept(29030400),
            ),
        ),
    ]
    return found + ranges(LEAF, "a block", asked, data, RAW_TYPE) + _ours(str(cid), data) + _negotiated(str(cid), data)


def block_headers(data: bytes) -> tuple[Is | Has, ...]:
    return (
        Is("Content-Type", RAW_TYPE),
        Is("Content-Length", str(len(data))),
        Has("Content-Disposition", ("attachment;",)),
        Is("X-Content-Type-Options", "nosniff"),
    )


def _ours(cid: str, data: bytes) -> list[Check]:
    asked = ask(f"/ipfs/{cid}?format=raw")
    exact = (
        *block_headers(data),
        Is("Etag", f'"{cid}.raw"'),
        Is("Cache-Control", IMMUTABLE),
        Like("Content-Disposition", f'^attachment; filename="{cid}.bin"'),
    )
    only = {"Cache-Control": "only-if-cached"}
    return [
        same_head(LEAF, "a block", asked, *exact),
        *strict_ranges(LEAF, "a block", asked, data, RAW_TYPE),
        *tagged(LEAF, "a block", asked),
        own(
            LEAF,
            "the probe is answered with nothing",
            ask(PROBE),
            expect(200, Is("Content-Type", RAW_TYPE), body=Nothing()),
        ),
        own(LEAF, "the probe by HEAD", ask(PROBE, method="HEAD"), expect(200, body=Nothing())),
        own(
            LEAF,
            "the probe is answered with its size",
            ask(PROBE),
            expect(200, Is("Content-Length", "0")),
        ),
        own(LEAF, "a CID that is none is refused", ask("/ipfs/QmInvalidCID?format=raw"), expect(400)),
        own(LEAF, "only-if-cached without the block", ask(f"/ipfs/{NOWHERE}?format=raw", only), expect(412)),
        own(
            LEAF,
            "only-if-cached by HEAD without the block",
            ask(f"/ipfs/{NOWHERE}?format=raw", only, method="HEAD"),
            expect(412),
        ),
        own(LEAF, "only-if-cached with the block", ask(f"/ipfs/{cid}?format=raw", only), expect(200, body=Bytes(data))),
        own(
            LEAF,
            "a block may be read by pages of any origin",
            ask(f"/ipfs/{cid}?format=raw"),
            expect(
                200,
                Is("Access-Control-Allow-Origin", "*"),
                Lists(
                    "Access-Control-Expose-Headers", ("Content-Length", "Content-Range", "X-Ipfs-Path", "X-Ipfs-Roots")
                ),
            ),
        ),
    ]


def _negotiated(cid: str, data: bytes) -> list[Check]:
    return [
        own(
            LEAF,
            "Content-Location names the form that Accept chose",
            ask(f"/ipfs/{cid}", by_accept(RAW_TYPE)),
            expect(200, Is("Content-Location", f"/ipfs/{cid}?format=raw")),
        ),
        own(
            LEAF,
            "Content-Location keeps the query",
            ask(f"/ipfs/{cid}?filename=a.bin", by_accept(RAW_TYPE)),
            expect(200, Is("Content-Location", f"/ipfs/{cid}?filename=a.bin&format=raw")),
        ),
        own(
            LEAF,
            "a trustless type is preferred among others",
            ask(f"/ipfs/{cid}", {"Accept": f"image/avif, {RAW_TYPE}, */*;q=0.8"}),
            expect(200, Is("Content-Type", RAW_TYPE), body=Bytes(data)),
        ),
        own(
            LEAF,
            "the type with the highest q-value is chosen",
            ask(f"/ipfs/{cid}", {"Accept": f"application/vnd.ipld.car;q=0.1, {RAW_TYPE};q=0.9"}),
            expect(200, Is("Content-Type", RAW_TYPE), body=Bytes(data)),
        ),
    ]
