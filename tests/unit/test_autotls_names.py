"""Names below the broker's domain, the addresses that hold them, when to renew, and what is kept."""

import os
import stat
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from cidery.autotls.certificate import Certified, certified
from cidery.autotls.jws import new_key
from cidery.autotls.names import ForgeNames, escaped
from cidery.autotls.schedule import FIRST_BACKOFF, MOST_BACKOFF, next_try, renewal
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.announced import Announced
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.autotls_files import Account, AccountDamaged, AutoTlsFiles, CannotKeep, decode_account
from cidery.retrieval.gateway_url import gateway_url
from peers.scripted_authority import NOW, Issuer, pem

PEER = PeerId.parse("12D3KooWATZi2wFwQxQ14Z3q24TDNWKap6f8W5ryLE6Da4RMfsxy")
NAMES = ForgeNames(PEER, "libp2p.direct")
LABEL = "k51qzi5uqu5dgf513xbrfjl4smgo2eh1x8p8y6grzsf1oz0reiy56p65tds3s6"
"""Of the specification's example."""
URL = "https://ca.example/directory"


def test_the_names_are_those_of_the_specification() -> None:
    assert NAMES.wildcard == f"*.{LABEL}.libp2p.direct"
    assert NAMES.challenge == f"_acme-challenge.{LABEL}.libp2p.direct"


def test_every_peer_id_fits_into_a_label() -> None:
    for key in (
        PrivateKey.generate_secp256k1(),
        PrivateKey.generate_rsa(2048),
        PrivateKey.generate_ed25519(os.urandom),
    ):
        assert len(ForgeNames(key.peer_id, "libp2p.direct").domain.partition(".")[0]) <= 63


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("142.93.194.175", "142-93-194-175"),
        ("2001:db8::1", "2001-db8--1"),
        ("2001:db8::", "2001-db8--0"),
        ("::1", "0--1"),
        ("::", "0--0"),
        ("2001:0db8:0:0:1:0:0:1", "2001-db8--1-0-0-1"),
    ],
)
def test_an_address_is_written_as_a_label(host: str, label: str) -> None:
    assert escaped(ip_address(host)) == label


@pytest.mark.parametrize(
    ("plain", "short", "long"),
    [
        (
            "/ip4/142.93.194.175/tcp/4001",
            f"/dns4/142-93-194-175.{LABEL}.libp2p.direct/tcp/4001/tls/ws",
            f"/ip4/142.93.194.175/tcp/4001/tls/sni/142-93-194-175.{LABEL}.libp2p.direct/ws",
        ),
        (
            "/ip6/2001:db8::/tcp/4001",
            f"/dns6/2001-db8--0.{LABEL}.libp2p.direct/tcp/4001/tls/ws",
            f"/ip6/2001:db8::/tcp/4001/tls/sni/2001-db8--0.{LABEL}.libp2p.direct/ws",
        ),
    ],
)
def test_an_address_is_announced_in_either_form(plain: str, short: str, long: str) -> None:
    listening = NAMES.listening(Multiaddr.parse(plain))
    assert str(listening) == f"{plain}/tls/sni/*.libp2p.direct/ws"
    assert NAMES.is_listening(listening)
    assert str(NAMES.announced(listening, short=True)) == short
    assert str(NAMES.announced(listening, short=False)) == long
    http = NAMES.over_http(listening)
    assert str(http) == short.removesuffix("/ws") + "/http"
    assert http is not None and gateway_url(http) == f"https://{short.split('/')[2]}:4001"


def test_other_addresses_are_left_alone() -> None:
    for text in ("/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1/tls/ws", "/ip4/1.2.3.4/tcp/1/tls/sni/*.example.com/ws"):
        assert not NAMES.is_listening(Multiaddr.parse(text))
    for text in ("/dns4/a.example/tcp/1/tls/ws", "/ip4/1.2.3.4/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1/tls/ws"):
        assert NAMES.announced(Multiaddr.parse(text), short=True) is None


def test_a_name_does_not_hide_an_address_that_is_kept_back() -> None:
    own = [NAMES.listening(Multiaddr.parse(f"/ip4/{host}/tcp/4001")) for host in ("10.0.0.5", "8.8.8.8")]

    def named(addr: Multiaddr) -> list[Multiaddr]:
        found = NAMES.announced(addr, short=True)
        return [] if found is None else [found]

    told = Announced(never=["/ip4/10.0.0.0/ipcidr/8"]).of(own, named)
    assert [str(addr).split(".")[0] for addr in told] == ["/dns4/8-8-8-8"]
    assert Announced(never=["/ip4/10.0.0.0/ipcidr/8", str(told[0])]).of(own, named) == []
    assert Announced().of(own, lambda _: ()) == []


def of_life(life: timedelta) -> Certified:
    key = new_key(os.urandom)
    return certified(pem(Issuer().leaf(key, ["*.x"], life=life)), key, "*.x")


def test_a_certificate_is_renewed_at_about_two_thirds_of_its_life() -> None:
    for days in (90, 45, 6):
        one = of_life(timedelta(days=days))
        times = [(renewal(one, luck) - one.begins) / 86400 / days for luck in (0.0, 0.5, 0.999)]
        assert times == sorted(times)
        assert times[1] == pytest.approx(2 / 3)
        assert 0.64 < times[0] < times[2] < 0.69


def test_failures_wait_longer_and_longer_and_never_less_than_is_asked_for() -> None:
    waits = [next_try(failures, 0.0, 0.0, 0.5) for failures in range(1, 400)]
    assert waits[0] == FIRST_BACKOFF and waits == sorted(waits) and waits[-1] == MOST_BACKOFF
    assert next_try(1, 1000.0, 7200.0, 0.9) == 8200.0
    assert next_try(1, 0.0, 0.0, 0.0) < FIRST_BACKOFF < next_try(1, 0.0, 0.0, 1.0)


def test_what_is_kept_is_secret_and_comes_back(tmp_path: Path) -> None:
    files = AutoTlsFiles(tmp_path / "autotls", URL)
    assert files.read_account() is None and files.read_certificate() is None
    account = Account("a key", "https://ca.example/1", 3, 12.5)
    files.write_account(Account("old"))
    files.write_account(account)
    files.write_certificate(b"pem")
    assert files.read_account() == account and files.read_certificate() == b"pem"
    for file in (files.account, files.certificate):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.folder.stat().st_mode) == stat.S_IMODE((tmp_path / "autotls").stat().st_mode) == 0o700
    assert sorted(path.name for path in files.folder.iterdir()) == ["account.json", "certificate.pem"]
    other = AutoTlsFiles(tmp_path / "autotls", "https://ca.example/staging")
    assert other.read_certificate() is None, "each authority has its own"


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "autotls").write_text("a file")
    with pytest.raises(CannotKeep, match="account.json"):
        AutoTlsFiles(tmp_path / "autotls", URL).write_account(Account("key"))
    with pytest.raises(CannotKeep, match="certificate.pem"):
        AutoTlsFiles(tmp_path / "autotls", URL).read_certificate()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"key": 1}', '{"key": "k", "kid": 1}', '{"key": "k", "failures": -1}', "[" * 100_000]
)
def test_a_damaged_account_is_named(text: str) -> None:
    with pytest.raises(AccountDamaged, match="account.json"):
        decode_account(text.encode(), Path("account.json"))


def test_the_time_of_the_example_is_one_of_the_certificates() -> None:
    assert of_life(timedelta(days=1)).begins == NOW.timestamp()
