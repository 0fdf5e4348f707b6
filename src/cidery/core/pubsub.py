"""Pubsub in the Api: off unless the config says otherwise."""

from __future__ import annotations

from typing import NamedTuple

from cidery.errors import Unavailable
from cidery.namesys.over_pubsub import PubsubNames
from cidery.pubsub.service import PubsubService


class PubsubOff(Unavailable):
    """The config has pubsub off."""

    def __str__(self) -> str:
        return (
            "pubsub is off: set Pubsub.Enabled to true and restart the daemon, or start it with"
            " --enable-pubsub-experiment"
        )


class NamesNotByPubsub(Unavailable):
    """The config has IPNS over pubsub off."""

    def __str__(self) -> str:
        return (
            "IPNS over pubsub is off: set Ipns.UsePubsub to true and restart the daemon, or start it with"
            " --enable-namesys-pubsub"
        )


class NodePubsub(NamedTuple):
    """What a node has of it."""

    service: PubsubService
    names: PubsubNames | None
    """None: IPNS does not go over pubsub."""
