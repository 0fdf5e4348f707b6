"""The rules of a ``_redirects`` file, where each content root is an origin of its own.

Spec: https://specs.ipfs.tech/http-gateways/web-redirects-file/
"""

from cidery.gateway.check.bodies import Bytes, Nothing, Text
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Absent, Is, Lacks, Like, Present
from cidery.gateway.check.leaves.usual import IMMUTABLE
from cidery.gateway.check.model import Check, Expect, Site, ask, expect
from cidery.gateway.check.names import REDIRECTS_DOMAIN, SPA_DOMAIN, inlined

LEAF = "redirects-file"
BY_CID = (LEAF, "subdomain-ipfs-gateway")
BY_LABEL = (LEAF, "subdomain-ipns-gateway")
BY_DOMAIN = (LEAF, "dnslink-gateway")
FIXTURE = "redirects_file/redirects.car"
UNREADABLE = "could not parse _redirects:"


def checks(site: Site) -> list[Check]:
    return [*_rules(site), *_files(site), *_domain(), *_tags(site), *_ours(site)]


def host_of(site: Site, folder: str) -> str:
    """The origin of a folder of the fixture."""
    return f"{dag(FIXTURE).cid(folder).to_v1()}.ipfs.{site.host}"


def _to(path: str, status: int = 301) -> Expect:
    return expect(status, Is("Location", path))


def _rules(site: Site) -> list[Check]:
    tree, host = dag(FIXTURE), host_of(site, "examples")
    index = expect(200, body=Text(("my index",)))

    def page(status: int) -> Expect:
        name = f"{status}.html"
        tag = Is("Etag", f'"{tree.cid("examples", name)}"')
        text = Text((tree.content("examples", name).decode(),))
        return expect(status, Is("Cache-Control", IMMUTABLE), tag, body=text)

    return [
        Check(BY_CID, name, ask(path, host=host), expected)
        for name, path, expected in (
            ("a rule without a status", "/redirect-one", _to("/one.html")),
            ("a rule with 301", "/301-redirect-one", _to("/one.html")),
            ("a rule with 302", "/302-redirect-two", _to("/two.html", 302)),
            ("a rule with 200", "/200-index", index),
            ("a rule with placeholders", "/posts/2022/01/01/hello-world", _to("/articles/2022/01/01/hello-world")),
            ("a rule with a splat", "/splat/one.html", _to("/redirected-splat/one.html")),
            ("a rule with 404", "/not-found/has-no-redirects-entry", page(404)),
            ("a rule with 410", "/gone/has-no-redirects-entry", page(410)),
            ("a rule with 451", "/unavail/has-no-redirects-entry", page(451)),
            ("the last rule catches all", "/catch-all", index),
        )
    ]


def _files(site: Site) -> list[Check]:
    return [
        Check(BY_CID, name, ask(path, host=host_of(site, folder)), expected)
        for name, folder, path, expected in (
            ("a status that is none", "forced", "/not-found", expect(500, body=Text((UNREADABLE,)))),
            (
                "a file that is too large",
                "too-large",
                "/not-found",
                expect(500, body=Text((UNREADABLE, "redirects file size cannot exceed"))),
            ),
            ("lines that end with CRLF", "newlines", "/redirect-one", _to("/one.html")),
            ("statuses that are right", "good-codes", "/a301", _to("/b301")),
            (
                "a bad file does not matter where the path exists",
                "bad-codes",
                "/found.html",
                expect(200, body=Text(("my found",), ("unsupported redirect status",))),
            ),
        )
    ]


def _domain() -> list[Check]:
    etag = Is("Etag", '"Qmd9GD7Bauh6N2ZLfNnYS3b7QVAijbud83b8GE8LPMNBBP"')
    mutable = (Lacks("Cache-Control", IMMUTABLE), Lacks("Cache-Control", "immutable"))
    return [
        Check(BY_DOMAIN, "a rule of a domain", ask("/redirect-one", host=REDIRECTS_DOMAIN), _to("/one.html")),
        Check(
            BY_DOMAIN,
            "a rule with 404 of a domain may change",
            ask("/not-found/has-no-redirects-entry", host=REDIRECTS_DOMAIN),
            expect(404, etag, *mutable, Present("Date"), body=Text(("my 404",))),
        ),
    ]


def _tags(site: Site) -> list[Check]:
    tree = dag("redirects_file/redirects-spa.car")
    index = expect(200, Present("Etag"), body=Bytes(tree.block("index.html")))
    found: list[Check] = []
    for leaves, what, host in (
        (BY_CID, "a CID", f"{tree.root.to_v1()}.ipfs.{site.host}"),
        (BY_LABEL, "a domain as a label", f"{inlined(SPA_DOMAIN)}.ipns.{site.host}"),
        (BY_DOMAIN, "a domain", SPA_DOMAIN),
    ):
        page = ask("/missing-page", {"Accept": "text/html"}, host=host)
        again = ask("/missing-page", {"Accept": "text/html", "If-None-Match": "{etag}"}, host=host)
        found.append(Check(leaves, f"a page that a rule of {what} chooses", page, index))
        found.append(Check(leaves, f"that page of {what} with If-None-Match", again, expect(304), first=page))
    return found


def _ours(site: Site) -> list[Check]:
    tree = dag(FIXTURE)
    host = host_of(site, "examples")
    on_path = f"/ipfs/{tree.cid('examples')}"
    page = expect(404, Like("Content-Type", "^text/html"), body=Text((tree.content("examples", "404.html").decode(),)))
    exists = expect(200, Absent("Location"), body=Bytes(tree.content("examples", "one.html")))
    return [
        Check(leaves, name, asked, expected, ours=True)
        for leaves, name, asked, expected in (
            (BY_CID, "a path that exists is not redirected", ask("/one.html", host=host), exists),
            (BY_CID, "a redirect keeps the query", ask("/redirect-one?a=b", host=host), _to("/one.html?a=b")),
            (BY_CID, "a page of an error is a page", ask("/not-found/x", host=host), page),
            (
                BY_CID,
                "a page of an error by HEAD",
                ask("/not-found/x", host=host, method="HEAD"),
                expect(404, body=Nothing()),
            ),
            (
                BY_CID,
                "more of a path than a rule has",
                ask("/redirect-one/more", host=host),
                expect(200, body=Text(("my index",))),
            ),
            ((LEAF,), "no rule counts on a path gateway", ask(f"{on_path}/redirect-one"), expect(404)),
        )
    ]
