"""Domains that are websites of their own.

Spec: https://specs.ipfs.tech/http-gateways/dnslink-gateway/
"""

from cidery.gateway.check.bodies import Bytes, Text
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is, Lacks
from cidery.gateway.check.leaves.path_unixfs import FOREIGN, FOREIGN_FILE, FOREIGN_PATH, LISTING
from cidery.gateway.check.leaves.usual import get, own
from cidery.gateway.check.model import Check, Site, ask, expect
from cidery.gateway.check.names import LISTING_DOMAIN, OVER_IPNS, OVER_IPNS_CID, SUBPATH_DOMAIN

LEAF = "dnslink-gateway"


def checks(site: Site) -> list[Check]:
    payload = expect(200, body=Bytes(dag("subdomain_gateway/fixtures.car").block("hello-CIDv1")))
    return [
        *_listing(),
        get(LEAF, "a domain that leads to a name in base58", ask("/", host=OVER_IPNS), payload),
        get(LEAF, "a domain that leads to a name as a CID", ask("/", host=OVER_IPNS_CID), payload),
        get(
            LEAF,
            "a domain that leads below a CID",
            ask("/root3/root4/index.html", host=SUBPATH_DOMAIN),
            expect(200, body=Bytes(b"hello\n")),
        ),
        own(
            LEAF,
            "what a domain leads to may change",
            ask("/root3/root4/index.html", host=SUBPATH_DOMAIN),
            expect(200, Lacks("Cache-Control", "immutable")),
        ),
        own(
            LEAF,
            "X-Ipfs-Path names the domain",
            ask("/root3/root4/index.html", host=SUBPATH_DOMAIN),
            expect(200, Is("X-Ipfs-Path", f"/ipns/{SUBPATH_DOMAIN}/root3/root4/index.html")),
        ),
        own(
            LEAF,
            "the port is no part of the domain",
            ask("/root3/root4/index.html", host=f"{SUBPATH_DOMAIN}:8080"),
            expect(200, body=Bytes(b"hello\n")),
        ),
        own(LEAF, "a file that does not exist", ask("/i-do-not-exist", host=SUBPATH_DOMAIN), expect(404)),
        own(
            LEAF,
            "a domain in capital letters",
            ask("/root3/root4/index.html", host=SUBPATH_DOMAIN.upper()),
            expect(200, body=Bytes(b"hello\n")),
        ),
    ]


def _listing() -> list[Check]:
    tree, host = dag(LISTING), LISTING_DOMAIN
    file = tree.cid(*FOREIGN, FOREIGN_FILE)
    crumbs = f'<a href="//{host}/">{host}</a>/<a href="//{host}/%C4%85">ą</a>/<a href="//{host}{FOREIGN_PATH}">ę</a>'
    page = (
        "Index of",
        f'<a href="{FOREIGN_PATH}/..">..</a>',
        f"/ipns/{crumbs}",
        f'<a href="{FOREIGN_PATH}/file-%C5%BA%C5%82.txt">{FOREIGN_FILE}</a>',
        f'<a class="ipfs-hash" translate="no" href="https://cid.ipfs.tech/#{file}" target="_blank"'
        ' rel="noreferrer noopener">',
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
            expect(301, Is("Location", f"{FOREIGN_PATH}/")),
        ),
        get(
            LEAF,
            "the page of a directory has links to all that it names",
            ask(f"{FOREIGN_PATH}/", host=host),
            expect(None, Has("Etag", ('"DirIndex-',)), body=Text(page)),
        ),
    ]
