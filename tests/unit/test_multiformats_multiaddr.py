import json
from pathlib import Path

import pytest

from cidery.multiformats.multiaddr import MAX_MULTIADDR, Multiaddr, MultiaddrError
from cidery.multiformats.multiaddr_protocols import BY_NAME

VECTORS = Path(__file__).parent.parent / "vectors"
GO = json.loads((VECTORS / "go-multiaddr" / "derived-good-bad.json").read_text())
PEER = "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV"


@pytest.mark.parametrize("text", sorted(set(GO["good"])))
def test_a_good_address_survives_text_and_bytes(text: str) -> None:
    addr = Multiaddr.parse(text)
    assert Multiaddr.parse(str(addr)) == addr
    assert Multiaddr.decode(addr.encode()) == addr


@pytest.mark.parametrize("text", sorted(set(GO["bad"])))
def test_a_bad_address_is_refused(text: str) -> None:
    with pytest.raises(MultiaddrError):
        Multiaddr.parse(text)


@pytest.mark.parametrize(("text", "packed"), GO["string_bytes"])
def test_text_and_bytes_are_those_of_the_go_implementation(text: str, packed: str) -> None:
    assert Multiaddr.parse(text).encode().hex() == packed
    assert str(Multiaddr.decode(bytes.fromhex(packed))) == text


def test_every_protocol_of_the_table_is_known() -> None:
    rows = (VECTORS / "multiaddr" / "protocols.csv").read_text().splitlines()[1:]
    for row in rows:
        code, size, name = (cell.strip() for cell in row.split(",")[:3])
        assert BY_NAME[name].code == int(code)
        if name != "memory":
            assert BY_NAME[name].size == (-1 if size == "V" else int(size) // 8 + (int(size) % 8 > 0))


def test_peer_ids_are_read_in_any_base_and_printed_in_base58() -> None:
    texts = [
        "/p2p/k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl7",
        "/ipfs/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
        "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
    ]
    assert {str(Multiaddr.parse(text)) for text in texts[1:]} == {texts[2]}
    assert str(Multiaddr.parse(texts[0])).startswith("/p2p/Qm")


def test_a_cid_of_content_is_no_peer_id() -> None:
    with pytest.raises(MultiaddrError, match="content"):
        Multiaddr.parse("/p2p/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")


def test_the_peer_is_the_last_one_named() -> None:
    relayed = Multiaddr.parse(
        f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"
    )
    peer = relayed.peer_id_bytes
    assert peer is not None and peer.startswith(b"\x12\x20")
    assert Multiaddr.parse("/ip4/1.2.3.4/tcp/1").peer_id_bytes is None


def test_a_peer_can_be_added_replaced_and_taken_off() -> None:
    plain = Multiaddr.parse("/ip4/1.2.3.4/tcp/1")
    peer = Multiaddr.parse(f"/p2p/{PEER}").peer_id_bytes
    assert peer is not None
    full = plain.with_peer(peer)
    assert str(full) == f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}"
    assert full.with_peer(peer) == full
    assert full.without_peer() == plain
    assert hash(full.without_peer()) == hash(plain)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/ip4/127.0.0.1/tcp/4001", ("127.0.0.1", 4001)),
        (f"/ip6/::1/tcp/4001/p2p/{PEER}", ("::1", 4001)),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/5", ("fe80::1%eth0", 5)),
        ("/dns4/example.org/tcp/443", ("example.org", 443)),
        ("/dns/example.org/tcp/0", ("example.org", 0)),
        ("/dnsaddr/example.org", None),
        ("/ip4/127.0.0.1/udp/4001/quic-v1", None),
        ("/ip4/127.0.0.1/tcp/80/ws", None),
        (f"/ip4/127.0.0.1/tcp/80/p2p/{PEER}/p2p-circuit", None),
        (f"/p2p/{PEER}", None),
    ],
)
def test_the_tcp_endpoint_is_found_in_plain_tcp_addresses_only(text: str, endpoint: tuple[str, int] | None) -> None:
    assert Multiaddr.parse(text).tcp_endpoint() == endpoint


def test_sockets_become_addresses() -> None:
    assert str(Multiaddr.tcp("127.0.0.1", 7)) == "/ip4/127.0.0.1/tcp/7"
    assert str(Multiaddr.tcp("fe80::1%eth0", 7)) == "/ip6zone/eth0/ip6/fe80::1/tcp/7"
    with pytest.raises(MultiaddrError):
        Multiaddr.tcp("localhost", 7)


def test_mapped_ipv6_addresses_are_printed_dotted() -> None:
    assert str(Multiaddr.parse("/ip6/::ffff:102:304/tcp/1")) == "/ip6/::ffff:1.2.3.4/tcp/1"


@pytest.mark.parametrize(
    "text", ["/ip4/01.2.3.4", "/tcp/01", "/tcp/+1", "/tcp/١", "ip4/1.2.3.4", "/dns", "/x/1", "//", "/ip6/fe80::1%eth0"]
)
def test_forms_that_would_be_printed_differently_are_refused(text: str) -> None:
    with pytest.raises(MultiaddrError):
        Multiaddr.parse(text)


def test_addresses_are_bounded() -> None:
    with pytest.raises(MultiaddrError, match="longer"):
        Multiaddr.parse("/dns/" + "a" * MAX_MULTIADDR)
    with pytest.raises(MultiaddrError, match="allowed"):
        Multiaddr.decode(bytes(MAX_MULTIADDR + 1))
    with pytest.raises(MultiaddrError):
        Multiaddr.decode(b"")


@pytest.mark.parametrize(
    "packed", ["04", "047f0000", "3500", "35016106", "9003022f610610e1", "900302612f", "a5030101", "ffff01"]
)
def test_broken_bytes_are_refused(packed: str) -> None:
    with pytest.raises(MultiaddrError):
        Multiaddr.decode(bytes.fromhex(packed))


def test_the_error_is_one_line_that_names_the_address() -> None:
    with pytest.raises(MultiaddrError) as caught:
        Multiaddr.parse("/ip4/300.1.1.1/tcp/1")
    assert str(caught.value) == "'/ip4/300.1.1.1/tcp/1' is not a multiaddr: '300.1.1.1' is not an IPv4 address"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/ip4/1.2.3.4/udp/4001/quic-v1", ("1.2.3.4", 4001)),
        ("/ip6zone/eth0/ip6/fe80::1/udp/4001/quic-v1", ("fe80::1%eth0", 4001)),
        ("/dns4/a.example/udp/1/quic-v1/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5", ("a.example", 1)),
        ("/ip4/1.2.3.4/udp/4001", None),
        ("/ip4/1.2.3.4/udp/4001/quic", None),
        ("/ip4/1.2.3.4/udp/4001/quic-v1/webtransport", None),
        ("/ip4/1.2.3.4/tcp/4001", None),
    ],
)
def test_the_quic_endpoint_is_found_in_plain_quic_addresses_only(text: str, endpoint: tuple[str, int] | None) -> None:
    assert Multiaddr.parse(text).quic_endpoint() == endpoint


@pytest.mark.parametrize(
    ("text", "host", "moved"),
    [
        ("/ip4/0.0.0.0/udp/1/quic-v1", "0.0.0.0", "/ip4/9.8.7.6/udp/1/quic-v1"),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", "fe80::1%eth0", "/ip4/9.8.7.6/tcp/1"),
        ("/dns/a.example/tcp/1/ws", "a.example", "/ip4/9.8.7.6/tcp/1/ws"),
    ],
)
def test_the_host_in_front_is_told_and_replaced(text: str, host: str, moved: str) -> None:
    addr = Multiaddr.parse(text)
    assert addr.host() == host
    assert str(addr.at_host("9.8.7.6")) == moved
    assert Multiaddr.parse("/p2p-circuit").host() is None


@pytest.mark.parametrize(
    "text, found",
    [
        ("/ip4/1.2.3.4/tcp/80/ws", ("1.2.3.4", 80, False, "", "/")),
        ("/ip6/2001:db8::1/tcp/80/ws/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
         ("2001:db8::1", 80, False, "", "/")),
        ("/dns4/a.example/tcp/443/tls/ws", ("a.example", 443, True, "a.example", "/")),
        ("/dns/a.example/tcp/443/wss", ("a.example", 443, True, "a.example", "/")),
        ("/dns/a.example/tcp/443/ws", ("a.example", 443, False, "a.example", "/")),
        ("/ip4/1.2.3.4/tcp/443/tls/sni/b.example/ws", ("1.2.3.4", 443, True, "b.example", "/")),
        ("/ip4/1.2.3.4/tcp/443/wss/http-path/a%2Fb%20%0D%0Ac", ("1.2.3.4", 443, True, "", "/a/b%20%0D%0Ac")),
    ],
)  # fmt: skip
def test_websocket_addresses_say_where_and_how(text: str, found: tuple[object, ...]) -> None:
    assert Multiaddr.parse(text).ws_endpoint() == found


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/1.2.3.4/tcp/80",
        "/ip4/1.2.3.4/udp/80/ws",
        "/ip4/1.2.3.4/tcp/80/tls",
        "/ip4/1.2.3.4/tcp/80/tls/wss",
        "/ip4/1.2.3.4/tcp/80/ws/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit",
        "/ip4/1.2.3.4/tcp/80/http",
        "/tcp/80/ws",
        "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    ],
)
def test_other_addresses_are_no_websockets(text: str) -> None:
    assert Multiaddr.parse(text).ws_endpoint() is None


@pytest.mark.parametrize(
    "text, found",
    [
        ("/ip4/1.2.3.4/tcp/80", ("TCP", "1.2.3.4", 80)),
        ("/ip6/::1/tcp/80/ws", ("TCP", "::1", 80)),
        ("/ip4/1.2.3.4/udp/80/quic-v1", ("UDP", "1.2.3.4", 80)),
        ("/ip4/1.2.3.4/udp/80", None),
        ("/unix/run/sock", None),
    ],
)
def test_the_socket_under_an_address_is_told_whatever_is_spoken_on_it(
    text: str, found: tuple[str, str, int] | None
) -> None:
    assert Multiaddr.parse(text).socket_endpoint() == found


def test_a_name_that_tls_needs_stays_when_the_host_is_replaced() -> None:
    for form in ("tls/ws", "wss"):
        addr = Multiaddr.parse(f"/dns4/a.example/tcp/443/{form}").with_name().at_host("1.2.3.4")
        assert str(addr) == "/ip4/1.2.3.4/tcp/443/tls/sni/a.example/ws"
    for text in (
        "/dns4/a.example/tcp/80/ws",
        "/dns4/a/tcp/443/tls/sni/b/ws",
        "/ip4/1.2.3.4/tcp/443/wss",
        "/dns/a/tcp/1",
    ):
        assert str(Multiaddr.parse(text).with_name()) == text
