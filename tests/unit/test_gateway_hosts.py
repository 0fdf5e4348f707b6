"""Which content a host names, and where paths of a subdomain gateway lead."""

import pytest

from cidery.gateway.hosts import (
    LOCALHOST,
    Hosts,
    LabelTooLong,
    PublicGateway,
    canonical_root,
    from_inlined,
    inlined,
    is_domain,
    without_port,
)
from cidery.gateway.origin import Redirected, of_host, of_path, to_canonical_host, to_key, to_subdomain, to_uri
from cidery.http.message import BadRequest, Request
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB

HELLO = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"
HELLO_V0 = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR"
KEY_B58 = "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d"
KEY_B36 = "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam"
SITES = PublicGateway(use_subdomains=True)
HOSTS = Hosts(
    {
        "localhost": LOCALHOST,
        "example.com": SITES,
        "paths.example.com": PublicGateway(("/ipfs",)),
        "*.gw.example.net": SITES,
        "[::1]:8080": PublicGateway(),
        "bare.example:8080": PublicGateway(("/ipns",)),
    }
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (f"{HELLO}.ipfs.example.com", ("example.com", "ipfs", HELLO)),
        (f"{HELLO}.ipfs.localhost:8080", ("localhost:8080", "ipfs", HELLO)),
        ("EN.wikipedia.ipns.Example.com", ("example.com", "ipns", "en.wikipedia")),
        ("x.ipfs.a.gw.example.net", ("a.gw.example.net", "ipfs", "x")),
        ("example.com:99", ("example.com:99", "", "")),
        ("paths.example.com", ("paths.example.com", "", "")),
        ("x.ipfs.paths.example.com", ("", "", "")),
        ("ipfs.example.com", ("", "", "")),
        ("bare.example:8080", ("bare.example:8080", "", "")),
        ("bare.example", ("", "", "")),
        ("[::1]:8080", ("[::1]:8080", "", "")),
        ("other.example", ("", "", "")),
        ("x.ipfs." + "a." * 300 + "example.com", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_a_host_names_a_gateway_or_content_below_one(host: str, expected: tuple[str, str, str]) -> None:
    place = HOSTS.find(host)
    assert (place.host, place.namespace, place.root) == expected
    assert HOSTS.find(host) is place, "hosts that were found are remembered"


def test_a_gateway_of_some_paths_serves_no_others() -> None:
    gateway = HOSTS.find("paths.example.com").gateway
    assert gateway.serves("/ipfs/x") and gateway.serves("/ipfs")
    assert not gateway.serves("/ipns/x") and not gateway.serves("/ipfsx")


@pytest.mark.parametrize(
    ("domain", "label"),
    [
        ("example.org", "example-org"),
        ("en.wikipedia-on-ipfs.org", "en-wikipedia--on--ipfs-org"),
        ("a--b.example", "a----b-example"),
    ],
)
def test_a_domain_fits_into_one_label_and_comes_back(domain: str, label: str) -> None:
    assert inlined(domain) == label
    assert from_inlined(label) == domain


def test_a_domain_too_long_for_a_label_is_refused() -> None:
    with pytest.raises(LabelTooLong, match="DNS label length limit of 63"):
        inlined("a" * 40 + "." + "b" * 30)


@pytest.mark.parametrize(
    ("namespace", "root", "expected"),
    [
        ("ipfs", HELLO, HELLO),
        ("ipfs", HELLO_V0, "bafybeigd5gnqvtbnjmb4ljqc4cdjcmsl4ajhxpmnnnm6vlbjqnpmv4d7ve"),
        ("ipns", KEY_B58, KEY_B36),
        ("ipns", KEY_B36, KEY_B36),
        ("ipns", "example.org", "example.org"),
    ],
)
def test_the_text_of_a_root_in_a_host_is_unique(namespace: str, root: str, expected: str) -> None:
    label = canonical_root(namespace, root, inline=False)
    if root == HELLO_V0:
        assert label.startswith("bafybei") and len(label) == 59
    else:
        assert label == expected


def test_what_is_no_cid_is_named() -> None:
    with pytest.raises(BadRequest, match='invalid path "/ipfs/QmInvalidCID"'):
        canonical_root("ipfs", "QmInvalidCID", inline=False)


def test_a_path_leads_to_a_host_of_its_own_with_its_query() -> None:
    place = HOSTS.find("localhost:8080")
    request = Request("GET", f"/ipfs/{HELLO}/a%20b?x=1&y", {})
    assert to_subdomain(request, place, "http") == Redirected(f"http://{HELLO}.ipfs.localhost:8080/a%20b?x=1&y")
    request = Request("GET", f"/ipns/{KEY_B58}/", {})
    assert to_subdomain(request, place, "https") == Redirected(f"https://{KEY_B36}.ipns.localhost:8080/")


def test_another_text_of_the_root_leads_to_the_usual_one() -> None:
    old_link = PeerId.parse(KEY_B58).to_cid()
    for text in (old_link.format("base32"), CID(1, DAG_PB, old_link.multihash).format("base32")):
        place = HOSTS.find(f"{text}.ipns.localhost:80")
        redirect = to_canonical_host(Request("GET", "/a?b", {}), place, "http")
        assert redirect == Redirected(f"http://{KEY_B36}.ipns.localhost:80/a?b")
    for host in (f"{KEY_B36}.ipns.localhost", f"{HELLO}.ipfs.localhost", "en-a-org.ipns.localhost"):
        assert to_canonical_host(Request("GET", "/a", {}), HOSTS.find(host), "http") is None


def test_the_path_of_a_content_host_is_below_its_root() -> None:
    origin = of_host(Request("GET", "/ipfs/%C4%85?x", {}), HOSTS.find(f"{HELLO}.ipfs.localhost"), deserialized=True)
    assert (origin.namespace, origin.root, origin.below, origin.isolated) == ("ipfs", HELLO, "ipfs/ą", True)
    inline = of_host(Request("GET", "/", {}), HOSTS.find("en-a--b-org.ipns.localhost"), deserialized=True)
    assert inline.root == "en.a-b.org"


def test_keys_in_base58_lead_to_their_usual_text() -> None:
    request = Request("GET", f"/ipns/{KEY_B58}/a/?b=c", {})
    origin = of_path(request, deserialized=True)
    assert to_key(request, origin) == Redirected(f"/ipns/{KEY_B36}/a/?b=c", 302)
    request = Request("GET", f"/ipns/{KEY_B36}/a", {})
    assert to_key(request, of_path(request, deserialized=True)) is None


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        (f"ipfs://{HELLO_V0}/a%20b", f"/ipfs/{HELLO_V0}/a%20b"),
        ("ipns%3A%2F%2Fexample.org%2Fa%3Fx%3D1", "/ipns/example.org/a?x=1"),
    ],
)
def test_links_that_browsers_hand_over_lead_to_their_path(uri: str, target: str) -> None:
    assert to_uri(Request("GET", f"/ipfs/?uri={uri}", {})) == Redirected(target)


@pytest.mark.parametrize("uri", ["https://evil.example/", "ipfs://", "ipfs://nothing/x", "//evil.example", "ipfs://[x"])
def test_links_to_elsewhere_are_refused(uri: str) -> None:
    with pytest.raises(BadRequest):
        to_uri(Request("GET", f"/ipfs/?uri={uri}", {}))


def test_addresses_are_no_domains() -> None:
    assert is_domain("example.org") and not is_domain("127.0.0.1") and not is_domain("[::1]")
    assert not is_domain("localhost") and not is_domain("x.localhost") and not is_domain("nodots")
    assert without_port("a.example:80") == "a.example" and without_port("[::1]") == "[::1]"
    assert without_port("[::1]:80") == "[::1]"
