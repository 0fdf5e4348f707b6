"""Whether the pure fetch session takes the same time for an event however many sources and wants it has seen."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass

from cidery.exchange.commands import Ask
from cidery.exchange.session import FetchSession
from cidery.exchange.waits import SessionWaits
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

BLOCK = 256 * 1024
"""Assumed bytes of a block."""
AHEAD = 4096
"""Wants that the reader announces ahead."""
ROOM = 64 * 1024 * 1024
PARTS = 10
FEW = 10
ROUND_TRIP = 0.05
SHA2_256 = b"\x12\x20"
"""The first bytes of a multihash, before its 32."""


@dataclass(frozen=True)
class Scale:
    """CPU time, in microseconds per block: wanted, asked for, received."""

    first: float
    """Over the first tenth of the wants."""
    last: float
    """Over the last tenth."""
    each: list[float]
    """Over each tenth."""
    few: float
    """Over as many wants as a tenth, with FEW sources."""
    asked: int
    """Sources that were asked for something."""


def session_scale(sources: int = 1000, wants: int = 1_000_000, seed: int = 0) -> Scale:
    """All sources have everything, answer after a tenth of a round trip of virtual time, and nothing is lost."""
    few, _ = _measure(FEW, max(PARTS, wants // PARTS), seed)
    each, asked = _measure(sources, wants, seed)
    return Scale(each[0], each[-1], each, sum(few) / len(few), asked)


def _measure(sources: int, wants: int, seed: int) -> tuple[list[float], int]:
    """Microseconds per block over each tenth, and how many sources were asked."""
    source, session, now = random.Random(seed), FetchSession(SessionWaits(), 0.0), 0.0
    names = [f"source-{at}" for at in range(sources)]
    for name in names:
        session.add_source(name, ROUND_TRIP * source.uniform(0.5, 2.0), now)
    cids = [CID(1, RAW, SHA2_256 + source.randbytes(32)) for _ in range(min(wants, AHEAD))]
    session.want(cids, now)
    for name in names:
        session.on_have(name, cids[0], now)
    announced, got = len(cids), 0
    each: list[float] = []
    asked: set[str] = set()
    answers: deque[Ask] = deque(one for one in session.poll(now, ROOM) if isinstance(one, Ask))
    began, part = time.process_time(), max(1, wants // PARTS)
    while got < wants:
        now += ROUND_TRIP / 10
        for _ in range(len(answers)):
            ask = answers.popleft()
            asked.add(ask.source)
            for cid in ask.blocks:
                if session.on_block(ask.source, cid, BLOCK, now):
                    got += 1
                    if got % part == 0:
                        each.append((time.process_time() - began) / part * 1e6)
                        began = time.process_time()
            for cid in ask.haves:
                session.on_have(ask.source, cid, now)
        fresh = min(wants, got + AHEAD) - announced
        if fresh > 0:
            paused = time.process_time()
            cids = [CID(1, RAW, SHA2_256 + source.randbytes(32)) for _ in range(fresh)]
            began += time.process_time() - paused
            session.want(cids, now)
            announced += fresh
        answers += [one for one in session.poll(now, ROOM) if isinstance(one, Ask)]
    return each, len(asked)
