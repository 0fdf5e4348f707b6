"""What `why` says of the ports that a router would have to pass on."""

import pytest

from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.diagnosis import ports_of


@pytest.mark.parametrize(
    "listened, told",
    [
        (["/ip4/192.168.1.2/tcp/4001"], ("TCP port 4001",)),
        (["/ip4/192.168.1.2/tcp/4003/ws"], ("TCP port 4003",)),
        (["/ip4/192.168.1.2/udp/4001/quic-v1"], ("UDP port 4001",)),
        (
            ["/ip4/0.0.0.0/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/4001/ws"],
            ("TCP port 4001", "UDP port 4001"),
        ),
        (["/ip4/127.0.0.1/tcp/4001/ws", "/ip6/::1/udp/4001/quic-v1"], ()),
    ],
)
def test_the_ports_to_pass_on_are_named_whatever_is_spoken_on_them(listened: list[str], told: tuple[str, ...]) -> None:
    assert ports_of([Multiaddr.parse(one) for one in listened]) == told
