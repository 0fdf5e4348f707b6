"""How many peers the DHT has, estimated from how near the nearest ones of look-ups lie.

With n peers spread evenly, the i-th nearest to any key lies at i/(n+1) of the key space on average. Each look-up gives
one estimate over its K nearest; the median of the last ones stands against look-ups that saw a crowd of identities
made for one key.

Spec: none; the method of go-libp2p-kad-dht (https://github.com/libp2p/notebook/pull/45)
"""

from collections import deque
from collections.abc import Sequence
from math import exp

from cidery.kad.key import BITS, K

SAMPLES = 64
"""Look-ups remembered."""
LEAST_SAMPLES = 5
"""Look-ups before an estimate is believed."""
SPACE = 1 << BITS


class NetworkSize:
    """A running estimate."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)

    def sample(self, distances: Sequence[int]) -> None:
        """The distances of a finished look-up's K nearest peers, ascending. Fewer than K say nothing but "small"."""
        if not distances:
            return
        if len(distances) < K:
            self._samples.append(float(len(distances)))
            return
        # least squares through the origin of distance over rank: slope = 1 / (n + 1)
        slope = sum(rank * (at / SPACE) for rank, at in enumerate(distances[:K], 1)) / sum(
            r * r for r in range(1, K + 1)
        )
        if slope > 0:
            self._samples.append(1 / slope - 1)

    def estimate(self) -> float | None:
        """Peers in the network, None before LEAST_SAMPLES look-ups."""
        if len(self._samples) < LEAST_SAMPLES:
            return None
        ordered, half = sorted(self._samples), len(self._samples) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def radius(self, peers: float = K) -> int:
        """Distance within which ``peers`` peers are expected round any key; 0 before there is an estimate."""
        size = self.estimate()
        return 0 if size is None or size <= peers else int(peers / size * SPACE)


def among_nearest(expected: float, count: int = K) -> float:
    """The chance to be among the ``count`` nearest when ``expected`` others lie nearer on average (Poisson)."""
    term = total = exp(-expected)
    for i in range(1, count):
        term *= expected / i
        total += term
    return min(1.0, total)
