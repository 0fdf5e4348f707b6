"""Content below ``/ipns/NAME``.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#get-ipns-name-path-params
"""

from cidery.gateway.check.bodies import Bytes
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Is, Lacks, Like
from cidery.gateway.check.leaves.path_unixfs import CACHE, ROOTS, roots
from cidery.gateway.check.leaves.usual import BY_NAME, get, own
from cidery.gateway.check.model import Check, Expect, HeaderRule, Site, ask, expect
from cidery.gateway.check.names import (
    CACHE as CACHE_NAME,
)
from cidery.gateway.check.names import (
    HELLO_DOMAIN,
    SUBPATH,
    V1_AND_V2,
    V1_BROKEN,
    V1_MISMATCHED,
    V1_ONLY,
    V2_BROKEN,
    V2_ONLY,
    inlined_value_of,
)

LEAF = "path-ipns-gateway"
BOTH = (LEAF, "path-unixfs-gateway")


def checks(site: Site) -> list[Check]:
    return [*_caching(), *_records(), *_canonical(), *_ours()]


def _caching() -> list[Check]:
    tree = dag(CACHE)
    page = f"/ipns/{CACHE_NAME}/root2/root3/"
    index, file = f"{page}root4/", f"{page}root4/index.html"

    def of(shown: str, count: int, etag: HeaderRule) -> tuple[HeaderRule, ...]:
        return Is("X-Ipfs-Path", shown), Is("X-Ipfs-Roots", roots(tree, count)), etag, BY_NAME

    listed = Like("Etag", f"DirIndex-.*_CID-{tree.cid(*ROOTS[2])}")
    indexed = Is("Etag", f'"{tree.cid(*ROOTS[3])}"')
    tag = f'"{tree.cid(*ROOTS[4])}"'
    return [
        Check(BOTH, "the headers of a generated page", ask(page), expect(200, *of(page, 3, listed))),
        Check(BOTH, "the headers of a directory with an index page", ask(index), expect(200, *of(index, 4, indexed))),
        Check(BOTH, "the headers of a file", ask(file), expect(200, *of(file, 5, Is("Etag", tag)))),
        Check(
            BOTH,
            "a directory as a block",
            ask(f"{index}?format=raw"),
            expect(200, BY_NAME, body=Bytes(tree.block(*ROOTS[3]))),
        ),
        Check(BOTH, "If-None-Match: the tag of a file", ask(file, {"If-None-Match": tag}), expect(304)),
    ]


def _records() -> list[Check]:
    """Those that must fail do so here; gateway-conformance by mistake does not look at their status."""

    def content(name: str, status: int | None) -> tuple[int | None, Bytes]:
        return status, Bytes(inlined_value_of(name))

    fails = expect((500, 599))
    found = [
        get(LEAF, "a record with the first signature only fails", ask(f"/ipns/{V1_ONLY}"), fails),
        get(LEAF, "a record whose two values differ fails", ask(f"/ipns/{V1_MISMATCHED}"), fails),
    ]
    for what, name, status in (
        ("with a broken first signature", V1_BROKEN, 200),
        ("with both signatures", V1_AND_V2, None),
        ("with the second signature only", V2_ONLY, None),
    ):
        status, body = content(name, status)
        found.append(get(LEAF, f"a record {what} is valid", ask(f"/ipns/{name}"), expect(status, body=body)))
    found.append(get(LEAF, "a record with a broken second signature fails", ask(f"/ipns/{V2_BROKEN}"), fails))
    return found


def _canonical() -> list[Check]:
    ed25519 = "12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK"
    rsa = "QmcJM7PRfkSbcM5cf1QugM5R37TLRKyJGgBEhXjLTB8uA2"
    found = [
        get(
            LEAF,
            f"{what} in base58 is redirected to its CID",
            ask(f"/ipns/{name}/root2/"),
            _moved(f"/ipns/{cid}/root2/"),
        )
        for what, name, cid in (
            ("an Ed25519 name", ed25519, "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"),
            ("an RSA name", rsa, "k2k4r8ol4m8kkcqz509c1rcjwunebj02gcnm5excpx842u736nja8ger"),
        )
    ]
    found.append(
        get(
            LEAF,
            "a record that points below a CID",
            ask(f"/ipns/{SUBPATH}/root3/root4/index.html"),
            expect(200, body=Bytes(b"hello\n")),
        )
    )
    return found


def _moved(target: str) -> Expect:
    return expect(302, Is("Location", target))


def _ours() -> list[Check]:
    ed25519 = "12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK"
    canonical = "/ipns/k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
    mutable = Lacks("Cache-Control", "immutable")
    half_an_hour = Like("Cache-Control", r"^public, max-age=1?\d{1,3}$")
    return [
        own(LEAF, "a redirect to the CID keeps the query", ask(f"/ipns/{ed25519}/a?b=c"), _moved(f"{canonical}/a?b=c")),
        own(LEAF, "what a name points to may change", ask(f"/ipns/{V1_AND_V2}"), expect(200, mutable)),
        own(LEAF, "a name's content lasts as its record says", ask(f"/ipns/{V1_AND_V2}"), expect(200, half_an_hour)),
        own(
            LEAF,
            "a domain on the path",
            ask(f"/ipns/{HELLO_DOMAIN}"),
            expect(200, mutable, Is("X-Ipfs-Path", f"/ipns/{HELLO_DOMAIN}"), body=Bytes(b"hello\n")),
        ),
        own(LEAF, "a name that is none", ask("/ipns/nonsense"), expect((400, 599))),
    ]
