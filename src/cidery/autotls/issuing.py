"""The way to a certificate as a whole: authority, broker, DNS, authority."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cidery.autotls.acme import Acme
from cidery.autotls.broker import Broker, healthy, published, registered
from cidery.autotls.certificate import Certified, certified, request_for
from cidery.autotls.jws import BadPem, new_key
from cidery.autotls.names import ForgeNames
from cidery.autotls.steps import BadAnswer, Steps
from cidery.multiformats.multiaddr import Multiaddr

VALID = "valid"


class Issuing(NamedTuple):
    """Who is asked for what."""

    acme: Acme
    broker: Broker
    names: ForgeNames
    addresses: Callable[[], Sequence[Multiaddr]]
    """At which the broker may dial this node."""
    entropy: Callable[[int], bytes]


def issued(issuing: Issuing) -> Steps[Certified]:
    """A new certificate under a new key. Raises NoCertificate, BadAnswer, and what asked() raises."""
    acme, names = issuing.acme, issuing.names
    # first, since all that the authority does is in vain without the broker
    yield from healthy(issuing.broker)
    order = yield from acme.order(names.wildcard)
    for url in order.authorizations:
        challenge = yield from acme.challenge(url)
        if challenge.status == VALID:
            continue  # from an earlier order
        value = acme.key.dns_value(challenge.token)
        yield from registered(issuing.broker, value, issuing.addresses())
        yield from published(names.challenge, value)
        yield from acme.ready(challenge)
    key = new_key(issuing.entropy)
    chain = yield from acme.certificate(order, request_for(names.wildcard, key))
    try:
        return certified(chain, key, names.wildcard)
    except BadPem as exc:
        raise BadAnswer(acme.who, f"what cannot be used: {exc.reason}") from exc
