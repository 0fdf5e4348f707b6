"""Whose request it is."""

import pytest

from cidery.gateway.exposure import exposure, exposure_on_swarm
from cidery.gateway.visitor import OWNER, UNNAMED, Visitor, proxies_of, visitor_of
from cidery.http.message import Request
from cidery.multiformats.multiaddr import Multiaddr

PROXIES = proxies_of(["/ip4/10.1.0.0/ipcidr/16"])


def visitor(client: str, **headers: str) -> Visitor:
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return visitor_of(Request("GET", "/", given, client=client), PROXIES)


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "127.9.9.9", "::ffff:127.0.0.1", ""])
def test_who_connects_from_this_machine_without_a_proxy_is_the_owner(client: str):
    assert visitor(client) == OWNER


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("192.168.1.7", "192.168.1.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("10.1.2.3", "10.1.2.3"),
        ("nonsense", UNNAMED),
    ],
)
def test_others_are_strangers_told_apart_by_address(client: str, key: str):
    assert visitor(client) == Visitor(owner=False, client=key)


def test_a_stranger_is_not_believed_whom_it_names():
    assert visitor("203.0.113.5", x_forwarded_for="127.0.0.1").client == "203.0.113.5"


@pytest.mark.parametrize(
    ("client", "named", "key"),
    [
        ("127.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "1.1.1.1, 203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "203.0.113.5, 10.1.0.9", "203.0.113.5"),
        ("10.1.0.9", "203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "127.0.0.1", UNNAMED),
        ("127.0.0.1", "203.0.113.5, nonsense", UNNAMED),
        ("127.0.0.1", "", UNNAMED),
        ("127.0.0.1", "9.9.9.9, " + "127.0.0.1, " * 40 + "127.0.0.1", UNNAMED),
    ],
)
def test_a_trusted_proxy_says_who_asks_and_never_that_it_is_the_owner(client: str, named: str, key: str):
    assert visitor(client, x_forwarded_for=named) == Visitor(owner=False, client=key)


@pytest.mark.parametrize("header", ["forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "via"])
def test_a_proxy_that_names_nobody_brings_strangers(header: str):
    request = Request("GET", "/", {header: "127.0.0.1"}, client="127.0.0.1")
    assert visitor_of(request) == Visitor(owner=False, client=UNNAMED)


def test_a_gateway_of_this_machine_alone_has_nothing_to_say_and_a_public_one_says_what_it_does():
    here = [Multiaddr.parse("/ip4/127.0.0.1/tcp/8080"), Multiaddr.parse("/ip6/::1/tcp/8080")]
    everywhere = Multiaddr.parse("/ip4/0.0.0.0/tcp/8080")
    assert exposure(here, fetches=True) == []
    said = exposure([*here, everywhere], fetches=True)
    assert "/ip4/0.0.0.0/tcp/8080" in said[0] and "127.0.0.1" not in said[0]
    assert "16 fetches" in said[1] and "Gateway.NoFetch" in said[1]
    assert "fetch" not in exposure([everywhere], fetches=False)[0]


def test_a_port_of_the_swarm_that_answers_https_to_everybody_says_so():
    plain = [Multiaddr.parse("/ip4/0.0.0.0/tcp/4001"), Multiaddr.parse("/ip4/0.0.0.0/tcp/4001/ws")]
    here = [Multiaddr.parse("/ip4/127.0.0.1/tcp/4001/tls/ws"), Multiaddr.parse("/ip6/::1/tcp/4001/tls/ws")]
    assert exposure_on_swarm([*plain, *here]) == []
    (said,) = exposure_on_swarm([*plain, *here, Multiaddr.parse("/ip4/0.0.0.0/tcp/4002/tls/ws")])
    assert said.startswith("/ip4/0.0.0.0/tcp/4002/tls/ws answers HTTPS, too: everybody")
