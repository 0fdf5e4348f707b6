"""What a node believes of its own addresses: where others see it, and whether it can be dialled there. Pure.

Any single peer may lie about both, and an attacker has many peers but few networks. So an observed address counts
when peers of several address groups saw it, and an address is reachable or not when several servers say so. Until
then nothing is known, and a node of which nothing is known behaves as one that cannot be reached.

As many servers are asked at once as a verdict needs, so that it takes as long as the slowest of them.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
"""Seconds until an address whose state is known is asked about again, and until the same server is asked again about
one whose state is not; the latter doubles with each question, up to the former."""
MAX_OPEN, MAX_OPEN_PER_SERVER = 12, 2
"""Questions that may be under way, in all (four addresses) and at one server."""
MAX_A_MINUTE = 3
"""Questions to one server a minute: more than that Kubo and this node refuse."""
MAX_SERVERS = 64
"""Servers per address of which it is remembered when they were asked."""


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


@dataclass(frozen=True, slots=True)
class Question:
    """Whether an address of ours can be dialled, to a server of an address group."""

    addr: bytes
    server: bytes


@dataclass(slots=True)
class _Asked:
    """About one address."""

    last: float = float("-inf")
    open: set[bytes] = field(default_factory=set)
    """Servers that have not answered yet."""
    servers: OrderedDict[bytes, tuple[float, int]] = field(default_factory=OrderedDict)
    """When each was asked last, and how often."""

    def may_ask(self, server: bytes, now: float) -> bool:
        at, times = self.servers.get(server, (0.0, 0))
        pause = min(RECHECK_KNOWN, RECHECK_UNKNOWN * 2.0 ** min(times - 1, 10))
        return server not in self.open and (times == 0 or now - at >= pause)

    def ask(self, server: bytes, now: float) -> None:
        self.last = now
        self.open.add(server)
        self.servers[server] = (now, self.servers.pop(server, (0.0, 0))[1] + 1)
        if len(self.servers) > MAX_SERVERS:
            self.servers.popitem(last=False)


class Reachability:
    """The verdicts of servers, per address."""

    def __init__(self) -> None:
        self._answers: dict[bytes, deque[tuple[bytes, bool]]] = {}
        self._asked: dict[bytes, _Asked] = {}
        self._lately: dict[bytes, deque[float]] = {}
        """When each server was asked in the last minute, about whichever address."""

    def keep_only(self, addrs: list[bytes]) -> None:
        """Forget addresses that are ours no more."""
        for addr in [addr for addr in (*self._answers, *self._asked) if addr not in addrs]:
            self._answers.pop(addr, None)
            self._asked.pop(addr, None)

    def questions(self, addrs: Iterable[bytes], servers: Sequence[bytes], now: float) -> list[Question]:
        """What to ask now, addresses never asked about first. Each is open until answered() or unanswered().

        ``servers``: the address groups in which there are servers, those to prefer first.
        """
        self._forget_old(now)
        out: list[Question] = []
        for addr in sorted(addrs, key=lambda addr: self._about(addr).last):
            heard = {server for server, _ in self._answers.get(addr, ())}
            for server in sorted(servers, key=lambda server: server in heard):
                if self._wanted(addr, now) <= 0 or sum(len(one.open) for one in self._asked.values()) >= MAX_OPEN:
                    break
                if self._about(addr).may_ask(server, now) and self._has_room(server):
                    self._about(addr).ask(server, now)
                    self._lately.setdefault(server, deque()).append(now)
                    out.append(Question(addr, server))
        return out

    def _about(self, addr: bytes) -> _Asked:
        return self._asked.setdefault(addr, _Asked())

    def _wanted(self, addr: bytes, now: float) -> int:
        """How many more servers to ask about an address."""
        asked = self._about(addr)
        if self.state(addr) is State.UNKNOWN:
            return VERDICT_FROM - max(self._votes(addr)) - len(asked.open)
        # whoever says something new is soon checked by others
        pause = RECHECK_UNKNOWN if self._is_contradicted(addr) else RECHECK_KNOWN
        return int(not asked.open and now - asked.last >= pause)

    def _is_contradicted(self, addr: bytes) -> bool:
        """Whether the latest server does not agree with the verdict."""
        return self._answers[addr][-1][1] is not (self.state(addr) is State.REACHABLE)

    def _has_room(self, server: bytes) -> bool:
        open_ = sum(server in asked.open for asked in self._asked.values())
        return open_ < MAX_OPEN_PER_SERVER and len(self._lately.get(server, ())) < MAX_A_MINUTE

    def _forget_old(self, now: float) -> None:
        for server, times in list(self._lately.items()):
            while times and now - times[0] >= 60.0:
                times.popleft()
            if not times:
                del self._lately[server]

    def answered(self, addr: bytes, server: bytes, reachable: bool) -> None:
        """A server's verdict; a newer one of the same server replaces its older one."""
        self.unanswered(addr, server)
        answers = self._answers.setdefault(addr, deque(maxlen=REMEMBERED))
        for old in [one for one in answers if one[0] == server]:
            answers.remove(old)
        answers.append((server, reachable))

    def unanswered(self, addr: bytes, server: bytes) -> None:
        """A server gave no verdict: others are asked."""
        if addr in self._asked:
            self._asked[addr].open.discard(server)

    def _votes(self, addr: bytes) -> tuple[int, int]:
        """How many servers reached an address, and how many did not."""
        answers = self._answers.get(addr, ())
        good = sum(reachable for _, reachable in answers)
        return good, len(answers) - good

    def state(self, addr: bytes) -> State:
        good, bad = self._votes(addr)
        if good >= VERDICT_FROM:
            return State.REACHABLE
        return State.UNREACHABLE if bad >= VERDICT_FROM else State.UNKNOWN

    def states(self) -> dict[bytes, State]:
        return {addr: self.state(addr) for addr in self._answers}
