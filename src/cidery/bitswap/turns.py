"""Whose turn it is to be sent blocks, and how many peers at a time. Pure.

A line that is shared by all who ask at once brings every block late, and nobody has one to pass on until all have it.
So few peers are served at a time, as many as it takes to fill the line, and each message is a turn.

Most turns go to givers: peers that a block came from, that offer one, or that pass on what they are sent. The last is
seen when a block was sent to one peer only, and another withdraws its want for it. One turn in EVERYBODY goes to the
peer that has waited for the most turns, so nobody starves. Among givers, and among the others, turns are fair by
weighted bytes (weighted fair queueing, after Demers, Keshav and Shenker 1989), and a newcomer comes first. Of two
blocks the one that was sent to fewer peers goes first, because the others can have the more frequent one from each
other (BEP 16's super-seeding); one sent only to a peer that keeps it counts as not sent. Before all that, peers to
which fewer others are sending come first, as they say: two who send to the same one are both slow.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from math import exp2
from random import Random

from cidery.bitswap.slots import Slots
from cidery.budgets import BITSWAP_UNREAD

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

FEW_SLOTS = 6
"""With so many and more a turn of somebody else takes little of the line from givers: for these one slot is kept, not
all of them, and peers that were not seen to give are offered blocks, too, while several are free."""
STRANGER = 1000
"""Others that are sending to it, as which it counts that a peer was not seen to give, when blocks are offered."""

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
MAX_UNREAD = BITSWAP_UNREAD.amount
REST = 2.0
"""Seconds in which a peer has no turn after a message that it did not read was taken back; doubles each time..."""
MAX_REST = 120.0
"""... up to this; as at first again when it has read one."""
TRIAL_WEIGHT = 1 / 16
"""Share of a peer that was the first to be sent a block and has not been seen to pass it on, beside a newcomer."""
TRIAL = 4
"""Blocks that others are the first to be sent until it counts as one that keeps it: the block must be sent again."""
GIVER_SECONDS = 60.0
"""Seconds for which a peer counts as a giver after it was seen to give..."""
MAX_UNSEEN = 16
"""... and blocks that it may be the first to be sent meanwhile."""
EVERYBODY = 8
"""One turn of so many goes to the peer that has waited for the most turns, whatever it gives."""
LEAST_HOLD = 0.05
"""Seconds of a giver's turn from which on the line is kept for the next giver after it..."""
HOLD_TURNS = 3.0
"""... for this many times as long..."""
LONGEST_HOLD = 3.0
"""... at most so long, for seven turns of eight: a turn of somebody else would hold up the giver that comes next."""
TURN_SECONDS = 0.25
"""A message holds what goes to the peer in this time..."""
FIRST_TURN = 256 * 1024
"""... this many bytes if that is not known yet."""
FAST = 1024 * 1024
"""Bytes in a turn from which on a line counts as fast."""


class _Taker:
    """What passed between us and one peer, lately."""

    __slots__ = tuple(
        "at due first given gives known rate receiving rest rests_until seen_at served skipped taken unseen".split()
    )

    def __init__(self, now: float, due: float, served: int) -> None:
        self.due = due
        """Its virtual time: the least is next."""
        self.given = self.taken = 0.0
        """Bytes from it and to it, fading."""
        self.at = now
        self.rate = 0.0
        """Bytes per second of its last messages; 0.0: not known yet."""
        self.receiving = 0
        """Others that are sending blocks to it, as it says."""
        self.rest = REST
        self.rests_until = now
        self.skipped = 0
        self.served = served
        """The number of its last turn, or of the turn before it came."""
        self.first = 0
        """Blocks that any peers were the first to be sent when this one was sent the first of the ``unseen``."""
        self.known = False
        """It has had a turn."""
        self.gives = False
        """It has given, offered or passed on a block."""
        self.seen_at = now
        self.unseen = 0
        """Blocks that it was the first to be sent since it was seen to."""

    def fade(self, now: float) -> None:
        kept = exp2((self.at - now) / HALF_LIFE)
        self.given *= kept
        self.taken *= kept
        self.at = now

    @property
    def weight(self) -> float:
        if self.unseen and not self.gives:
            return TRIAL_WEIGHT
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

    def __init__(self, now: float, seed: int = 0) -> None:
        """``seed``: of the choice among newcomers."""
        self._slots = Slots(now)
        self._random = Random(seed)
        self._takers: dict[str, _Taker] = {}
        self._serving: dict[str, _Turn] = {}
        self._clock = 0.0
        self._sent_to: OrderedDict[bytes, int] = OrderedDict()
        self._sole: OrderedDict[bytes, str] = OrderedDict()
        """Block -> the one peer that others can have it from, as far as is known."""
        self._fetched: OrderedDict[bytes, None] = OrderedDict()
        self._firsts = self._turns = 0
        self._givers_wait = False
        self._held_until = 0.0
        self._now = now
        self._small = float(SMALL_FREE)
        """Bytes that may still go out of turn."""

    def add(self, peer: str, now: float) -> None:
        if peer not in self._takers:
            self._takers[peer] = _Taker(now, self._clock, self._turns)

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

    @property
    def slots(self) -> int:
        """How many peers are served at a time."""
        return self._slots.count

    @property
    def many(self) -> bool:
        """Whether so many are served at a time that a turn of somebody else takes little of the line."""
        return self.slots >= FEW_SLOTS

    @property
    def free(self) -> int:
        """Slots that nobody has; below 0 while stuck turns have none."""
        return self.slots - len(self._serving)

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

    def unread(self, now: float) -> list[str]:
        """Peers whose messages are to be taken back, since all that is not read is too much: who read nothing for
        longest first. They rest for a while. O(turns)."""
        stuck = [
            (turn.moved_at, peer, turn.left)
            for peer, turn in self._serving.items()
            if turn.blocked and turn.left > 0 and now - turn.moved_at >= UNREAD
        ]
        held, taken = sum(left for _, _, left in stuck), []
        for _, peer, left in sorted(stuck) if held > MAX_UNREAD else ():
            if held <= MAX_UNREAD:
                break
            held -= left
            taken.append(peer)
            taker = self._takers[peer]
            taker.rests_until, taker.rest = now + taker.rest, min(MAX_REST, 2 * taker.rest)
        return taken

    def pause(self, peer: str, until: float) -> None:
        """Nothing can be sent to it until then: it has no turn."""
        if (taker := self._takers.get(peer)) is not None:
            taker.rests_until = max(taker.rests_until, until)

    def rests(self, peer: str, now: float) -> bool:
        """Whether it has no turn now."""
        return now < self._takers[peer].rests_until

    def received(self, peer: str, size: int, now: float) -> None:
        taker = self._takers.get(peer)
        if taker is not None:
            taker.fade(now)
            taker.given += size
            self._now = now
            if size:
                self.gives(peer)

    def gives(self, peer: str) -> None:
        """It was seen to give: a block came from it, it says to have one that we want, or others have one from it."""
        taker = self._takers.get(peer)
        if taker is not None:
            taker.unseen, taker.seen_at = 0, self._now
            if not taker.gives:
                taker.gives = True
                taker.due = min(taker.due, self._clock)

    def receives(self, peer: str, others: int) -> None:
        """It says that so many others are sending blocks to it."""
        if (taker := self._takers.get(peer)) is not None:
            taker.receiving = others

    def receiving(self, peer: str) -> int:
        """How many others are sending blocks to it, as it says."""
        taker = self._takers.get(peer)
        return taker.receiving if taker is not None else 0

    def is_giver(self, peer: str, now: float) -> bool:
        """Whether it was seen to give lately."""
        taker = self._takers.get(peer)
        return taker is not None and taker.gives and now - taker.seen_at < GIVER_SECONDS

    def place(self, peer: str, now: float) -> int | None:
        """Its place, the least is first, among those that blocks are offered to; None: nothing is offered to it."""
        taker = self._takers.get(peer)
        if taker is None or self.is_giver(peer, now):
            return taker.receiving if taker is not None else None
        spare = self.many and self.free > 1
        return STRANGER + taker.receiving if spare and not taker.unseen else None

    def doubts(self, peer: str) -> bool:
        """Whether it was not seen to give for long enough that it may be asked."""
        taker = self._takers.get(peer)
        return taker is not None and (not taker.gives or self._now - taker.seen_at > GIVER_SECONDS / 2)

    def sent_to(self, multihash: bytes) -> int:
        """Peers that a block was sent to lately, without one that keeps it to itself."""
        sole = self._sole.get(multihash)
        return self._sent_to.get(multihash, 0) - (1 if sole is not None and self._keeps(sole) else 0)

    def sends(self, multihash: bytes, peer: str, *, tried: bool = False) -> None:
        """A block is about to be sent; ``tried``: others want one, so it is seen whether the peer passes it on."""
        sole, sent = self._sole.get(multihash), self._sent_to.get(multihash, 0)
        taker = self._takers.get(peer)
        if not self.sent_to(multihash):
            sent = 0
            self._sole[multihash] = peer
            if taker is not None and tried:
                self._firsts += 1
                taker.first = self._firsts if not taker.unseen else taker.first
                taker.unseen += 1
                taker.gives = taker.gives and taker.unseen < MAX_UNSEEN
        elif sole is not None and not self._keeps(peer):
            del self._sole[multihash]
        self._count(multihash, sent + 1)

    def not_sent(self, multihash: bytes, peer: str) -> None:
        """It was not."""
        if self._sole.get(multihash) == peer:
            del self._sole[multihash]
        self._count(multihash, max(0, self._sent_to.get(multihash, 0) - 1))

    def _count(self, multihash: bytes, sent: int) -> None:
        self._sent_to[multihash] = sent
        self._sent_to.move_to_end(multihash)
        if len(self._sent_to) > REMEMBERED:
            self._sole.pop(self._sent_to.popitem(last=False)[0], None)

    def _keeps(self, peer: str) -> bool:
        taker = self._takers.get(peer)
        if taker is None or taker.gives:
            return taker is None
        return bool(taker.unseen) and self._firsts - taker.first >= TRIAL

    def had_elsewhere(self, multihash: bytes, peer: str) -> None:
        """A peer withdrew its want for a block that it was not sent: the only one that was sent it passes blocks on."""
        sole = self._sole.get(multihash)
        if sole is not None and sole != peer and multihash not in self._fetched:
            self.gives(sole)

    def fetched(self, multihash: bytes) -> None:
        """A block came from another node: others can have it from there."""
        self._fetched[multihash] = None
        if len(self._fetched) > REMEMBERED:
            self._fetched.popitem(last=False)

    def spares(self, peer: str) -> bool:
        """Whether a peer is sent what others were sent already, and givers what nobody has: it may keep that."""
        taker = self._takers.get(peer)
        return self._givers_wait and taker is not None and not taker.gives and taker.unseen > 0

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
        """Whether what is sent to it takes long to leave: then a turn ends only when it has left."""
        return self.limit(peer) < FAST

    def begin(self, waiting: Mapping[str, Iterable[bytes]], now: float) -> str | None:
        """Give a turn to one of the ``waiting``, peer -> multihashes of blocks to send to it. None: no slot is free.

        Cost: LOOKED_AT peers times LOOKED_AT blocks, when more wait than can be served.
        """
        if not waiting or self.full(now):
            return None
        self._now = now
        kept = 1 if self.many else self.free
        if self.held(now) and self.free <= kept and not any(self._takers[peer].gives for peer in waiting):
            return None
        for peer in waiting:
            taker = self._takers[peer]
            taker.due = max(taker.due, self._clock)
            taker.gives = taker.gives and now - taker.seen_at < GIVER_SECONDS
        if len(waiting) == 1:
            (chosen,) = waiting
            self._clock = self._takers[chosen].due  # or one that comes now would be owed all that this one had alone
        else:
            givers = [peer for peer in waiting if self._takers[peer].gives]
            self._givers_wait = bool(givers)
            line = sorted(givers or waiting, key=lambda peer: self._takers[peer].due)[:LOOKED_AT]
            chosen = first = line[0]
            if self._turns % EVERYBODY == EVERYBODY - 1:
                chosen = self._anybody(waiting)
            elif self._takers[first].skipped < MAX_SKIPS:
                chosen = min(line, key=lambda peer: (self._takers[peer].receiving, self._least(waiting[peer])))
            self._takers[first].skipped += 1
            self._clock = max(self._clock, self._takers[first].due)
        self._turns += 1
        self._takers[chosen].skipped, self._takers[chosen].served = 0, self._turns
        self._takers[chosen].known = True
        self._slots.note(len(self._serving), now)
        self._serving[chosen] = _Turn(now)
        return chosen

    def held(self, now: float) -> float:
        """Seconds for which the line, or a slot of many, is still kept for givers; 0.0: it is anybody's."""
        return max(0.0, self._held_until - now) if self._turns % EVERYBODY != EVERYBODY - 1 else 0.0

    def end(self, peer: str, size: int, now: float, *, others_wait: bool) -> None:
        """Its turn has ended: ``size`` bytes of blocks went out."""
        self._slots.note(len(self._serving), now)
        turn = self._serving.pop(peer, None)
        taker = self._takers.get(peer)
        if taker is None or turn is None or not size:
            return
        self._takes(taker, size, now)
        taker.rest = REST
        if taker.gives:
            took = now - turn.began
            self._held_until = now + min(HOLD_TURNS * took, LONGEST_HOLD) if took >= LEAST_HOLD else 0.0
        self._small = min(float(SMALL_FREE), self._small + SMALL_SHARE * size)
        if now > turn.began:
            sample = size / (now - turn.began)
            taker.rate = sample if not taker.rate else taker.rate + (sample - taker.rate) / 2
        under_way = [one.began for one in self._serving.values()]
        self._slots.ended(size, turn.began, under_way, now, others_wait=others_wait)

    def took(self, peer: str, size: int, now: float) -> None:
        """It was sent bytes out of turn, in a stream; while nobody is served they are owed to nobody."""
        taker = self._takers.get(peer)
        if taker is not None:
            taker.due = max(taker.due, self._clock)
            self._takes(taker, size, now)
            if not self._serving:
                self._clock = max(self._clock, taker.due)

    # --- inside

    def _takes(self, taker: _Taker, size: int, now: float) -> None:
        taker.fade(now)
        taker.taken += size
        taker.due += size / taker.weight

    def _anybody(self, waiting: Iterable[str]) -> str:
        """The peer that has waited for the most turns; every other time, by chance, one that was never served.

        By chance, because nodes that serve the same peers must not all try the same newcomer.
        """
        fresh = [peer for peer in waiting if not self._takers[peer].known]
        if fresh and self._turns // EVERYBODY % 2 == 0:
            return self._random.choice(fresh)
        return min(waiting, key=lambda peer: self._takers[peer].served)

    def _least(self, multihashes: Iterable[bytes]) -> int:
        return min(map(self.sent_to, multihashes), default=0)
