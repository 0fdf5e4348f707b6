"""AutoTLS against a real authority (Pebble 2.10) and a broker over go-libp2p's authentication by peer id."""

import base64
import json
import os
import re
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from peers.certificates import write_certificate
from peers.cidery_daemon import CideryDaemon
from peers.installed import acme_command, go_command
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest, write_file

DOMAIN = "libp2p.test"
TOKEN = "a token"
SECONDS = 40.0
"""Until what is asked of the authority has happened."""
POLL = 0.3
SHORT_LIFE = 12
"""Seconds that a certificate of the tests of renewal is valid."""
REJECTED = {"PEBBLE_WFE_NONCEREJECT": "10", "PEBBLE_VA_NOSLEEP": "1"}
"""Of the nonces, in percent."""


class Authority:
    """The authority and its broker, and the config of a node that asks them."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True)
        cert, key = write_certificate(folder)
        command = acme_command("--cert", str(cert), "--key", str(key), "--domain", DOMAIN, "--token", TOKEN, *options)
        self.peer = LinePeer(command, folder / "log", REJECTED)
        self.root = folder / "root.pem"
        self.root.write_text(self.peer.ready["root"])
        said = self.peer.ready
        self.config = {
            "AutoTLS.Enabled": "true",
            "AutoTLS.AllowPrivateForgeAddrs": "true",
            "AutoTLS.ShortAddrs": "false",
            "AutoTLS.DomainSuffix": json.dumps(DOMAIN),
            "AutoTLS.RegistrationEndpoint": json.dumps(said["broker"]),
            "AutoTLS.CAEndpoint": json.dumps(said["acme"]),
            "AutoTLS.TrustedCARootsPEM": json.dumps(cert.read_text()),
            "DNS.Resolvers": json.dumps({".": f"udp://{said['dns']}"}),
        }

    @property
    def seen(self) -> dict[str, int]:
        """Requests to the broker."""
        found: dict[str, int] = self.peer.ask("seen")["seen"]
        return found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts authorities and nodes; all end with the test."""
    with ExitStack() as stack:

        def authority(*options: str) -> Authority:
            made = Authority(tmp_path / "authority", *options)
            stack.callback(made.peer.close)
            return made

        yield authority


def node(folder: Path, config: dict[str, str], token: str = TOKEN) -> CideryDaemon:
    """A daemon with a token for the broker, which no command sets."""
    made = CideryDaemon(folder, config)
    made.close()
    path = made.repo / "config"
    raw = json.loads(path.read_text())
    raw["AutoTLS"]["RegistrationToken"] = token
    path.write_text(json.dumps(raw))
    made.log.write_text("")
    for kept in (made.repo / "autotls").glob("*/account.json"):
        kept.unlink()  # its first start was without the token
    made.start()
    return made


def addresses(one: CideryDaemon) -> list[str]:
    return [addr for addr in one.run("id", "-f", "<addrs>").split() if DOMAIN in addr]


def words(one: CideryDaemon) -> str:
    return one.run("swarm", "addrs", "autonat")


def wait_for(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(POLL)
    return value


def shown(port: int) -> x509.Certificate:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())


def test_a_node_gets_a_certificate_and_a_go_trusts_it(started: Callable[..., Authority], tmp_path: Path) -> None:
    authority = started()
    with node(tmp_path / "node", authority.config) as one:
        (addr,) = wait_for(lambda: addresses(one), "no certificate")
        found = re.fullmatch(
            r"/ip4/127\.0\.0\.1/tcp/(\d+)/tls/sni/127-0-0-1\.(k51\w+)\.libp2p\.test/ws/p2p/(\S+)", addr
        )
        assert found is not None, addr
        assert found[1] == one.addr.split("/")[4], "the port of plain TCP"
        assert found[3] == one.peer_id
        assert f"Certificate for *.{found[2]}.{DOMAIN} until" in words(one)
        assert "next renewal" in words(one)
        with LinePeer(go_command("--ca", str(authority.root)), tmp_path / "go.log") as go:
            assert go.ask("connect", addr)["muxer"] == "/yamux/1.0.0"
            assert go.ask("ping", one.peer_id)["ok"]
            assert f"{addr.split('/p2p/')[0]}" in go.ask("identified", one.peer_id)["addrs"], "it is announced"
        with LinePeer(go_command(), tmp_path / "go2.log") as stranger, pytest.raises(PeerFailed, match="certificate"):
            stranger.ask("connect", addr)
        files = list((one.repo / "autotls").rglob("*"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in files if file.is_file()} == {0o600}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files if file.is_dir()} == {0o700}
        before, serial = authority.seen, shown(int(found[1])).serial_number
        assert before["registered"] == 1
        assert TOKEN not in one.run("config", "show"), "it is a secret"
        one.close()
        one.start()
        (addr,) = wait_for(lambda: addresses(one), "the certificate was not kept")
        assert shown(int(addr.split("/")[4])).serial_number == serial
        assert authority.seen == before, "nobody is asked while there is one"


def test_the_short_form_is_dialled_without_dns(
    started: Callable[..., Authority], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = started()
    with node(tmp_path / "node", authority.config | {"AutoTLS.ShortAddrs": "true"}) as one:
        (addr,) = wait_for(lambda: addresses(one), "no certificate")
        assert re.fullmatch(r"/dns4/127-0-0-1\.k51\w+\.libp2p\.test/tcp/\d+/tls/ws/p2p/\S+", addr)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
        names = {"AutoTLS.DomainSuffix": json.dumps(DOMAIN), "DNS.Resolvers": '{".": "udp://127.0.0.1:1"}'}
        with CideryDaemon(tmp_path / "other", names) as other:
            other.connect(addr)
            assert addr.split("/p2p/")[0] in other.run("swarm", "peers")
            assert "Pong received" in other.run("ping", "-n", "1", one.peer_id)
        with CideryDaemon(tmp_path / "asking", names | {"AutoTLS.SkipDNSLookup": "false"}) as asking:
            with pytest.raises(PeerFailed, match="cannot reach"):
                asking.connect(addr)


def test_the_port_of_the_swarm_is_a_provider_over_https(
    started: Callable[..., Authority], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = started()
    file = write_file(tmp_path / "file.bin", 3 * 1024 * 1024)
    with node(tmp_path / "node", authority.config | {"Gateway.OnSwarmPort": "true"}) as one:
        cid = one.add(file)
        addr = wait_for(lambda: next((found for found in addresses(one) if "/tls/http/" in found), ""), "none is told")
        name, port = addr.split("/")[2], addr.split("/")[4]
        assert addr == f"/dns4/{name}/tcp/{port}/tls/http/p2p/{one.peer_id}"
        # as Kubo fetches: HTTP/2 over TLS
        with LinePeer(go_command("--ca", str(authority.root)), tmp_path / "go.log") as go:
            got = go.ask("http-get", f"/ip4/127.0.0.1/tcp/{port}/tls/http", one.peer_id, cid)
            assert len(base64.b64decode(got["data"])) > 0
            secured = next(found for found in addresses(one) if "/ws/" in found)
            assert go.ask("connect", secured)["muxer"] == "/yamux/1.0.0", "and peers come as before"
        # and as browsers do, by HTTP/1.1
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
        trusting = ssl.create_default_context(cafile=str(authority.root))
        for path, status in ((f"/ipfs/{cid}?format=raw", 200), (f"/ipfs/{cid}?format=car", 200), (f"/ipfs/{cid}", 406)):
            with socket_of(name, int(port), trusting) as stream:
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                assert stream.recv(12) == f"HTTP/1.1 {status}".encode()
        gateways = {"HTTPRetrieval.Gateways": json.dumps([f"https://{name}:{port}"])}
        names = {"AutoTLS.DomainSuffix": json.dumps(DOMAIN), "DNS.Resolvers": '{".": "udp://127.0.0.1:1"}'}
        with CideryDaemon(tmp_path / "other", names | gateways) as other:
            other.get(cid, tmp_path / "got")
            assert digest(tmp_path / "got") == digest(file)
            assert not other.run("swarm", "peers").strip(), "by HTTP alone"


def test_a_certificate_of_ones_own_is_shown_to_who_asks_for_its_name(
    started: Callable[..., Authority], tmp_path: Path
) -> None:
    authority = started()
    (tmp_path / "own").mkdir()
    cert, key = write_certificate(tmp_path / "own")
    listen = [f"/ip4/127.0.0.1/tcp/0{form}" for form in ("", "/tls/ws", f"/tls/sni/*.{DOMAIN}/ws")]
    both = {
        "Addresses.Swarm": json.dumps(listen),
        "Swarm.TLS": json.dumps({"CertFile": str(cert), "KeyFile": str(key)}),
    }
    with node(tmp_path / "node", authority.config | both) as one:
        (addr,) = wait_for(lambda: addresses(one), "no certificate")
        name, port = addr.split("/sni/")[1].split("/")[0], int(addr.split("/")[4])
        trusting = ssl.create_default_context(cafile=str(authority.root))
        with socket_of(name, port, trusting):
            pass
        for other in ("localhost", f"1-2-3-4.k51.{DOMAIN}"):
            with pytest.raises(ssl.SSLCertVerificationError):
                socket_of(other, port, trusting)
        with socket_of("localhost", port, ssl.create_default_context(cafile=str(cert))):
            pass


def socket_of(name: str, port: int, trusting: ssl.SSLContext) -> ssl.SSLSocket:
    return trusting.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=name)


def test_a_certificate_is_renewed_and_connections_go_on(started: Callable[..., Authority], tmp_path: Path) -> None:
    authority = started("--lifetime", str(SHORT_LIFE))
    with node(tmp_path / "node", authority.config) as one:
        (addr,) = wait_for(lambda: addresses(one), "no certificate")
        port = int(addr.split("/")[4])
        first = shown(port).serial_number
        with LinePeer(go_command("--ca", str(authority.root)), tmp_path / "go.log") as go:
            go.ask("connect", addr)
            wait_for(lambda: shown(port).serial_number != first, "it is not renewed")
            assert go.ask("ping", one.peer_id)["ok"]
            assert one.run("swarm", "peers").count("/tls/") == 1, "the connection is the same"
        assert addresses(one) == [addr]
        authority.peer.ask("broker", "unwell")
        wait_for(lambda: not addresses(one), "the address of an expired certificate is still announced")
        said = words(one)
        assert "it is not well: HTTP status 503; it tries again at" in said
        assert "There is no certificate" in said
        with pytest.raises(OSError):
            shown(port)
        wait_for(lambda: "has expired, and its addresses are withdrawn" in one.log.read_text(), "it is not said")
        log = one.log.read_text()
        assert log.count("no certificate for") == 1, "one line, and no attempt before an hour has passed"


def test_what_the_broker_says_is_told(started: Callable[..., Authority], tmp_path: Path) -> None:
    authority = started()
    with node(tmp_path / "node", authority.config, token="another") as one:
        said = wait_for(lambda: words(one) if "failed" in words(one) else "", "it does not fail")
        assert "403 Forbidden: Missing Forge-Authorization header.; it tries again at" in said
        assert not addresses(one)
        (account,) = (one.repo / "autotls").glob("*/account.json")
        assert json.loads(account.read_text())["failures"] == 1
        challenges = authority.seen["challenge"]
        one.close()
        one.start()
        wait_for(lambda: "failed" in words(one) or "There is no certificate" in words(one), "nothing is said")
        assert authority.seen["challenge"] == challenges, "a new start is no way around the wait"
        one.close()
        path = one.repo / "config"
        path.write_text(path.read_text().replace('"another"', json.dumps(TOKEN)))
        one.start()
        wait_for(lambda: addresses(one), "the right token is not tried")


def test_nobody_is_asked_before_the_node_is_known_to_be_public(
    started: Callable[..., Authority], tmp_path: Path
) -> None:
    authority = started()
    config = authority.config | {"AutoTLS.AllowPrivateForgeAddrs": "false"}
    with node(tmp_path / "node", config) as one:
        said = wait_for(lambda: words(one) if "until others" in words(one) else "", "it does not wait")
        assert "No certificate for browsers yet: it waits until others are known to reach this node by TCP." in said
        with pytest.raises(OSError):
            shown(int(one.addr.split("/")[4]))
        assert authority.seen == {}
        assert not (one.repo / "autotls").exists()


def test_it_is_off_in_a_private_network_and_in_the_profile_test(tmp_path: Path) -> None:
    key = "/key/swarm/psk/1.0.0/\n/base16/\n" + os.urandom(32).hex() + "\n"
    for at, config in enumerate(({}, {"AutoTLS.Enabled": "true"})):
        with CideryDaemon(tmp_path / str(at), config, key if config else "") as one:
            assert "/tls/" not in one.run("swarm", "addrs", "local")
            assert "ertificate" not in words(one)
    assert "AutoTLS is off: browsers do not enter a private network" in one.log.read_text()
