"""Files and directories of UnixFS below ``/ipfs/CID``.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/
"""

from cidery.gateway.check.bodies import Bytes, Text
from cidery.gateway.check.dag import Dag, dag
from cidery.gateway.check.headers import Has, Is, Like, Lists, Present
from cidery.gateway.check.leaves.usual import GENERATED, IMMUTABLE, INLINED_HELLO, get
from cidery.gateway.check.model import Check, HeaderRule, Site, ask, expect

LEAF = "path-unixfs-gateway"
LISTING = "dir_listing/fixtures.car"
CACHE = "gateway-cache/fixtures.car"
FOREIGN = ("ą", "ę")
FOREIGN_PATH = "/%C4%85/%C4%99"
"""A path beyond ASCII, and as it is escaped."""
FOREIGN_FILE = "file-źł.txt"
PERCENT_PATH = "/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt"
PERCENT_NAME = "Portugal%2C+España=Peninsula Ibérica.txt"
"""A name with an escape that is part of it."""
ROOTS = ((), ("root2",), ("root2", "root3"), ("root2", "root3", "root4"), ("root2", "root3", "root4", "index.html"))
"""The paths of the fixture for caching: three directories, one with an index page, and the page."""
EXPOSED = (
    "Content-Range",
    "Content-Length",
    "X-Ipfs-Path",
    "X-Ipfs-Roots",
    "X-Chunked-Output",
    "X-Stream-Output",
)
CORS: tuple[HeaderRule, ...] = (
    Is("Access-Control-Allow-Origin", "*"),
    Lists("Access-Control-Allow-Methods", ("GET", "HEAD", "OPTIONS")),
    Lists("Access-Control-Allow-Headers", ("Content-Type", "Range", "User-Agent", "X-Requested-With")),
    Lists("Access-Control-Expose-Headers", EXPOSED),
)


def checks(site: Site) -> list[Check]:
    return [*_origins(), *_listing(), *_caching(), *_tags(), *_symlink(), *_names()]


def _origins() -> list[Check]:
    """All headers, where gateway-conformance by mistake compares only the last of each."""
    asked = ask(f"/ipfs/{INLINED_HELLO}/")
    return [
        get(LEAF, "pages of any origin may read an answer", asked, expect(None, *CORS)),
        get(LEAF, "OPTIONS says so in advance", asked._replace(method="OPTIONS"), expect((200, 299), *CORS)),
    ]


def listing_page(path: str, root: str, file: str) -> tuple[str, ...]:
    """What the page of ``/ą/ę/`` contains on a path gateway; ``path``: ``/ipfs/CID`` of the root."""
    crumbs = f'/ipfs/<a href="{path}">{root}</a>/<a href="{path}/%C4%85">ą</a>/<a href="{path}{FOREIGN_PATH}">ę</a>'
    return (
        "Index of",
        crumbs,
        f'<a href="{path}{FOREIGN_PATH}/..">..</a>',
        f'<a href="{path}{FOREIGN_PATH}/file-%C5%BA%C5%82.txt">{FOREIGN_FILE}</a>',
        f'<a class="ipfs-hash" translate="no" href="/ipfs/{file}?filename=file-%25C5%25BA%25C5%2582.txt">',
    )


def _listing() -> list[Check]:
    tree = dag(LISTING)
    path, file = f"/ipfs/{tree.root}", tree.cid(*FOREIGN, FOREIGN_FILE)
    return [
        get(
            LEAF,
            "the page of the root has no way up",
            ask(f"{path}/"),
            expect(body=Text(("Index of",), (f'<a href="{path}/">..</a>',))),
        ),
        get(
            LEAF,
            "a directory without its slash is redirected",
            ask(f"{path}{FOREIGN_PATH}"),
            expect(301, Is("Location", f"{path}{FOREIGN_PATH}/")),
        ),
        get(
            LEAF,
            "the page of a directory has links to all that it names",
            ask(f"{path}{FOREIGN_PATH}/"),
            expect(None, Has("Etag", ('"DirIndex-',)), body=Text(listing_page(path, str(tree.root), str(file)))),
        ),
        get(LEAF, "a file that does not exist", ask(f"{path}/i-do-not-exist"), expect(404)),
    ]


def roots(tree: Dag, count: int) -> str:
    """X-Ipfs-Roots of a path through the first ``count`` of ROOTS."""
    return ",".join(str(tree.cid(*names)) for names in ROOTS[:count])


def _caching() -> list[Check]:
    tree = dag(CACHE)
    path = f"/ipfs/{tree.root}"
    index, page, file = f"{path}/root2/root3/root4/", f"{path}/root2/root3/", f"{path}/root2/root3/root4/index.html"
    only = {"Cache-Control": "only-if-cached"}
    absent = ask("/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN", only)
    raw = ask(f"{index}?format=raw", only)

    def of(shown: str, count: int, *more: HeaderRule) -> tuple[HeaderRule, ...]:
        return Is("X-Ipfs-Path", shown), Is("X-Ipfs-Roots", roots(tree, count)), *more

    listed = Like("Etag", f"DirIndex-.*_CID-{tree.cid(*ROOTS[2])}")
    return [
        get(LEAF, "the headers of a generated page", ask(page), expect(200, *of(page, 3, listed, GENERATED))),
        get(
            LEAF,
            "the headers of a directory with an index page",
            ask(index),
            expect(200, *of(index, 4, Is("Etag", f'"{tree.cid(*ROOTS[3])}"'), Is("Cache-Control", IMMUTABLE))),
        ),
        get(
            LEAF,
            "the headers of a file",
            ask(file),
            expect(200, *of(file, 5, Is("Etag", f'"{tree.cid(*ROOTS[4])}"'), Is("Cache-Control", IMMUTABLE))),
        ),
        get(
            LEAF,
            "a directory as a block",
            ask(f"{index}?format=raw"),
            expect(200, Is("Cache-Control", IMMUTABLE), body=Bytes(tree.block(*ROOTS[3]))),
        ),
        get(LEAF, "HEAD with only-if-cached, of what is stored", raw._replace(method="HEAD"), expect(200)),
        get(LEAF, "HEAD with only-if-cached, of what is not", absent._replace(method="HEAD"), expect(412)),
        get(LEAF, "GET with only-if-cached, of what is stored", raw, expect(200)),
        get(LEAF, "GET with only-if-cached, of what is not", absent, expect(412)),
    ]


def _tags() -> list[Check]:
    tree = dag(CACHE)
    path = f"/ipfs/{tree.root}/root2/root3/"
    file = f"{path}root4/index.html"
    tag = f'"{tree.cid(*ROOTS[4])}"'
    found = [
        get(LEAF, f"If-None-Match: {what}", ask(target, {"If-None-Match": given}), expect(304))
        for what, target, given in (
            ("the tag of a file", file, tag),
            ("the tag of a directory with an index page", f"{path}root4/", f'"{tree.cid(*ROOTS[3])}"'),
            ("the third of three tags", file, f'"fakeEtag1", "fakeEtag2", {tag}'),
            ("the weak form of the tag", file, f"W/{tag}"),
            ("any tag", file, "*"),
        )
    ]
    found.append(get(LEAF, "a generated page has a tag", ask(path), expect(200, Present("Etag"))))
    for what, given in (("its tag", '"{tag}"'), ("the weak form of its tag", 'W/"{tag}"')):
        asked = ask(path, {"If-None-Match": given})
        found.append(Check((LEAF,), f"If-None-Match of a generated page: {what}", asked, expect(304), first=ask(path)))
    return found


def _symlink() -> list[Check]:
    tree = dag("path_gateway_unixfs/symlink.car")
    path = f"/ipfs/{tree.root}"
    return [
        get(LEAF, "the page of a directory with a symlink", ask(f"{path}/"), expect(body=Text((">foo<", ">bar<")))),
        get(
            LEAF,
            "a directory with a symlink as a block",
            ask(f"{path}?format=raw"),
            expect(200, body=Bytes(tree.block())),
        ),
        get(LEAF, "a symlink is its target's name", ask(f"{path}/bar"), expect(200, body=Bytes(b"foo"))),
    ]


def _names() -> list[Check]:
    tree = dag("path_gateway_unixfs/dir-with-percent-encoded-filename.car")
    return [
        get(
            LEAF,
            "a name with percent signs",
            ask(f"/ipfs/{tree.root}{PERCENT_PATH}"),
            expect(body=Bytes(tree.block(PERCENT_NAME))),
        )
    ]
