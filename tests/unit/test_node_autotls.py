"""Where AutoTLS is on, what it listens on, and why it is off elsewhere."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cidery.dns.service import Dns
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.autotls import NodeAutoTls, autotls_of, https_unserved, listener_tls
from cidery.node.connected import swarm_gateway
from cidery.repo.config import default_raw, kept_local, read_config
from cidery.repo.config_change import set_key
from cidery.repo.config_file import ConfigError

KEY = PrivateKey.generate_ed25519(os.urandom)
TCP = "/ip4/0.0.0.0/tcp/4001"
WILDCARD = f"{TCP}/tls/sni/*.libp2p.direct/ws"


def made(private: bool = False, lan: bool = False, **settings: Any) -> NodeAutoTls | None:
    raw = default_raw(KEY)
    raw["Addresses"]["Swarm"] = [TCP, "/ip4/0.0.0.0/udp/4001/quic-v1"]
    for name, value in settings.items():
        raw = set_key(raw, name.replace("__", "."), value)
    config = read_config(raw)
    config = kept_local(config) if lan else config
    return autotls_of(config, KEY, Path("autotls"), Dns(None, lambda: 0.0), "agent", private=private)


def test_every_tcp_port_serves_it_by_default() -> None:
    one = made()
    assert one is not None
    assert list(map(str, one._listens)) == [WILDCARD]
    state = one.state()
    assert state.name.startswith("*.k51") and state.name.endswith(".libp2p.direct") and state.waits
    assert one.context() is None
    assert one.named(Multiaddr.parse(TCP)) == [Multiaddr.parse(TCP)]
    assert one.named(Multiaddr.parse(WILDCARD)) == [], "there is no certificate"


def test_the_address_can_be_named_by_the_user() -> None:
    for settings in ({}, {"AutoTLS__AutoWSS": False}):
        one = made(Addresses__Swarm=[TCP, f"{TCP}/ws", WILDCARD], **settings)
        assert one is not None and one._listens == ()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"private": True}, "private network"),
        ({"lan": True}, "local networks"),
        ({"Swarm__Transports__Network__Websocket": False}, "Websocket is false"),
        ({"DNS__Resolvers": {}}, r"DNS.Resolvers is \{\}"),
        ({"Addresses__Swarm": [TCP, f"{TCP}/ws"]}, r"has WebSocket addresses; add one that ends with /tls/sni/\*"),
        ({"AutoTLS__AutoWSS": False}, "AutoWSS is false; add an address"),
        ({"Addresses__Swarm": ["/ip4/0.0.0.0/udp/4001/quic-v1"]}, "no TCP address"),
    ],
)
def test_why_it_is_off_is_logged_for_who_switched_it_on(
    settings: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert made(**settings) is None
    assert not caplog.records, "by default nobody waits for it"
    assert made(AutoTLS__Enabled=True, **settings) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("AutoTLS is off: ")
    assert re.search(reason, record.getMessage())


def test_it_is_off_when_it_is_switched_off() -> None:
    assert made(AutoTLS__Enabled=False) is None
    assert listener_tls(None, None) is None


def test_the_delay_is_an_hour_unless_it_is_switched_on_by_name_or_set() -> None:
    def delay(**settings: Any) -> float:
        raw = default_raw(KEY)
        for name, value in settings.items():
            raw = set_key(raw, f"AutoTLS.{name}", value)
        return read_config(raw).autotls.delay

    assert delay() == delay(RegistrationDelay="") == 3600
    assert delay(Enabled=True) == 0
    assert delay(Enabled=True, RegistrationDelay="5m") == delay(RegistrationDelay="5m") == 300


@pytest.mark.parametrize("key", ["RegistrationEndpoint", "CAEndpoint"])
def test_only_https_is_asked_but_on_this_machine(key: str) -> None:
    for good in ("https://broker.example", "https://broker.example:8443/path", "http://127.0.0.1:8080", "http://[::1]"):
        read_config(set_key(default_raw(KEY), f"AutoTLS.{key}", good))
    for bad in ("http://broker.example", "ftp://a", "https://", "https://user@a", "https://a?b", "https://a b", "x", 5):
        with pytest.raises(ConfigError, match=key):
            read_config(set_key(default_raw(KEY), f"AutoTLS.{key}", bad))


def test_a_private_network_does_not_serve_its_content_over_https() -> None:
    config = read_config(set_key(default_raw(KEY), "Gateway.OnSwarmPort", True))
    with pytest.raises(ConfigError, match="private network"):
        swarm_gateway(config, bytes(32))
    assert swarm_gateway(config, None) is not None
    assert swarm_gateway(read_config(default_raw(KEY)), None) is None


@pytest.mark.parametrize(
    ("swarm", "autotls", "served"),
    [([TCP], False, False), ([f"{TCP}/ws"], False, False), ([f"{TCP}/tls/ws"], False, True), ([TCP], True, True)],
)
def test_https_that_no_port_can_serve_is_told(swarm: list[str], autotls: bool, served: bool) -> None:
    raw = set_key(default_raw(KEY), "Gateway.OnSwarmPort", True)
    config = read_config(set_key(raw, "Addresses.Swarm", swarm))
    said = https_unserved(config, made() if autotls else None)
    assert said == ("" if served else "no address of Addresses.Swarm ends in /tls/ws, and AutoTLS is off")
    assert https_unserved(read_config(default_raw(KEY)), None) == "", "nobody wants it"
