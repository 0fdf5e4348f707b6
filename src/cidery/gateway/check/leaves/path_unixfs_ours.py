"""What the text of the path gateway says of files and directories, and gateway-conformance does not ask.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/
"""

from cidery.gateway.check.bodies import Bytes, Nothing, Text
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is, Lacks, Like
from cidery.gateway.check.leaves.path_unixfs import CACHE, CORS, FOREIGN, FOREIGN_FILE, FOREIGN_PATH, LEAF, LISTING
from cidery.gateway.check.leaves.usual import IMMUTABLE, INLINED_HELLO, NOWHERE, by_accept, own, same_head, tagged
from cidery.gateway.check.model import Check, Expect, Site, ask, expect

SHARDED = "trustless_gateway_car/single-layer-hamt-with-multi-block-files.car"
LONG_AGO, IN_YEARS = "Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


def checks(site: Site) -> list[Check]:
    return [*_origins(), *_heads(), *_conditions(), *_names(), *_directories(), *_workers(), *_refused()]


def _origins() -> list[Check]:
    only = {"Cache-Control": "only-if-cached"}
    missing = f"/ipfs/{dag(LISTING).root}/i-do-not-exist"
    return [
        own(LEAF, "pages of any origin may read an error", ask(missing), expect(404, *CORS)),
        own(LEAF, "pages of any origin may read a refusal", ask(f"/ipfs/{NOWHERE}", only), expect(412, *CORS)),
        own(LEAF, "pages of any origin may read a bad request", ask("/ipfs/QmInvalidCID"), expect(400, *CORS)),
    ]


def _heads() -> list[Check]:
    tree = dag(LISTING)
    path = f"/ipfs/{tree.root}{FOREIGN_PATH}"
    file, content = ask(f"{path}/file-%C5%BA%C5%82.txt"), tree.content(*FOREIGN, FOREIGN_FILE)
    text = Like("Content-Type", "^text/plain")
    return [
        same_head(LEAF, "a file", file, text, Is("Content-Length", str(len(content))), Is("Cache-Control", IMMUTABLE)),
        same_head(LEAF, "a generated page", ask(f"{path}/"), Like("Content-Type", "^text/html")),
        own(LEAF, "a text file by its name", file, expect(200, text, body=Bytes(content))),
        own(
            LEAF,
            "a text file by its content",
            ask(f"/ipfs/{tree.cid(*FOREIGN, FOREIGN_FILE)}"),
            expect(200, text, body=Bytes(content)),
        ),
        own(LEAF, "a CID that holds its data", ask(f"/ipfs/{INLINED_HELLO}"), expect(200, body=Bytes(b"hello\n"))),
    ]


def _conditions() -> list[Check]:
    tree = dag(CACHE)
    file = f"/ipfs/{tree.root}/root2/root3/root4/index.html"
    tag = f'"{tree.cid("root2", "root3", "root4", "index.html")}"'
    both = {"If-None-Match": '"other"', "If-Modified-Since": IN_YEARS}
    whole = expect(200, body=Bytes(tree.block("root2", "root3", "root4", "index.html")))
    return [
        *tagged(LEAF, "a file", ask(file)),
        *tagged(LEAF, "a generated page", ask(f"/ipfs/{tree.root}/root2/root3/")),
        own(
            LEAF,
            "304 says how long the file may be kept",
            ask(file, {"If-None-Match": tag}),
            expect(304, Is("Etag", tag), Is("Cache-Control", IMMUTABLE), body=Nothing()),
        ),
        own(LEAF, "If-None-Match with another tag", ask(file, {"If-None-Match": '"other"'}), whole),
        own(LEAF, "If-None-Match by HEAD", ask(file, {"If-None-Match": tag}, method="HEAD"), expect(304)),
        own(LEAF, "If-Modified-Since is ignored beside If-None-Match", ask(file, both), whole),
        own(LEAF, "If-Modified-Since of long ago", ask(file, {"If-Modified-Since": LONG_AGO}), whole),
    ]


def _names() -> list[Check]:
    path = f"/ipfs/{INLINED_HELLO}"
    name = "filename=test%D1%82%D0%B5%D1%81%D1%82.txt"
    shown = "filename=\"test____.txt\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.txt"
    return [
        own(LEAF, "?filename is shown inline", ask(f"{path}?{name}"), _disposed(f"inline; {shown}")),
        own(LEAF, "?download=true saves", ask(f"{path}?{name}&download=true"), _disposed(f"attachment; {shown}")),
        own(LEAF, "?download=true saves without a name, too", ask(f"{path}?download=true"), _disposed("attachment")),
        own(
            LEAF,
            "?filename tells the type",
            ask(f"{path}?filename=page.html"),
            expect(200, Like("Content-Type", "^text/html")),
        ),
        own(
            LEAF,
            "a quotation mark in ?filename does not end the name",
            ask(f"{path}?filename=a%22%3B%20b%3D%22c.txt"),
            expect(200, Like("Content-Disposition", r'^inline; filename="(?:[^"\\]|\\.)*"(?:; filename\*=[^" ]*)?$')),
        ),
        own(
            LEAF,
            "a line end in ?filename does not add a header",
            ask(f"{path}?filename=a%0D%0AX-Added:%20yes"),
            expect(200, Lacks("X-Added", "yes")),
        ),
    ]


def _disposed(value: str) -> Expect:
    return expect(200, Has("Content-Disposition", (value,)))


def _directories() -> list[Check]:
    tree, sharded, cache = dag(LISTING), dag(SHARDED), dag(CACHE)
    path = f"/ipfs/{tree.root}/%C4%85"
    index = f"/ipfs/{cache.root}/root2/root3/root4"
    file = sharded.cid("685.txt")
    return [
        own(LEAF, "a redirect keeps the query", ask(f"{path}?a=b"), expect(301, Is("Location", f"{path}/?a=b"))),
        own(
            LEAF, "a directory with an index page needs its slash", ask(index), expect(301, Is("Location", f"{index}/"))
        ),
        own(
            LEAF,
            "the root needs its slash",
            ask(f"/ipfs/{tree.root}"),
            expect(301, Is("Location", f"/ipfs/{tree.root}/")),
        ),
        own(
            LEAF,
            "the page of a sharded directory",
            ask(f"/ipfs/{sharded.root}/"),
            expect(200, body=Text((">1.txt<", ">685.txt<", ">1000.txt<"))),
        ),
        own(
            LEAF,
            "X-Ipfs-Roots names no shards",
            ask(f"/ipfs/{sharded.root}/685.txt"),
            expect(200, Is("X-Ipfs-Roots", f"{sharded.root},{file}"), Is("Etag", f'"{file}"')),
        ),
        own(LEAF, "something below a file", ask(f"{path}/%C4%99/file-%C5%BA%C5%82.txt/below"), expect(404)),
    ]


def _workers() -> list[Check]:
    """ "Requests to these paths with Service-Worker: script MUST be denied by returning HTTP 400 Bad Request" """
    tree, worker = dag(LISTING), {"Service-Worker": "script"}
    path = f"/ipfs/{tree.root}"
    return [
        own(LEAF, "no worker for all CIDs", ask(path, worker), expect(400)),
        own(LEAF, "no worker for all names", ask(f"/ipns/{NOWHERE}", worker), expect(400)),
        own(LEAF, "a worker below a CID", ask(f"{path}/api/file.txt", worker), expect(200)),
    ]


def _refused() -> list[Check]:
    tree = dag(LISTING)
    only = {"Cache-Control": "only-if-cached"}
    return [
        own(LEAF, "a CID that is none", ask("/ipfs/QmInvalidCID"), expect(400)),
        own(LEAF, "no CID", ask("/ipfs/"), expect((400, 404))),
        own(
            LEAF,
            "an unknown format",
            ask(f"/ipfs/{INLINED_HELLO}", by_accept("application/vnd.ipld.nothing")),
            expect(400),
        ),
        own(
            LEAF,
            "a page of a browser's Accept",
            ask(f"/ipfs/{tree.root}/", by_accept("text/html,application/xhtml+xml,*/*;q=0.8")),
            expect(200, Like("Content-Type", "^text/html"), body=Text(("Index of",))),
        ),
        own(
            LEAF,
            "an error may not be kept for ever",
            ask(f"/ipfs/{tree.root}/i-do-not-exist"),
            expect(404, Lacks("Cache-Control", "immutable")),
        ),
        own(
            LEAF,
            "a refusal may not be kept for ever",
            ask(f"/ipfs/{NOWHERE}", only),
            expect(412, Lacks("Cache-Control", "immutable")),
        ),
        own(LEAF, "POST is no method here", ask(f"/ipfs/{INLINED_HELLO}", method="POST"), expect((400, 405))),
    ]
