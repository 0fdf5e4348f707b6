"""Whose turn it is to be sent blocks, and how many peers at a time. Pure.

A line that is shared by all who ask at once brings every block late, and nobody has one to pass on until all have it.
So few peers are served at a time, as many as it takes to fill the line, and each message is a turn. Turns are fair by
weighted bytes (weighted fair queueing, after Demers, Keshav and Shenker 1989): who gives blocks is sent more, a
newcomer comes first, nobody starves. Of two blocks the one that was sent to fewer peers goes first, because the others
can have the more frequent one from each other (the super-seeding of BEP 16, without its rules about announcements).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from math import exp2

MOST_WEIGHT = 5.0
"""Share of a peer that gives as much as it takes, beside one that gives nothing."""
HALF_LIFE = 20.0
"""Seconds after which what passed counts for half."""
NEWCOMER = 256 * 1024
"""Bytes that count as taken in addition, so that small sums mean little."""
REMEMBERED = 16 * 1024
"""Blocks whose number of takers is known; the one sent least recently is forgotten."""
MAX_SKIPS = 2
"""Turns in a row in which the peer that is due lets others pass, whose blocks were sent to fewer."""
LOOKED_AT = 64
"""Peers in line, and blocks of each, that one choice looks at."""

LEAST_SLOTS = 1
"""Peers served at a time at least, and at first: of a slow line each block is as early as it can be."""
MOST_SLOTS = 64
GAIN = 0.5
"""More slots are kept if they carry at least this share of what they would if the line were not full..."""
LOSS = 0.95
"""... and fewer are, if they carry at least this share of what more did."""
SLOW_TURN = 0.5
"""Seconds of a turn from which on one slot is tried at a time, else twice as many: a try takes long."""
LEAST_PERIOD = 0.5
"""Seconds of one measurement, at least; and two messages per slot."""
FIRST_PAUSE = 5.0
"""Seconds until the number of slots is tried anew after a try in vain; doubles each time."""
MAX_PAUSE = 60.0

SMALL = 16 * 1024
"""Bytes of a block that goes out of turn: roots, by which readers begin, and are known to be no liars..."""
SMALL_FREE = 64 * 1024
"""... so many bytes whatever is sent in turns..."""
SMALL_SHARE = 1 / 32
"""... and this share of that."""

STUCK = 3.0
"""Seconds without a byte that leaves, after which a turn no longer counts: the peer, or the way to it, takes none."""
UNREAD = 0.5
"""The same while the peer has used up its window and gives no more, or while another turn is stuck already."""
KEEPERS = 1
"""Blocks that a peer was the first to be sent of which none was had from it by others, from which on it comes last."""
KEEPER_WEIGHT = 0.2
"""Share of such a peer."""
TURN_SECONDS = 0.25
"""A message holds what goes to the peer in this time..."""
FIRST_TURN = 256 * 1024
"""... this many bytes if that is not known yet."""
FAST = 1024 * 1024
"""Bytes in a turn from which on a line counts as fast."""


class _Taker:
    """What passed between us and one peer, lately."""

    __slots__ = ("at", "due", "firsts", "given", "rate", "skipped", "spread", "taken")

    def __init__(self, now: float, due: float) -> None:
        self.due = due
        """Its virtual time: the least is next."""
        self.given = self.taken = 0.0
        """Bytes from it and to it, fading."""
        self.at = now
        self.rate = 0.0
        """Bytes per second of its last messages; 0.0: not known yet."""
        self.skipped = 0
        self.firsts = self.spread = 0
        """Blocks that it was the first to be sent, and wants for such that others withdrew: they had them elsewhere."""

    def fade(self, now: float) -> None:
        kept = exp2((self.at - now) / HALF_LIFE)
        self.given *= kept
        self.taken *= kept
        self.at = now

    @property
    def weight(self) -> float:
        if self.firsts >= KEEPERS and not self.spread and not self.given:
            return KEEPER_WEIGHT
        return 1 + (MOST_WEIGHT - 1) * min(1.0, self.given / (self.taken + NEWCOMER))


class _Turn:
    """A peer is being sent a message."""

    __slots__ = ("began", "blocked", "left", "moved_at")

    def __init__(self, now: float) -> None:
        self.began = self.moved_at = now
        self.left = -1
        self.blocked = False


class Turns:
    """One per node. Peers are any hashable text; times are seconds of any one clock."""

    def __init__(self, now: float) -> None:
        self.slots = LEAST_SLOTS
        self._takers: dict[str, _Taker] = {}
        self._serving: dict[str, _Turn] = {}
        self._clock = 0.0
        self._sent_to: OrderedDict[bytes, int] = OrderedDict()
        self._first_taker: OrderedDict[bytes, str] = OrderedDict()
        self._small = float(SMALL_FREE)
        """Bytes that may still go out of turn."""
        self._period_at = now
        self._period_bytes = self._period_messages = 0
        self._before: tuple[int, float] | None = None
        """(slots, bytes per second) before the current try of another number."""
        self._up = True
        self._try_at = now
        self._pause = FIRST_PAUSE

    def add(self, peer: str, now: float) -> None:
        self._takers.setdefault(peer, _Taker(now, self._clock))

    def remove(self, peer: str) -> None:
        self._takers.pop(peer, None)
        self._serving.pop(peer, None)

    def serves(self, peer: str) -> bool:
        """Whether it is the peer's turn."""
        return peer in self._serving

    def full(self, now: float) -> bool:
        """Whether no further turn may begin now. O(turns)."""
        if len(self._serving) < self.slots:
            return False
        turns = self._serving.values()
        patience = UNREAD if any(now - turn.moved_at >= STUCK for turn in turns) else STUCK
        moving = (now - turn.moved_at < (UNREAD if turn.blocked else patience) for turn in turns)
        return sum(moving) >= self.slots

    def served(self) -> list[str]:
        """The peers whose turn it is."""
        return list(self._serving)

    def progress(self, peer: str, left: int, now: float, *, blocked: bool) -> None:
        """Bytes that have not left yet in its turn; ``blocked``: because the peer's window is used up."""
        turn = self._serving.get(peer)
        if turn is not None and left != turn.left:
            turn.left, turn.moved_at = left, now
        if turn is not None:
            turn.blocked = blocked

    def received(self, peer: str, size: int, now: float) -> None:
        taker = self._takers.get(peer)
        if taker is not None:
            taker.fade(now)
            taker.given += size

    def sent_to(self, multihash: bytes) -> int:
        """Peers that a block was sent to lately."""
        return self._sent_to.get(multihash, 0)

    def sends(self, multihash: bytes, by: int = 1) -> None:
        """A block is about to be sent; ``by`` -1: it was not."""
        self._sent_to[multihash] = max(0, self._sent_to.get(multihash, 0) + by)
        self._sent_to.move_to_end(multihash)
        if len(self._sent_to) > REMEMBERED:
            self._sent_to.popitem(last=False)

    def first(self, multihash: bytes, peer: str) -> None:
        """A block that others want, too, goes to a peer as the first."""
        taker = self._takers.get(peer)
        if taker is not None:
            taker.firsts += 1
            self._first_taker[multihash] = peer
            if len(self._first_taker) > REMEMBERED:
                self._first_taker.popitem(last=False)

    def had_elsewhere(self, multihash: bytes, peer: str) -> None:
        """A peer withdrew its want for a block that it was not sent: whoever was sent it first passes blocks on."""
        first = self._first_taker.get(multihash)
        if first is not None and first != peer and (taker := self._takers.get(first)) is not None:
            taker.spread += 1

    def passes(self, size: int) -> bool:
        """Whether a small block may go out of turn now; if so, it counts as sent."""
        if size > self._small:
            return False
        self._small -= size
        return True

    def limit(self, peer: str) -> int:
        """Bytes of a message to it."""
        taker = self._takers.get(peer)
        return int(taker.rate * TURN_SECONDS) if taker is not None and taker.rate else FIRST_TURN

    def slow(self, peer: str) -> bool:
        """Whether what is sent to it takes long to leave: then a turn is over only when it has left."""
        return self.limit(peer) < FAST

    def begin(self, waiting: Mapping[str, Iterable[bytes]], now: float) -> str | None:
        """Give a turn to one of the ``waiting``, peer -> multihashes of blocks to send to it. None: no slot is free.

        Cost: LOOKED_AT peers times LOOKED_AT blocks, when more wait than can be served.
        """
        if not waiting or self.full(now):
            return None
        for peer in waiting:
            taker = self._takers[peer]
            taker.due = max(taker.due, self._clock)
        if len(waiting) == 1:
            (chosen,) = waiting
            self._clock = self._takers[chosen].due  # or one that comes now would be owed all that this one had alone
        else:
            line = sorted(waiting, key=lambda peer: self._takers[peer].due)[:LOOKED_AT]
            chosen = first = line[0]
            if self._takers[first].skipped < MAX_SKIPS:
                chosen = min(line, key=lambda peer: self._least(waiting[peer]))  # the first of equals
            self._takers[first].skipped += 1
            self._clock = self._takers[first].due
        self._takers[chosen].skipped = 0
        self._serving[chosen] = _Turn(now)
        return chosen

    def end(self, peer: str, size: int, now: float, *, others_wait: bool) -> None:
        """Its turn is over, ``size`` bytes of blocks went out."""
        turn = self._serving.pop(peer, None)
        taker = self._takers.get(peer)
        if taker is None or turn is None or not size:
            return
        taker.fade(now)
        self._small = min(float(SMALL_FREE), self._small + SMALL_SHARE * size)
        taker.taken += size
        taker.due += size / taker.weight
        if now > turn.began:
            sample = size / (now - turn.began)
            taker.rate = sample if not taker.rate else taker.rate + (sample - taker.rate) / 2
        self._measure(size, now, others_wait)

    # --- inside

    def _least(self, multihashes: Iterable[bytes]) -> int:
        return min(map(self.sent_to, multihashes), default=0)

    def _measure(self, size: int, now: float, others_wait: bool) -> None:
        """Climb to the fewest slots that carry the most. Only while all are taken: else nothing can be told."""
        if not others_wait:
            self._period_at, self._period_bytes, self._period_messages = now, 0, 0
            return
        self._period_bytes += size
        self._period_messages += 1
        took = now - self._period_at
        if took < LEAST_PERIOD or self._period_messages < 2 * self.slots:
            return
        rate, messages = self._period_bytes / took, self._period_messages
        self._period_at, self._period_bytes, self._period_messages = now, 0, 0
        if self._before is not None:
            slots, rate_before = self._before
            gain = 1 + GAIN * (self.slots / slots - 1)
            better = rate >= rate_before * (gain if self.slots > slots else LOSS)
            if not better:
                self.slots, self._up = slots, not self._up
                self._try_at = now + self._pause
                self._pause = min(MAX_PAUSE, 2 * self._pause)
                self._before = None
                return
            self._pause = FIRST_PAUSE
        self._before = None
        if now >= self._try_at:
            slow = took * self.slots > SLOW_TURN * messages
            step = 1 if slow else self.slots if self._up else self.slots // 2
            wanted = self.slots + (step if self._up else -step)
            wanted = min(MOST_SLOTS, max(LEAST_SLOTS, wanted))
            if wanted == self.slots:
                self._up = not self._up
            else:
                self._before, self.slots = (self.slots, rate), wanted
