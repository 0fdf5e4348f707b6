"""Errors of looking for a peer or a name on the network."""

from cidery.errors import NotFound, Unavailable
from cidery.identity.peer_id import PeerId


class PeerUnknown(NotFound):
    """A peer that was never seen and is not connected."""

    def __init__(self, peer: PeerId) -> None:
        super().__init__(peer)
        self.peer = peer

    def __str__(self) -> str:
        return f"peer {self.peer} is not connected; connect first with: cidery swarm connect ADDRESS/p2p/{self.peer}"


class NoDns(Unavailable):
    """A name needs a look-up, which this node is configured not to do."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return f"{self.host} cannot be looked up: DNS is switched off here; use an address with /ip4 or /ip6"
