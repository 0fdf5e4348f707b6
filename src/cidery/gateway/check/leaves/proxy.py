"""The gateway as an HTTP proxy: the whole URL as request target, or a tunnel by CONNECT.

Spec: https://specs.ipfs.tech/http-gateways/subdomain-gateway/, RFC 9112 section 3.2.2, RFC 9110 section 9.3.6
"""

from cidery.gateway.check.bodies import Text
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has
from cidery.gateway.check.leaves.subdomain_ipfs import FIXTURE
from cidery.gateway.check.model import Ask, Check, Expect, Site, ask, expect

LEAVES = ("proxy-gateway", "subdomain-ipfs-gateway")
TUNNEL = "{gateway}"
"""CONNECT names the gateway itself, as Go's client does."""


def checks(site: Site) -> list[Check]:
    found: list[Check] = []
    for what, tunnel in (("by its URL", ""), ("through a tunnel", TUNNEL)):
        found += [
            Check(LEAVES, f"{name}, {what}", _absolute(site, host, path, tunnel), then)
            for name, host, path, then in _cases(site)
        ]
    for name, host, path, then in _cases(site):
        asked = ask(path, host=host, tunnel=host if ":" in host else f"{host}:80")
        found.append(Check(LEAVES, f"{name}, through a tunnel to its host", asked, then, ours=True))
    return found


def _cases(site: Site) -> list[tuple[str, str, str, Expect]]:
    """Name, host, path, answer."""
    tree = dag(FIXTURE)
    hello, folder = tree.cid("hello-CIDv1"), tree.cid("testdirlisting")
    there = Has("Location", (f"{site.scheme}://{tree.cid('hello-CIDv0to1')}.ipfs.{site.host}/",))
    return [
        ("a CID", f"{hello}.ipfs.{site.host}", "/", expect(200, body=Text((tree.block("hello-CIDv1").decode(),)))),
        ("a path with a CIDv0 is redirected", site.host, f"/ipfs/{tree.cid('hello-CIDv0')}/", expect(301, there)),
        (
            "a directory called ipfs",
            f"{folder}.ipfs.{site.host}",
            "/ipfs/file.txt",
            expect(200, body=Text(("I am a txt file",))),
        ),
    ]


def _absolute(site: Site, host: str, path: str, tunnel: str) -> Ask:
    return ask(f"{site.scheme}://{host}{path}", host=host, tunnel=tunnel)
