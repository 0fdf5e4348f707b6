"""Trees as TAR archives.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#accept-request-header
"""

from cidery.gateway.check.bodies import NoTar, Nothing, Tar
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is, Like
from cidery.gateway.check.leaves.path_unixfs import FOREIGN, FOREIGN_FILE
from cidery.gateway.check.leaves.usual import IMMUTABLE, by_accept, get, own, same_head, tagged
from cidery.gateway.check.model import Check, Site, ask, expect

LEAF = "path-tar-gateway"
TAR_TYPE = "application/x-tar"
TEXT = b"I am a txt file on path with utf8\n"


def checks(site: Site) -> list[Check]:
    tree = dag("path_gateway_tar/fixtures.car")
    outside, inside = dag("path_gateway_tar/outside-root.car").root, dag("path_gateway_tar/inside-root.car").root
    file = tree.cid(*FOREIGN, FOREIGN_FILE)
    name = "filename=test%D1%82%D0%B5%D1%81%D1%82.tar&format=tar"
    shown = "attachment; filename=\"test____.tar\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.tar"
    headers = (
        Has("Content-Disposition", ("attachment;",)),
        Has("Etag", (f'W/"{file}.x-tar',)),
        Has("Content-Type", (TAR_TYPE,)),
    )
    found = [
        get(
            LEAF,
            "a file by ?format",
            ask(f"/ipfs/{file}?format=tar"),
            expect(200, *headers, body=Tar(((str(file), TEXT),))),
        ),
        get(LEAF, "a file by Accept", ask(f"/ipfs/{file}", by_accept(TAR_TYPE)), expect(200, *headers, body=Tar())),
        get(
            LEAF,
            "a directory",
            ask(f"/ipfs/{tree.root}?format=tar"),
            expect(200, body=Tar(((f"{tree.root}/{'/'.join(FOREIGN)}/{FOREIGN_FILE}", TEXT),))),
        ),
        get(
            LEAF,
            "?filename names the attachment",
            ask(f"/ipfs/{tree.root}?{name}"),
            expect(200, Has("Content-Disposition", (shown,))),
        ),
        # gateway-conformance by mistake does not look at the status
        get(
            LEAF,
            "a name that leads out of the root fails",
            ask(f"/ipfs/{outside}?format=tar"),
            expect(one_of=(expect((400, 599)), expect(200, body=NoTar())), may_break=True),
        ),
        get(
            LEAF,
            "a name that leads up within the root",
            ask(f"/ipfs/{inside}?format=tar"),
            expect(200, body=Tar(((f"{inside}/foobar/file", None),))),
        ),
    ]
    return found + _ours(str(tree.root))


def _ours(root: str) -> list[Check]:
    asked = ask(f"/ipfs/{root}?format=tar")
    document = dag("path_gateway_dag/dag-cbor-traversal.car").root
    return [
        own(LEAF, "an archive is kept for ever", asked, expect(200, Is("Cache-Control", IMMUTABLE))),
        own(
            LEAF,
            "an archive has its default name",
            asked,
            expect(200, Like("Content-Disposition", rf'^attachment; filename="{root}\.tar"')),
        ),
        own(LEAF, "a directory below a path", ask(f"/ipfs/{root}/%C4%85?format=tar"), expect(200, body=Tar())),
        same_head(LEAF, "an archive", asked, Has("Content-Type", (TAR_TYPE,))),
        *tagged(LEAF, "an archive", asked),
        own(LEAF, "what is not UnixFS is no tree", ask(f"/ipfs/{document}?format=tar"), expect(406)),
        own(
            LEAF,
            "Content-Location names the form that Accept chose",
            ask(f"/ipfs/{root}", by_accept(TAR_TYPE)),
            expect(200, Is("Content-Location", f"/ipfs/{root}?format=tar")),
        ),
        own(
            LEAF,
            "only-if-cached by HEAD",
            ask(f"/ipfs/{root}?format=tar", {"Cache-Control": "only-if-cached"}, method="HEAD"),
            expect(200, body=Nothing()),
        ),
    ]
