"""Names and domains as subdomains.

Spec: https://specs.ipfs.tech/http-gateways/subdomain-gateway/#host-request-header
"""

from cidery.gateway.check.bodies import Bytes
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Is
from cidery.gateway.check.leaves.usual import get, own
from cidery.gateway.check.model import Check, Expect, Site, ask, expect
from cidery.gateway.check.names import ED25519, HELLO_DOMAIN, OVER_IPNS, OVER_IPNS_CID, RSA, WIKIPEDIA, inlined
from cidery.ipns.name import format_name, parse_name
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB

LEAF = "subdomain-ipns-gateway"


def checks(site: Site) -> list[Check]:
    return [*_keys(site), *_domains(site), *_chains(site), *_ours(site)]


def _payload() -> bytes:
    return dag("subdomain_gateway/fixtures.car").block("hello-CIDv1")


def _at(site: Site, status: int | None, label: str, path: str = "/", scheme: str = "") -> Expect:
    return expect(status, Is("Location", f"{scheme or site.scheme}://{label}.ipns.{site.host}{path}"))


def _keys(site: Site) -> list[Check]:
    found: list[Check] = []
    for what, name in (("an RSA name", RSA), ("an Ed25519 name", ED25519)):
        cid = format_name(parse_name(name))
        as_pb = CID(1, DAG_PB, CID.parse(cid).multihash).format("base36")
        found += [
            get(LEAF, f"{what} in base58 is redirected", ask(f"/ipns/{name}", host=site.host), _at(site, 301, cid)),
            get(LEAF, f"{what} as a CID is redirected", ask(f"/ipns/{cid}", host=site.host), _at(site, 301, cid)),
            get(
                LEAF,
                f"the content of {what}",
                ask("/", host=f"{cid}.ipns.{site.host}"),
                expect(200, body=Bytes(_payload())),
            ),
            get(
                LEAF,
                f"{what} as a CID of another codec is redirected",
                ask("/", host=f"{as_pb}.ipns.{site.host}"),
                _at(site, 301, cid),
            ),
        ]
    cid = format_name(parse_name(ED25519))
    asked = ask(f"/ipns/{ED25519}", host=site.host)
    found.append(get(LEAF, "an Ed25519 name fits into a label", asked, _at(site, None, cid)))
    return found


def _domains(site: Site) -> list[Check]:
    hello = expect(body=Bytes(b"hello\n"))
    wiki, label = f"/ipns/{WIKIPEDIA}/wiki/", inlined(WIKIPEDIA)
    return [
        get(LEAF, "a domain is redirected to one label", ask(wiki, host=site.host), _at(site, None, label, "/wiki/")),
        get(LEAF, "the content of a domain, as labels", ask("/", host=f"{HELLO_DOMAIN}.ipns.{site.host}"), hello),
        get(
            LEAF,
            "the content of a domain, as one label",
            ask("/", host=f"{inlined(HELLO_DOMAIN)}.ipns.{site.host}"),
            hello,
        ),
        get(
            LEAF,
            "a domain with X-Forwarded-Proto: https",
            ask(wiki, {"X-Forwarded-Proto": "https"}, host=site.host),
            _at(site, None, label, "/wiki/", "https"),
        ),
        get(
            LEAF,
            "?uri is redirected to its path",
            ask(f"/ipns/?uri=ipns%3A%2F%2F{WIKIPEDIA}", host=site.host),
            expect(None, Is("Location", f"/ipns/{WIKIPEDIA}")),
        ),
    ]


def _chains(site: Site) -> list[Check]:
    """Domains that lead to names."""
    found: list[Check] = []
    for what, domain in (("a name in base58", OVER_IPNS), ("a name as a CID", OVER_IPNS_CID)):
        for form, label in (("labels", domain), ("one label", inlined(domain))):
            asked = ask("/", host=f"{label}.ipns.{site.host}")
            found.append(
                get(LEAF, f"a domain that leads to {what}, as {form}", asked, expect(200, body=Bytes(_payload())))
            )
    return found


def _ours(site: Site) -> list[Check]:
    cid = format_name(parse_name(ED25519))
    return [
        own(
            LEAF,
            "a redirect keeps path and query",
            ask(f"/ipns/{ED25519}/a/b?c=d", host=site.host),
            _at(site, 301, cid, "/a/b?c=d"),
        ),
        own(
            LEAF,
            "a domain that is redirected is so for good",
            ask(f"/ipns/{WIKIPEDIA}/wiki/", host=site.host),
            _at(site, 301, inlined(WIKIPEDIA), "/wiki/"),
        ),
        own(
            LEAF,
            "X-Ipfs-Path names the domain",
            ask("/", host=f"{inlined(HELLO_DOMAIN)}.ipns.{site.host}"),
            expect(200, Is("X-Ipfs-Path", f"/ipns/{HELLO_DOMAIN}/")),
        ),
    ]
