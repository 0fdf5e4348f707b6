"""AutoTLS on a little Internet: asked for where go-libp2p can dial the node, by itself, and nowhere else."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from peers.certificates import write_certificate
from peers.cidery_daemon import CideryDaemon
from peers.installed import acme_command, go_command
from peers.line_peer import LinePeer
from peers.little_internet import Host, LittleInternet

PORT = 4001
DOMAIN = "libp2p.test"
SECONDS = 90.0
"""Until three servers have answered, and the authority; for a busy machine."""
POLL = 0.5


class Place:
    """A host with a node, and with an authority and broker of its own on its loopback."""

    def __init__(self, host: Host, folder: Path, stack: ExitStack) -> None:
        folder.mkdir()
        cert, key = write_certificate(folder)
        command = acme_command("--cert", str(cert), "--key", str(key), "--domain", DOMAIN)
        env = {"PEBBLE_VA_NOSLEEP": "1"}
        self.authority = stack.enter_context(LinePeer([*host.within, *command], folder / "log", env))
        said = self.authority.ready
        config = {
            "Addresses.Swarm": json.dumps([f"/ip4/{host.address}/tcp/{PORT}"]),
            "Routing.Type": '"auto"',
            "AutoTLS.Enabled": "true",
            "AutoTLS.DomainSuffix": json.dumps(DOMAIN),
            "AutoTLS.RegistrationEndpoint": json.dumps(said["broker"]),
            "AutoTLS.CAEndpoint": json.dumps(said["acme"]),
            "AutoTLS.TrustedCARootsPEM": json.dumps(cert.read_text()),
            "DNS.Resolvers": json.dumps({".": f"udp://{said['dns']}"}),
        }
        self.node = stack.enter_context(CideryDaemon(folder / "node", config, within=host.within))

    @property
    def words(self) -> str:
        return self.node.run("swarm", "addrs", "autonat")

    @property
    def seen(self) -> dict[str, Any]:
        """Requests to the broker."""
        found: dict[str, Any] = self.authority.ask("seen")["seen"]
        return found


def wait_for(found: Callable[[], Any], what: Callable[[], str]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, what()
        time.sleep(POLL)
    return value


def test_a_certificate_is_asked_for_where_others_can_dial_the_node(tmp_path: Path) -> None:
    with ExitStack() as stack:
        internet = stack.enter_context(LittleInternet())
        servers = []
        for at in range(3):
            host = internet.host(f"9{at}.{at + 1}.0.1")
            (tmp_path / f"go{at}").mkdir()
            command = go_command("--listen", f"/ip4/{host.address}/tcp/{PORT}")
            servers.append(stack.enter_context(LinePeer([*host.within, *command], tmp_path / f"go{at}" / "log")))
        hidden_host = internet.host("82.2.0.1")
        hidden_host.drop_inbound(PORT)
        public = Place(internet.host("81.1.0.1"), tmp_path / "public", stack)
        hidden = Place(hidden_host, tmp_path / "hidden", stack)
        for place in (public, hidden):
            wait_for(lambda place=place: "until others are known" in place.words, lambda place=place: place.words)
            assert place.seen == {}
            for server in servers:
                place.node.connect(server.addr)

        def named() -> list[str]:
            return [addr for addr in public.node.run("id", "-f", "<addrs>").split() if DOMAIN in addr]

        (addr,) = wait_for(named, lambda: public.words)
        assert addr.startswith("/dns4/81-1-0-1.k51") and f".{DOMAIN}/tcp/{PORT}/tls/ws/p2p/" in addr
        assert "Certificate for *." in public.words
        wait_for(lambda: "unreachable" in hidden.words, lambda: hidden.words)
        assert hidden.seen == {}
        assert "until others are known" in hidden.words
