"""CIDs as subdomains, each an origin of its own.

Spec: https://specs.ipfs.tech/http-gateways/subdomain-gateway/
"""

from cidery.gateway.check.bodies import Bytes, Text
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is
from cidery.gateway.check.leaves.path_unixfs import FOREIGN, FOREIGN_FILE, FOREIGN_PATH, LISTING, PERCENT_PATH
from cidery.gateway.check.leaves.usual import get, own
from cidery.gateway.check.model import Check, Expect, Site, ask, expect

LEAF = "subdomain-ipfs-gateway"
FIXTURE = "subdomain_gateway/fixtures.car"
TOO_LONG = "CID incompatible with DNS label length limit of 63"
WIKIPEDIA = "QmXoypizjW3WknFiJnKLwHCnL72vedxjQkDDP1mXWo6uco"
ELSEWHERE = "fake.domain.com"
"""A host that is no gateway."""


def checks(site: Site) -> list[Check]:
    return [*_listing(site), *_redirects(site), *_served(site), *_refused(site), *_forwarded(site), *_ours(site)]


def _moved(url: str) -> Expect:
    return expect(301, Is("Location", url))


def _listing(site: Site) -> list[Check]:
    tree = dag(LISTING)
    host, root = f"{tree.root}.ipfs.{site.host}", f"//{site.host}/ipfs/{tree.root}"
    crumbs = f'<a href="{root}">{tree.root}</a>/<a href="{root}/%C4%85">ą</a>/<a href="{root}{FOREIGN_PATH}">ę</a>'
    page = (
        "Index of",
        f'<a href="{FOREIGN_PATH}/..">..</a>',
        f"/ipfs/{crumbs}",
        f'<a href="{FOREIGN_PATH}/file-%C5%BA%C5%82.txt">{FOREIGN_FILE}</a>',
        f'<a class="ipfs-hash" translate="no" href="//{site.host}/ipfs/{tree.cid(*FOREIGN, FOREIGN_FILE)}'
        '?filename=file-%25C5%25BA%25C5%2582.txt">',
    )
    return [
        get(
            LEAF,
            "the page of the root has no way up",
            ask("/", host=host),
            expect(body=Text(("Index of",), ('<a href="/">..</a>',))),
        ),
        get(
            LEAF,
            "a directory without its slash is redirected",
            ask(FOREIGN_PATH, host=host),
            _moved(f"{FOREIGN_PATH}/"),
        ),
        get(
            LEAF,
            "the page of a directory has links to all that it names",
            ask(f"{FOREIGN_PATH}/", host=host),
            expect(None, Has("Etag", ('"DirIndex-',)), body=Text(page)),
        ),
    ]


def _redirects(site: Site) -> list[Check]:
    tree, percent = dag(FIXTURE), dag("path_gateway_unixfs/dir-with-percent-encoded-filename.car").root
    hello, folder = tree.cid("hello-CIDv1"), tree.cid("testdirlisting")
    found: list[Check] = []
    for what, asked, cid in (
        ("a path with a CIDv1", hello, hello),
        ("a path with a directory", folder, folder),
        ("a path with a CIDv0", tree.cid("hello-CIDv0"), tree.cid("hello-CIDv0to1")),
    ):
        there = Has("Location", (f"{site.scheme}://{cid}.ipfs.{site.host}/",))
        found.append(get(LEAF, f"{what} is redirected", ask(f"/ipfs/{asked}/", host=site.host), expect(301, there)))
    url = f"{site.scheme}://{percent}.ipfs.{site.host}{PERCENT_PATH}"
    asked_there = ask(f"/ipfs/{percent}{PERCENT_PATH}", host=site.host)
    found.insert(1, get(LEAF, "a path with percent signs is redirected as it is", asked_there, _moved(url)))
    return found


def _served(site: Site) -> list[Check]:
    tree = dag(FIXTURE)
    hello, folder = tree.cid("hello-CIDv1"), tree.cid("testdirlisting")
    host, root = f"{folder}.ipfs.{site.host}", f"//{site.host}/ipfs/{folder}"
    crumbs = f'/ipfs/<a href="{root}">{folder}</a>/<a href="{root}/ipfs">ipfs</a>/<a href="{root}/ipfs/ipns">ipns</a>'
    value = tree.block("hello-CIDv1").decode()

    def page(name: str, path: str, *parts: str) -> Check:
        return get(LEAF, name, ask(path, host=host), expect(200, body=Text(parts)))

    return [
        get(LEAF, "the content of a CID", ask("/", host=f"{hello}.ipfs.{site.host}"), expect(200, body=Text((value,)))),
        get(
            LEAF,
            "/ipfs/CID is nothing special there",
            ask(f"/ipfs/{hello}/", host=f"{hello}.ipfs.{site.host}"),
            expect(404),
        ),
        page("a directory called ipfs", "/ipfs/file.txt", "I am a txt file"),
        page("the page of the root", "/", '<a href="/hello">hello</a>', '<a href="/ipfs">ipfs</a>'),
        page(
            "the page of a directory",
            "/ipfs/ipns/",
            '<a href="/ipfs/ipns/..">..</a>',
            '<a href="/ipfs/ipns/bar">bar</a>',
        ),
        page("a file on a path", "/ipfs/ipns/bar", "text-file-content"),
        page("the page of a directory shows its path", "/ipfs/ipns/", "Index of", crumbs),
    ]


def _refused(site: Site) -> list[Check]:
    long = dag(FIXTURE).cid("hello-CIDv1_TOO_LONG")
    hello = dag(FIXTURE).cid("hello-CIDv1")
    router = f"/ipfs/?uri=ipfs%3A%2F%2F{WIKIPEDIA}%2Fwiki%2FDiego_Maradona.html"
    refused = expect(400, body=Text((TOO_LONG,)))
    found = [
        get(
            LEAF,
            "a CID that is none is named in the error",
            ask("/ipfs/QmInvalidCID", host=site.host),
            expect(body=Text(('invalid path "/ipfs/QmInvalidCID"',))),
        )
    ]
    for scheme in ("https", "http"):
        asked = ask(f"/ipfs/{hello}/", {"X-Forwarded-Proto": scheme}, host=site.host)
        there = _moved(f"{scheme}://{hello}.ipfs.{site.host}/")
        found.append(get(LEAF, f"X-Forwarded-Proto: {scheme}", asked, there))
    return [
        *found,
        get(
            LEAF,
            "?uri is redirected to its path",
            ask(router, host=site.host),
            _moved(f"/ipfs/{WIKIPEDIA}/wiki/Diego_Maradona.html"),
        ),
        get(LEAF, "a CID too long for a label, on the path", ask(f"/ipfs/{long}/", host=site.host), refused),
        get(LEAF, "a CID too long for a label, as a label", ask("/", host=f"{long}.ipfs.{site.host}"), refused),
    ]


def _forwarded(site: Site) -> list[Check]:
    hello = dag(FIXTURE).cid("hello-CIDv1")
    path, there = f"/ipfs/{hello}", f"{hello}.ipfs.{site.host}/"
    to_site = {"X-Forwarded-Host": site.host}
    return [
        get(LEAF, "another host is a path gateway", ask(path, host=ELSEWHERE), expect(200)),
        get(LEAF, "X-Forwarded-Host", ask(path, to_site, host=ELSEWHERE), _moved(f"{site.scheme}://{there}")),
        *(
            get(
                LEAF,
                f"X-Forwarded-Host with X-Forwarded-Proto: {scheme}",
                ask(path, {**to_site, "X-Forwarded-Proto": scheme}, host=ELSEWHERE),
                _moved(f"{scheme}://{there}"),
            )
            for scheme in ("https", "http")
        ),
    ]


def _ours(site: Site) -> list[Check]:
    tree = dag(FIXTURE)
    hello, folder = tree.cid("hello-CIDv1"), tree.cid("testdirlisting")
    content, origin = expect(200, body=Bytes(tree.block("hello-CIDv1"))), f"{site.scheme}://{folder}.ipfs.{site.host}"
    worker = {"Service-Worker": "script"}
    upper, lower = f"{str(hello).upper()}.ipfs.{site.host}", _moved(f"{site.scheme}://{hello}.ipfs.{site.host}/")
    return [
        own(
            LEAF,
            "a redirect keeps path and query",
            ask(f"/ipfs/{folder}/ipfs/file.txt?a=b&c=d", host=site.host),
            _moved(f"{origin}/ipfs/file.txt?a=b&c=d"),
        ),
        own(
            LEAF,
            "a redirect checks the CID only",
            ask(f"/ipfs/{folder}/no/such", host=site.host),
            _moved(f"{origin}/no/such"),
        ),
        own(LEAF, "a label is compared without case", ask("/", host=upper), expect(one_of=(content, lower))),
        own(LEAF, "a label that is no CID", ask("/", host=f"nonsense.ipfs.{site.host}"), expect(400)),
        own(LEAF, "?uri of an unknown scheme", ask("/ipfs/?uri=ftp%3A%2F%2Fx", host=site.host), expect(400)),
        own(LEAF, "a block of a subdomain", ask("/?format=raw", host=f"{hello}.ipfs.{site.host}"), content),
        own(LEAF, "HEAD of a subdomain", ask("/", host=f"{hello}.ipfs.{site.host}", method="HEAD"), expect(200)),
        own(
            LEAF,
            "a worker of a whole origin",
            ask("/ipfs/file.txt", worker, host=f"{folder}.ipfs.{site.host}"),
            expect(200),
        ),
        own(
            LEAF,
            "X-Ipfs-Path names the content path",
            ask("/ipfs/file.txt", host=f"{folder}.ipfs.{site.host}"),
            expect(200, Is("X-Ipfs-Path", f"/ipfs/{folder}/ipfs/file.txt")),
        ),
    ]
