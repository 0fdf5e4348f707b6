"""AutoTLS in a node: which addresses it adds, when its service begins, and what it tells others.

The service and what it imports come after the start, when the node answers already.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cidery.autotls.names import ForgeNames
from cidery.autotls.schedule import waited_for
from cidery.core.network import CertificateState
from cidery.http.tls import Certificate
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.dnsaddr import TxtResolver
from cidery.libp2p.protocols.addresses import Scope, host_of, scope_of
from cidery.libp2p.protocols.reachability import State
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config import Config
from cidery.repo.config_autotls import AutoTlsConfig
from cidery.tasks import in_thread, logged

if TYPE_CHECKING:
    from cidery.autotls.service import AutoTls
    from cidery.node.network import NodeNetwork

log = logging.getLogger("cidery.autotls")

START_AFTER = 1.0
"""Seconds after the start of the network until a certificate is looked for, even one that is kept."""
LOOK_EVERY = 5.0
"""Seconds between two looks whether one is to be asked for."""


class NodeAutoTls:
    """One per node, made before it listens."""

    def __init__(
        self,
        config: AutoTlsConfig,
        names: ForgeNames,
        listens: Sequence[Multiaddr],
        folder: Path,
        dns: TxtResolver,
        agent: str,
        *,
        https: bool,
    ) -> None:
        """``listens``: the addresses to listen on beside the configured ones. ``https``: whether HTTP is answered."""
        self._https = https
        self._listens = tuple(listens)
        self._config = config
        self._names = names
        self._folder = folder
        self._dns = dns
        self._agent = agent
        self._service: AutoTls | None = None
        self._waits = "for the start of the node"

    def joins(self, network: NodeNetwork) -> tuple[Multiaddr, ...]:
        """Become a part of a network that is about to start; the addresses that it has to listen on, too."""
        network.certificate, network.identification.named = self.state, self.named
        network.spawn(logged(self._run(network), log, logging.WARNING))
        return self._listens

    def context(self) -> ssl.SSLContext | None:
        """For a listener; None while there is no certificate."""
        return None if self._service is None else self._service.context

    def covers(self, name: str) -> bool:
        """Whether the certificate is for a host name."""
        return name.endswith(f".{self._names.domain}")

    def named(self, addr: Multiaddr) -> list[Multiaddr]:
        """See Identification.named."""
        if not self._names.is_listening(addr):
            return [addr]
        if self._service is None or not self._service.valid:
            return []
        if not self._config.unproven and scope_of(addr.encode()) is not Scope.PUBLIC:
            return []  # a name that leads into somebody's own network
        socket = self._names.announced(addr, short=self._config.short)
        http = self._names.over_http(addr) if self._https else None
        return [one for one in (socket, http) if one is not None]

    def state(self) -> CertificateState:
        """How it stands."""
        service = self._service
        if service is None:
            return CertificateState(self._names.wildcard, waits=self._waits)
        certificate = service.certificate if service.valid else None
        return CertificateState(
            self._names.wildcard,
            0.0 if certificate is None else certificate.ends,
            0.0 if certificate is None else service.renewal,
            service.waits,
            service.asking,
            service.failure,
            service.next_try,
        )

    async def _run(self, network: NodeNetwork) -> None:
        clock, config = time.monotonic, self._config
        not_before = clock() + config.delay

        def public() -> bool:
            return config.unproven or _is_public(network)

        await asyncio.sleep(START_AFTER)
        while not await in_thread(self._folder.is_dir):  # nothing is kept, so nothing is needed yet
            self._waits = waited_for(public=public(), left=not_before - clock())
            if not self._waits:
                break
            await asyncio.sleep(LOOK_EVERY)
        await in_thread(_import_service)
        self._service = self._made(network, public, not_before)
        await self._service.run()

    def _made(self, network: NodeNetwork, public: Callable[[], bool], not_before: float) -> AutoTls:
        from cidery.autotls.io.driver import driving
        from cidery.autotls.service import Around, AutoTls, Whom
        from cidery.repo.autotls_files import AutoTlsFiles

        async def texts(name: str) -> tuple[str, ...]:
            return (await self._dns.txt(name)).texts

        config, identification = self._config, network.identification
        whom = Whom(config.authority, config.broker, config.token)
        around = Around(
            public=public,
            addresses=lambda: [
                addr
                for addr in identification.unnamed_addrs()
                if host_of(addr.encode()) is not None and (config.unproven or scope_of(addr.encode()) is Scope.PUBLIC)
            ],
            driving=partial(driving, self._agent, config.roots, texts, time.time),
            changed=identification.push,
            entropy=network.entropy,
        )
        files = AutoTlsFiles(self._folder, config.authority)
        made = AutoTls(self._names, network.swarm.identity, whom, files, around, not_before=not_before)
        made.alpn = alpn_of(https=self._https)
        return made


def _import_service() -> None:
    """A quarter of a second, most of it for HTTP."""
    import cidery.autotls.io.driver
    import cidery.autotls.service  # noqa: F401


def alpn_of(*, https: bool) -> list[str]:
    """What is offered under TLS on the port of the swarm."""
    return ["h2", "http/1.1"] if https else ["http/1.1"]


def _is_public(network: NodeNetwork) -> bool:
    """Whether others are known to reach this node by TCP."""
    return any(
        state is State.REACHABLE and (addr.tcp_endpoint() or addr.ws_endpoint()) is not None
        for addr, state in network.autonat.states().items()
    )


def autotls_of(
    config: Config, key: PrivateKey, folder: Path, dns: TxtResolver, agent: str, *, private: bool
) -> NodeAutoTls | None:
    """As configured; None: off. ``folder``: what it keeps. ``private``: whether the node is of a private network."""
    wanted = config.autotls
    names = ForgeNames(key.peer_id, wanted.suffix)
    off = _why_off(config, names, private=private)
    if off is None:
        by_name = [addr for addr in config.swarm if addr.ws_endpoint() is not None]
        plain = [] if by_name else [addr for addr in config.swarm if addr.tcp_endpoint() is not None]
        listens = list(map(names.listening, plain))
        return NodeAutoTls(wanted, names, listens, folder, dns, agent, https=config.serving.on_swarm_port)
    if off and wanted.enabled:
        log.warning("AutoTLS is off: %s", off)
    return None


def _why_off(config: Config, names: ForgeNames, *, private: bool) -> str | None:
    """What is in its way; "": it is switched off. None: nothing."""
    wanted = config.autotls
    if wanted.enabled is False:
        return ""
    if private:
        return "browsers do not enter a private network"
    if config.local_only:
        return "this node keeps to its local networks"
    if not config.transports.websocket:
        return "Swarm.Transports.Network.Websocket is false"
    if config.names.resolvers is not None and not config.names.resolvers:
        return "DNS.Resolvers is {}, and the record of the broker has to be seen"
    sockets = [addr.ws_endpoint() for addr in config.swarm]
    if any(map(names.is_listening, config.swarm)):
        return None
    if any(found is not None for found in sockets):
        return f"Addresses.Swarm has WebSocket addresses; add one that ends with /tls/sni/*.{names.suffix}/ws"
    if not wanted.every_port:
        return f"AutoTLS.AutoWSS is false; add an address that ends with /tls/sni/*.{names.suffix}/ws"
    if not any(addr.tcp_endpoint() for addr in config.swarm):
        return "Addresses.Swarm has no TCP address"
    return None


def https_unserved(config: Config, autotls: NodeAutoTls | None) -> str:
    """Why Gateway.OnSwarmPort has no effect; "" if it has, or is not wanted."""
    if not config.serving.on_swarm_port or autotls is not None:
        return ""
    if any(found.secure for addr in config.swarm if (found := addr.ws_endpoint()) is not None):
        return ""
    return "no address of Addresses.Swarm ends in /tls/ws, and AutoTLS is off"


def listener_tls(
    certificate: Certificate | None, autotls: NodeAutoTls | None
) -> Callable[[], ssl.SSLContext | None] | None:
    """What /tls/ws is served with: Swarm.TLS, AutoTLS, or either by the name that is asked for. None: nothing."""
    if certificate is None:
        return None if autotls is None else autotls.context
    if autotls is None:
        return lambda: certificate.context
    either = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        found = autotls.context() if name is not None and autotls.covers(name) else None
        connection.context = found or certificate.current

    either.sni_callback = choose
    return lambda: either
