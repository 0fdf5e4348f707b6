"""Archives: ``/ipfs/CID/path?format=car``, the blocks that prove a path and those of the scope at its end.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/#car-responses-application-vnd-ipld-car
"""

from cidery.gateway.check.bodies import Car, Nothing
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is, Like, Present
from cidery.gateway.check.leaves.usual import (
    CAR_TYPE,
    IMMUTABLE,
    NOWHERE,
    RAW_TYPE,
    by_accept,
    get,
    own,
    same_head,
    tagged,
)
from cidery.gateway.check.model import Check, Expect, Site, ask, expect
from cidery.multiformats.cid import CID

LEAF = "trustless-car-gateway"
FOLDER = "trustless_gateway_car/"
SMALL = FOLDER + "subdir-with-two-single-block-files.car"
SHARDED = FOLDER + "single-layer-hamt-with-multi-block-files.car"
CBOR = FOLDER + "dir-with-dag-cbor-with-links.car"
MIXED = FOLDER + "subdir-with-mixed-block-files.car"
GAPS = FOLDER + "file-3k-and-3-blocks-missing-block.car"
GAPS_FIRST = CID.parse("QmPKt7ptM2ZYSGPUc8PmPT2VBkLDK3iqpG9TBJY7PCE9rF")
GAPS_LAST = CID.parse("QmWXY482zQdwecnfBsj78poUUuPXvyw2JAFAEMw4tzTavV")
"""The first and the third KiB of the file whose second one is nowhere."""
HEADERS = (
    Is("X-Content-Type-Options", "nosniff"),
    Is("Accept-Ranges", "none"),
    Has("Content-Type", (CAR_TYPE,)),
    Like("Content-Disposition", r'attachment; filename=".*\.car"'),
    Present("Etag"),
)


def checks(site: Site) -> list[Check]:
    return [*_paths(), *_block_scope(), *_entity_scope(), *_all_scope(), *_ranges(), *_precedence(), *_ours()]


def _both(name: str, path: str, query: str, expected: Expect) -> list[Check]:
    """The same by ``?format=car`` and by Accept."""
    by_query = f"{path}?{query}&format=car" if query else f"{path}?format=car"
    return [
        get(LEAF, f"{name}, by ?format", ask(by_query), expected),
        get(LEAF, f"{name}, by Accept", ask(f"{path}?{query}" if query else path, by_accept(CAR_TYPE)), expected),
    ]


def _exactly(*cids: CID, ordered: bool = True) -> Expect:
    return expect(200, *HEADERS, body=Car(cids, ordered=ordered))


def _paths() -> list[Check]:
    small, sharded, cbor = dag(SMALL), dag(SHARDED), dag(CBOR)
    folder, file = small.cid("subdir"), small.cid("subdir", "ascii.txt")
    document = cbor.cid("document")
    found = _both(
        "a file on a path through directories",
        f"/ipfs/{small.root}/subdir/ascii.txt",
        "",
        _exactly(small.root, folder, file),
    )
    found += _both(
        "a file on a path through a sharded directory",
        f"/ipfs/{sharded.root}/685.txt",
        "",
        _exactly(sharded.root, *sharded.trail(sharded.root, "685.txt"), *sharded.below("685.txt")),
    )
    found += _both(
        "a file on a path through a DAG-CBOR document",
        f"/ipfs/{document}/files/single",
        "",
        _exactly(document, cbor.cid("document", "files", "single")),
    )
    absent = expect(
        one_of=(_exactly(small.root, folder), expect(404), expect(200, Present("X-Stream-Error"), *HEADERS))
    )
    return found + _both("a file that does not exist", f"/ipfs/{small.root}/subdir/i-do-not-exist", "", absent)


def _block_scope() -> list[Check]:
    small, sharded = dag(SMALL), dag(SHARDED)
    folder, file = small.cid("subdir"), small.cid("subdir", "ascii.txt")
    block = "dag-scope=block"
    return [
        *_both("block scope of a directory", f"/ipfs/{small.root}/subdir", block, _exactly(small.root, folder)),
        *_both(
            "block scope of a file",
            f"/ipfs/{small.root}/subdir/ascii.txt",
            block,
            _exactly(small.root, folder, file),
        ),
        *_both(
            "block scope of a file in a sharded directory",
            f"/ipfs/{sharded.root}/1.txt",
            block,
            _exactly(sharded.root, *sharded.trail(sharded.root, "1.txt")),
        ),
    ]


def _entity_scope() -> list[Check]:
    small, sharded, mixed, cbor = dag(SMALL), dag(SHARDED), dag(MIXED), dag(CBOR)
    entity, path = "dag-scope=entity", (mixed.root, mixed.cid("subdir"))
    file = mixed.cid("subdir", "multiblock.txt")
    return [
        *_both("entity scope of a directory", f"/ipfs/{small.root}", entity, _exactly(small.root)),
        *_both(
            "entity scope of a sharded directory",
            f"/ipfs/{sharded.root}",
            entity,
            _exactly(sharded.root, *sharded.shards(sharded.root)),
        ),
        *_both(
            "entity scope of a file of one block",
            f"/ipfs/{mixed.root}/subdir/ascii.txt",
            entity,
            _exactly(*path, mixed.cid("subdir", "ascii.txt")),
        ),
        *_both(
            "entity scope of a file of many blocks",
            f"/ipfs/{mixed.root}/subdir/multiblock.txt",
            entity,
            _exactly(*path, file, *mixed.below("subdir", "multiblock.txt")),
        ),
        *_both(
            "entity scope of a DAG-CBOR document",
            f"/ipfs/{cbor.root}/document",
            entity,
            _exactly(cbor.root, cbor.cid("document")),
        ),
    ]


def _all_scope() -> list[Check]:
    mixed = dag(MIXED)
    path, file = (mixed.root, mixed.cid("subdir")), mixed.cid("subdir", "multiblock.txt")
    return [
        *_both(
            "all of a directory",
            f"/ipfs/{mixed.root}/subdir",
            "dag-scope=all",
            _exactly(*path, *mixed.below("subdir")),
        ),
        *_both(
            "all of a file",
            f"/ipfs/{mixed.root}/subdir/multiblock.txt",
            "dag-scope=all",
            _exactly(*path, file, *mixed.below("subdir", "multiblock.txt")),
        ),
    ]


def _ranges() -> list[Check]:
    gaps, mixed, sharded = dag(GAPS), dag(MIXED), dag(SHARDED)
    file, chunks = mixed.cid("subdir", "multiblock.txt"), mixed.below("subdir", "multiblock.txt")

    def span(name: str, path: str, wanted: str, expected: Expect) -> list[Check]:
        return _both(
            name, path, f"dag-scope=entity&entity-bytes={wanted.replace(':', '%3A').replace('*', '%2A')}", expected
        )

    found = [
        *span(
            "bytes before a missing block",
            f"/ipfs/{gaps.root}",
            "0:1000",
            _exactly(gaps.root, GAPS_FIRST, ordered=False),
        ),
        *span(
            "bytes behind a missing block",
            f"/ipfs/{gaps.root}",
            "2200:*",
            _exactly(gaps.root, GAPS_LAST, ordered=False),
        ),
        *span(
            "all bytes of a file",
            f"/ipfs/{mixed.root}/subdir/multiblock.txt",
            "0:*",
            _exactly(mixed.root, mixed.cid("subdir"), file, *chunks),
        ),
        *span(
            "bytes of a directory, which has none",
            f"/ipfs/{sharded.root}",
            "0:*",
            _exactly(sharded.root, *sharded.shards(sharded.root)),
        ),
    ]
    for name, wanted, blocks in (
        ("bytes from the middle to the end", "512:*", chunks[2:]),
        ("bytes in the middle", "512:1023", chunks[2:4]),
        ("bytes up to a place before the end", "512:-256", chunks[2:4]),
        ("the last bytes", "-5:*", chunks[3:]),
        ("more last bytes than there are", "-9999:*", chunks),
        ("from before the start to a place before the end", "-9999:-3", chunks[:4]),
        ("the first byte", "0:0", chunks[:1]),
    ):
        found += span(name, f"/ipfs/{file}", wanted, _exactly(file, *blocks))
    return found


def _precedence() -> list[Check]:
    directory = dag("gateway-raw-block.car").cid("dir")
    return [
        get(
            LEAF,
            "?format=car beats Accept of a raw block",
            ask(f"/ipfs/{directory}?format=car", by_accept(RAW_TYPE)),
            expect(200, Has("Content-Type", (CAR_TYPE,))),
        ),
        get(
            LEAF,
            "?format=raw beats Accept of a CAR",
            ask(f"/ipfs/{directory}?format=raw", by_accept(CAR_TYPE)),
            expect(200, Is("Content-Type", RAW_TYPE)),
        ),
    ]


def _ours() -> list[Check]:
    small = dag(SMALL)
    path = f"/ipfs/{small.root}/subdir/ascii.txt"
    asked = ask(f"{path}?format=car")
    weak = Like("Etag", r'^W/"[^"]+"$')
    usual = (Has("Content-Type", (CAR_TYPE, "version=1", "order=dfs", "dups=n")), weak, Is("Cache-Control", IMMUTABLE))
    only = {"Cache-Control": "only-if-cached"}
    found = [
        own(LEAF, "an archive says its version, order and duplicates", asked, expect(200, *usual)),
        own(
            LEAF,
            "an archive names path and roots",
            asked,
            expect(
                200,
                Is("X-Ipfs-Path", path),
                Is(
                    "X-Ipfs-Roots",
                    ",".join(map(str, (small.root, small.cid("subdir"), small.cid("subdir", "ascii.txt")))),
                ),
            ),
        ),
        same_head(LEAF, "an archive", asked, *HEADERS, *usual),
        *tagged(LEAF, "an archive", asked),
        own(
            LEAF,
            "Content-Location names the form that Accept chose",
            ask(path, by_accept(CAR_TYPE)),
            expect(200, Like("Content-Location", rf"^{path}\?format=car")),
        ),
        own(
            LEAF,
            "Content-Location names the parameters that Accept chose",
            ask(path, by_accept(f"{CAR_TYPE}; dups=y")),
            expect(200, Has("Content-Location", ("format=car", "car-dups=y"))),
        ),
        own(
            LEAF,
            "bytes imply the entity scope",
            ask(f"/ipfs/{dag(GAPS).root}?format=car&entity-bytes=0:1000"),
            expect(200, body=Car((dag(GAPS).root, GAPS_FIRST))),
        ),
        own(
            LEAF,
            "a Range header is ignored",
            ask(f"{path}?format=car", {"Range": "bytes=0-9"}),
            expect(200, body=Car((small.root, small.cid("subdir"), small.cid("subdir", "ascii.txt")))),
        ),
        own(LEAF, "the probe as an archive has no block", ask("/ipfs/bafkqaaa?format=car"), expect(200, body=Car(()))),
        own(LEAF, "only-if-cached without the root", ask(f"/ipfs/{NOWHERE}?format=car", only), expect(412)),
        own(
            LEAF,
            "only-if-cached by HEAD without the root",
            ask(f"/ipfs/{NOWHERE}?format=car", only, method="HEAD"),
            expect(412, body=Nothing()),
        ),
    ]
    return found + _refused(path)


def _refused(path: str) -> list[Check]:
    found: list[Check] = []
    for what, query in (
        ("a scope", "dag-scope=some"),
        ("an order", "car-order=any"),
        ("duplicates", "car-dups=maybe"),
        ("a version", "car-version=3"),
        ("bytes", "entity-bytes=5"),
        ("bytes that end before they begin", "entity-bytes=9:5"),
    ):
        found.append(own(LEAF, f"{what} that is none is refused", ask(f"{path}?format=car&{query}"), expect(400)))
    for query in ("dag-scope=block", "dag-scope=entity", "car-dups=y"):
        found.append(_other_tag(path, query))
    return found


def _other_tag(path: str, query: str) -> Check:
    """ "a strong or weak Etag has to differ per response": an Etag of one form must not match another."""
    return own(
        LEAF,
        f"the Etag with {query} is another",
        ask(f"{path}?format=car&{query}", {"If-None-Match": "{etag}"}),
        expect(200),
        first=ask(f"{path}?format=car"),
    )
