"""What a node believes of its own addresses: where others see it, and whether it can be dialled there. Pure.

Any single peer may lie about both, and an attacker has many peers but few networks. So an observed address counts
when peers of several address groups saw it, and an address is reachable or not when several servers say so. Until
then nothing is known, and a node of which nothing is known behaves as one that cannot be reached.
"""

from collections import OrderedDict, deque
from enum import Enum

BELIEVED_FROM = 4
"""Address groups whose peers must have seen an address."""
MAX_OBSERVED = 64
"""Observed addresses that are counted; the one seen longest ago makes room."""
OBSERVED_FOR = 40 * 60.0
"""Seconds that an observation counts."""
VERDICT_FROM = 3
"""Servers that must agree before an address is called reachable or unreachable."""
REMEMBERED = 5
"""Latest answers per address: a change of the network shows after a few."""
RECHECK_KNOWN, RECHECK_UNKNOWN = 15 * 60.0, 20.0
"""Seconds between two questions about an address whose state is known, and not yet known."""


class State(Enum):
    """What is known of an address."""

    UNKNOWN = "unknown"
    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"


class Observed:
    """Where others see this node."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, dict[bytes, float]] = OrderedDict()

    def saw(self, host: bytes, by_group: bytes, now: float) -> None:
        """A peer of an address group sees us at ``host`` (an IP address, packed)."""
        self._seen.setdefault(host, {})[by_group] = now
        self._seen.move_to_end(host)
        if len(self._seen) > MAX_OBSERVED:
            self._seen.popitem(last=False)

    def believed(self, now: float) -> list[bytes]:
        """Hosts that enough groups have seen lately."""
        out = []
        for host, groups in self._seen.items():
            if sum(now - at < OBSERVED_FOR for at in groups.values()) >= BELIEVED_FROM:
                out.append(host)
        return out


class Reachability:
    """The verdicts of servers, per address."""

    def __init__(self) -> None:
        self._answers: dict[bytes, deque[tuple[bytes, bool]]] = {}
        self._asked_at: dict[bytes, float] = {}

    def keep_only(self, addrs: list[bytes]) -> None:
        """Forget addresses that are ours no more."""
        for addr in [addr for addr in self._answers if addr not in addrs]:
            del self._answers[addr]
            self._asked_at.pop(addr, None)

    def due(self, addrs: list[bytes], now: float) -> list[bytes]:
        """Addresses to ask about now, those never asked about first."""
        out = [addr for addr in addrs if now - self._asked_at.get(addr, float("-inf")) >= self._pause(addr)]
        return sorted(out, key=lambda addr: self._asked_at.get(addr, float("-inf")))

    def _pause(self, addr: bytes) -> float:
        return RECHECK_UNKNOWN if self.state(addr) is State.UNKNOWN else RECHECK_KNOWN

    def asked(self, addr: bytes, now: float) -> None:
        self._asked_at[addr] = now

    def answered(self, addr: bytes, server: bytes, reachable: bool) -> None:
        """A server's verdict; a newer one of the same server replaces its older one."""
        answers = self._answers.setdefault(addr, deque(maxlen=REMEMBERED))
        for old in [one for one in answers if one[0] == server]:
            answers.remove(old)
        answers.append((server, reachable))

    def fresh_servers(self, addr: bytes) -> set[bytes]:
        """Servers whose verdict is remembered: others are asked first."""
        return {server for server, _ in self._answers.get(addr, ())}

    def state(self, addr: bytes) -> State:
        answers = self._answers.get(addr, ())
        good = sum(reachable for _, reachable in answers)
        if good >= VERDICT_FROM:
            return State.REACHABLE
        return State.UNREACHABLE if len(answers) - good >= VERDICT_FROM else State.UNKNOWN

    def states(self) -> dict[bytes, State]:
        return {addr: self.state(addr) for addr in self._answers}
