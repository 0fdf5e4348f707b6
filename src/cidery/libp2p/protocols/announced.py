"""Which of its addresses a node tells others: ``Addresses.Announce``, ``AppendAnnounce`` and ``NoAnnounce``.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#addressesannounce
"""

from collections.abc import Callable, Iterable, Sequence

from cidery.libp2p.protocols.addresses import host_of
from cidery.multiformats.address_filter import BadFilter, parse_net
from cidery.multiformats.multiaddr import Multiaddr


class Announced:
    """Decides for a list of addresses. O(addresses x nets)."""

    def __init__(
        self, only: Sequence[Multiaddr] = (), also: Sequence[Multiaddr] = (), never: Sequence[str] = ()
    ) -> None:
        """``only``: these in place of the node's own; ``also``: these too; ``never``: nets, or addresses as they are.

        Raises MultiaddrError, for what is neither.
        """
        self._only = list(only)
        self._also = list(also)
        self._nets = []
        self._never: set[bytes] = set()
        for text in never:
            try:
                self._nets.append(parse_net(text))
            except BadFilter:
                self._never.add(Multiaddr.parse(text).without_peer().encode())

    def of(
        self, own: Iterable[Multiaddr], named: Callable[[Multiaddr], Sequence[Multiaddr]] = lambda addr: (addr,)
    ) -> list[Multiaddr]:
        """What is told, without /p2p at the end, each once.

        ``named``: the addresses with the name of its host, where that has one; none: it is not told. Nets are looked
        at before, so that no name hides the address that is kept back.
        """
        told = dict.fromkeys(addr.without_peer() for addr in (*(self._only or own), *self._also))
        kept = [addr for addr in told if addr.components and not self._is_kept_back(addr.encode())]
        final = dict.fromkeys(one for addr in kept for one in named(addr))
        return [addr for addr in final if addr.encode() not in self._never]

    def _is_kept_back(self, addr: bytes) -> bool:
        host = host_of(addr)
        return addr in self._never or any(
            host is not None and host.version == net.version and host in net for net in self._nets
        )
