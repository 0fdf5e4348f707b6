"""The names of the fixtures: IPNS records, and domains with what they point to."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from cidery.gateway.check.dag import fixture
from cidery.ipns.record import IpnsRecord
from cidery.multiformats.cid import CID

V1_ONLY = "k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku"
V1_MISMATCHED = "k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw"
V2_BROKEN = "k51qzi5uqu5diamp7qnnvs1p1gzmku3eijkeijs3418j23j077zrkok63xdm8c"
V1_BROKEN = "k51qzi5uqu5dilgf7gorsh9vcqqq4myo6jd4zmqkuy9pxyxi5fua3uf7axph4y"
V1_AND_V2 = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w"
V2_ONLY = "k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f"
"""Names whose one record is, or is not, signed as each says; the first three must not be believed."""
CACHE = "k51qzi5uqu5dlxdsdu5fpuu7h69wu4ohp32iwm9pdt9nq3y5rpn3ln9j12zfhe"
SUBPATH = "k51qzi5uqu5djokp3m1keo36hoxtd6u3a1d2rg1camf6al7p3huy63dojlm57c"
DAG_JSON = "k51qzi5uqu5dhjghbwdvbo6mi40htrq6e2z4pwgp15pgv3ho1azvidttzh8yy2"
DAG_CBOR = "k51qzi5uqu5dghjous0agrwavl8vzl64xckoqzwqeqwudfr74kfd11zcyk3b7l"
RSA = "QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3"
ED25519 = "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d"

LISTING_DOMAIN = "dnslink-dir-listing.example.org"
OVER_IPNS = "dnslink-over-ipns.example.org"
OVER_IPNS_CID = "dnslink-over-ipns-cidv1.example.org"
SUBPATH_DOMAIN = "dnslink-subpath.example.org"
REDIRECTS_DOMAIN = "dnslink-redirects-examples.example.org"
SPA_DOMAIN = "dnslink-enabled-with-spa.example.org"
WIKIPEDIA = "en.wikipedia-on-ipfs.example.org"
HELLO_DOMAIN = "dnslink-test.example.org"
DOMAINS = {
    LISTING_DOMAIN: "/ipfs/bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i",
    OVER_IPNS: f"/ipns/{ED25519}",
    OVER_IPNS_CID: "/ipns/k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam",
    SUBPATH_DOMAIN: "/ipfs/bafybeib3ffl2teiqdncv3mkz4r23b5ctrwkzrrhctdbne6iboayxuxk5ui/root2",
    REDIRECTS_DOMAIN: "/ipfs/QmYBhLYDwVFvxos9h8CGU2ibaY66QNgv8hpfewxaQrPiZj",
    SPA_DOMAIN: "/ipfs/bafybeib5lboymwd6p2eo4qb2lkueaine577flvsjjeuevmp2nlio72xv5q",
    WIKIPEDIA: "/ipfs/bafybeiaysi4s6lnjev27ln5icwm6tueaw2vdykrtjkwiphwekaywqhcjze",
    HELLO_DOMAIN: "/ipfs/bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
}
"""Domain -> where its DNSLink leads (those of the fixtures' dnslink.yml)."""


class RecordFile(NamedTuple):
    """One record of the fixtures."""

    name: str
    path: str
    """Below ``fixtures``."""


@cache
def records() -> tuple[RecordFile, ...]:
    """All records: a file is named after its name, up to the first ``_``."""
    root = files("cidery.gateway.check").joinpath("fixtures")
    found = [
        RecordFile(entry.name.partition(".")[0].partition("_")[0], f"{folder.name}/{entry.name}")
        for folder in root.iterdir()
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name.endswith(".ipns-record")
    ]
    return tuple(sorted(found))


def value_of(name: str) -> str:
    """The path that a valid record of the fixtures points to."""
    path = next(one.path for one in records() if one.name == name)
    return IpnsRecord.decode(fixture(path)).value.decode()


def inlined_value_of(name: str) -> bytes:
    """The bytes that a record points to, where its value is a CID that holds them."""
    return CID.parse(value_of(name).removeprefix("/ipfs/")).identity_data


def inlined(domain: str) -> str:
    """A domain as one DNS label (https://specs.ipfs.tech/http-gateways/subdomain-gateway/#host-request-header)."""
    return domain.replace("-", "--").replace(".", "-")
