"""The broker: it owns the domain, and puts the record of a challenge there for a peer that it could dial.

Spec: https://github.com/libp2p/specs/blob/master/tls/autotls-client.md#sending-challenge-to-autotls-broker
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cidery.autotls.jws import compact
from cidery.autotls.peer_auth import authenticated
from cidery.autotls.steps import (
    NoCertificate,
    Pause,
    Request,
    Steps,
    asked,
    host_in,
    looked_up,
    retry_after,
    said,
)
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr

UNHEALTHY_WAIT = 3600.0
"""Least seconds until a broker that is not well is asked again."""
MAX_ADDRESSES = 32
"""Addresses of this node that the broker may dial."""
FIRST_LOOK, LAST_LOOK, LOOK_SECONDS = 1.0, 60.0, 180.0
"""Seconds before the first look for the record, at most between two, and in all."""


class Broker(NamedTuple):
    """Whom to ask, and as whom."""

    url: str
    """Without a slash at its end."""
    key: PrivateKey
    token: str
    """For a broker that demands one; "": none."""
    entropy: Callable[[int], bytes]


def healthy(broker: Broker) -> Steps[None]:
    """Raises NoCertificate if the broker does not say that it is well, and as asked()."""
    response = yield from asked(Request("GET", f"{broker.url}/v1/health"))
    if response.status != 204:
        wait = max(UNHEALTHY_WAIT, retry_after(response))
        raise NoCertificate(host_in(broker.url), f"it is not well: HTTP status {response.status}", wait)


def registered(broker: Broker, value: str, addresses: Sequence[Multiaddr]) -> Steps[None]:
    """Have the broker dial one of ``addresses`` and publish ``value``. Raises NoCertificate, BadAnswer, as asked()."""
    body = compact({"value": value, "addresses": [str(addr) for addr in addresses[:MAX_ADDRESSES]]})
    headers = [("Content-Type", "application/json")]
    if broker.token:
        headers.append(("Forge-Authorization", broker.token))
    request = Request("POST", f"{broker.url}/v1/_acme-challenge", tuple(headers), body)
    response = yield from authenticated(request, broker.key, broker.entropy)
    if response.status != 200:
        words = said(response.body.decode("utf-8", "replace"))
        raise NoCertificate(host_in(broker.url), words or f"HTTP status {response.status}", retry_after(response))


def published(name: str, value: str) -> Steps[None]:
    """Wait until the TXT record of ``name`` holds ``value``. Raises NoCertificate."""
    waited, pause = 0.0, FIRST_LOOK
    while waited < LOOK_SECONDS:
        pause = min(pause, LOOK_SECONDS - waited)
        yield Pause(pause)
        waited += pause
        if value in (yield from looked_up(name)):
            return
        pause = min(2 * pause, LAST_LOOK)
    raise NoCertificate("DNS", f"the broker's record at {name} is not seen after {LOOK_SECONDS:.0f} s")
