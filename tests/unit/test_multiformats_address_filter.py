import pytest

from cidery.multiformats.address_filter import MAX_FILTERS, AddressFilter, AddressForbidden, BadFilter, parse_net
from cidery.multiformats.multiaddr import Multiaddr


def addr(text: str) -> Multiaddr:
    return Multiaddr.parse(text)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("/ip4/10.1.2.3/tcp/4001", False),
        ("/ip4/11.1.2.3/tcp/4001", True),
        ("/ip6/fc00::1/tcp/4001", False),
        ("/ip6/2001:db9::1/tcp/4001", True),
        ("/ip6/::ffff:10.1.2.3/tcp/4001", False),
        ("/ip6/64:ff9b::10.1.2.3/tcp/4001", False),
        ("/ip6/2002:0a01:0203::1/tcp/4001", False),
        ("/dns4/example.org/tcp/4001", True),
    ],
)
def test_forbidden_nets_are_left_alone(text: str, allowed: bool) -> None:
    nets = AddressFilter(["/ip4/10.0.0.0/ipcidr/8", "/ip6/fc00::/ipcidr/7"])
    assert nets.allows(addr(text)) is allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("/ip4/10.1.2.3/tcp/4001", True),
        ("/ip4/127.0.0.1/tcp/4001", True),
        ("/ip4/169.254.1.1/tcp/4001", True),
        ("/ip6/fe80::1/tcp/4001", True),
        ("/ip4/8.8.8.8/tcp/4001", False),
        ("/ip6/2606:4700::1/tcp/4001", False),
        ("/ip4/224.0.0.251/tcp/4001", False),
        ("/dns4/localhost/tcp/4001", False),
    ],
)
def test_a_node_of_local_networks_stays_there(text: str, allowed: bool) -> None:
    local = AddressFilter(local_only=True)
    assert local.allows(addr(text)) is allowed
    if not allowed:
        with pytest.raises(AddressForbidden, match="--lan"):
            local.check(addr(text))


def test_without_dns_names_are_not_dialled() -> None:
    with pytest.raises(AddressForbidden, match="DNS is switched off"):
        AddressFilter(names=False).check(addr("/dns4/example.org/tcp/4001"))
    AddressFilter(names=False).check(addr("/ip4/8.8.8.8/tcp/4001"))


@pytest.mark.parametrize("text", ["", "10.0.0.0", "/ip4/10.0.0.0/ipcidr/33", "/ip4/fc00::/ipcidr/7", "/ip4/x/ipcidr/8"])
def test_what_is_no_net_is_refused(text: str) -> None:
    with pytest.raises(BadFilter, match="ipcidr"):
        parse_net(text)


def test_more_nets_than_the_bound_are_refused() -> None:
    with pytest.raises(BadFilter, match=f"{MAX_FILTERS + 1} nets"):
        AddressFilter(["/ip4/10.0.0.0/ipcidr/8"] * (MAX_FILTERS + 1))


@pytest.mark.parametrize(
    ("text", "local_only", "names", "reason"),
    [
        ("/ip4/10.0.0.1/tcp/1", False, True, "AddrFilters"),
        ("/ip4/8.8.8.8/tcp/1", True, True, "outside of the local networks"),
        ("/dns4/example.org/tcp/1", True, True, "outside of the local networks"),
        ("/dns4/example.org/tcp/1", False, False, "DNS is switched off"),
        ("/ip4/10.0.0.1/tcp/1", False, False, "AddrFilters"),
    ],
)
def test_a_forbidden_address_says_by_what(text: str, local_only: bool, names: bool, reason: str) -> None:
    rules = AddressFilter(["/ip4/10.0.0.0/ipcidr/8"], local_only=local_only, names=names)
    with pytest.raises(AddressForbidden, match=reason):
        rules.check(addr(text))


def test_a_host_is_checked_where_a_name_led() -> None:
    rules = AddressFilter(["/ip4/10.0.0.0/ipcidr/8"])
    rules.check_host("11.0.0.1")
    with pytest.raises(AddressForbidden, match="AddrFilters"):
        rules.check_host("10.0.0.1")
