"""The laboratory's scenarios with real programs on hosts of the slow internet, and what is measured of them."""

import hashlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

from cidery.testing.lab.sources import least_seconds
from peers.line_peer import PeerFailed
from peers.little_internet import Host
from slow_internet.layout import SlowInternet
from slow_internet.programs import KINDS, Program

WATCH_EVERY = 0.25
"""Seconds between two looks at the lines."""
TALK = 2000
"""Bytes in such a time that are talk, not content."""
GRACE = 60.0
"""Seconds beyond what a fetch may take at worst, after which it counts as failed."""
OWN_SECONDS = 5.0
"""Within which a small file of its own must come while a node is flooded."""
SETTLE = 2.0
"""Seconds between connecting and the first request."""


@dataclass(frozen=True)
class RealCrowd:
    """As ``cidery.testing.lab.crowd.Crowd``; multiples are of the file's size, times in seconds since the first reader
    began to dial."""

    origin_sent: float
    readers_sent: float
    least_readers_sent: float
    overhead: float
    last: float
    one_copy: float
    client_server: float
    times: list[float]
    """Of each reader, from its own beginning, in the order in which they came."""
    kinds: list[str]
    """Of each of them."""
    failures: list[str]


@dataclass(frozen=True)
class RealFetch:
    """One reader's fetch. Times in seconds."""

    seconds: float
    ideal: float
    longest_silence: float
    """In which nothing but talk reached the reader's line."""
    overhead: float
    """Share of what reached it that was not the first copy of the file."""
    shares: list[float]
    """What each source sent, as a share of the file."""
    failure: str


@dataclass(frozen=True)
class RealMars:
    """Times in seconds; infinite: it failed."""

    dial: float
    seconds: float
    """From the dial to the last byte."""
    limit: float
    second_file: float
    second_reader: float
    second_reader_over_the_link: float
    failure: str


@dataclass(frozen=True)
class RealCut:
    """Times in seconds; infinite: it failed."""

    own: list[float]
    """Content of the own side, while the line was cut."""
    after: list[float]
    """Content of the other side, first requested when it was mended."""
    failures: list[str]


@dataclass(frozen=True)
class RealFlood:
    """What a node still does for itself while strangers flood it."""

    own: list[float]
    """Seconds of each fetch of its own; infinite: it failed."""
    own_served: float
    """Share of them that took at most OWN_SECONDS."""
    sent: float
    """Share of its line up that was used meanwhile."""
    failures: list[str]


@dataclass
class Stage:
    """Hosts, programs and one folder for all of them."""

    folder: Path
    net: SlowInternet
    stack: ExitStack
    programs: list[Program] = field(default_factory=list)

    def start(self, kind: str, up: float = 0.0, down: float = 0.0) -> Program:
        host = self.net.host(up, down)
        program = KINDS[kind](self.folder / host.address, host)
        self.stack.callback(program.close)
        self.programs.append(program)
        return program

    def file(self, size: int, seed: int) -> Path:
        path = self.folder / f"content-{seed}" / f"file-{seed}"
        path.parent.mkdir()
        source = random.Random(seed)
        with path.open("wb") as out:
            for at in range(0, size, 1 << 20):
                out.write(source.randbytes(min(1 << 20, size - at)))
        return path

    def fetch(self, program: Program, name: str, file: Path, seconds: float) -> float:
        """Seconds of a fetch whose bytes were compared. Raises AssertionError, also when it takes longer."""
        target = self.folder / f"out-{program.host.address}" / file.name
        target.parent.mkdir(exist_ok=True)
        began = time.monotonic()
        program.get(name, target, seconds)
        took = time.monotonic() - began
        assert _digest(target) == _digest(file), "other bytes came than those of the file"
        target.unlink()
        return took


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextmanager
def stage(folder: Path, round_trip: float) -> Iterator[Stage]:
    """An empty slow internet; everything in it ends with the context."""
    with ExitStack() as stack:
        net = stack.enter_context(SlowInternet(folder))
        net.apart(round_trip / 2)
        yield Stage(folder, net, stack)


def crowd(
    folder: Path,
    kinds: Sequence[str],
    size: int,
    origin_rate: float,
    reader_rate: float,
    round_trip: float,
    *,
    origin: str = "",
    stagger: float = 10.0,
    seed: int = 0,
) -> RealCrowd:
    """One reader of each of ``kinds``; the origin is of the kind ``origin``, "": of the first reader's.

    Readers know the origin, and whom it and the LAN's DHT (or peer exchange) tell them of.
    """
    with stage(folder, round_trip) as scene:
        chance = random.Random(seed)
        moments = sorted(chance.uniform(0.0, stagger) for _ in kinds)
        arrivals = [moment - moments[0] for moment in moments]
        first = scene.start(origin or kinds[0], origin_rate, origin_rate)
        readers = [scene.start(kind, reader_rate, reader_rate) for kind in kinds]
        file = scene.file(size, seed)
        name = first.add(file)
        patience = GRACE + 2 * len(kinds) * size / origin_rate
        before, began = scene.net.carried(), time.monotonic()
        ended, failures = [math.inf] * len(readers), [""] * len(readers)

        def read(at: int) -> float:
            time.sleep(max(0.0, began + arrivals[at] - time.monotonic()))
            came = time.monotonic()
            try:
                readers[at].connect(first.addr)
                scene.fetch(readers[at], name, file, patience)
            except (AssertionError, OSError) as exc:
                failures[at] = str(exc)
                return math.inf
            ended[at] = time.monotonic() - began
            return time.monotonic() - came

        with ThreadPoolExecutor(len(readers)) as pool:
            times = list(pool.map(read, range(len(readers))))
        after = scene.net.carried()
        up, down = _passed(before, after, 0), _passed(before, after, 1)
        origin_sent = up[first.host.address] / size
        return RealCrowd(
            origin_sent=origin_sent,
            readers_sent=sum(up[reader.host.address] for reader in readers) / size,
            least_readers_sent=len(kinds) - min(origin_sent, len(kinds)),
            overhead=1 - len(kinds) * size / sum(down[reader.host.address] for reader in readers),
            last=max(ended),
            one_copy=size / origin_rate,
            client_server=len(kinds) * size / origin_rate,
            times=times,
            kinds=list(kinds),
            failures=[one for one in failures if one],
        )


def _passed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], direction: int) -> dict[str, int]:
    return {address: after[address][direction] - before[address][direction] for address in after}


class _Silence:
    """Watches what reaches a host, in a thread of its own."""

    def __init__(self, net: SlowInternet, host: Host) -> None:
        self.longest = 0.0
        self._net, self._host = net, host
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        seen, heard = self._net.carried()[self._host.address][1], time.monotonic()
        while not self._over.wait(WATCH_EVERY):
            now, got = time.monotonic(), self._net.carried()[self._host.address][1]
            if got - seen > TALK:
                heard = now
            self.longest, seen = max(self.longest, now - heard), got

    def __enter__(self) -> "_Silence":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def from_sources(
    folder: Path,
    kind: str,
    size: int,
    rates: Sequence[float],
    round_trips: Sequence[float],
    *,
    reader_rate: float = 0.0,
    deaths: Sequence[float] = (),
    how: str = "reset",
    seed: int = 0,
) -> RealFetch:
    """One source for each of ``rates``, so far away; the first ones die after ``deaths`` seconds, in order."""
    with stage(folder, 0.0) as scene:
        reader = scene.start(kind, reader_rate, reader_rate)
        file, name = scene.file(size, seed), ""
        sources = [scene.start(kind, rate, rate) for rate in rates]
        for source, round_trip in zip(sources, round_trips, strict=True):
            scene.net.distance(reader.host, source.host, round_trip / 2)
            name = source.add(file)
            reader.connect(source.addr)
        time.sleep(SETTLE)
        before = scene.net.carried()

        def end(source: Program) -> Callable[[], None]:
            return source.kill if how == "reset" else lambda: scene.net.unplug(source.host)

        timers = [threading.Timer(after, end(source)) for after, source in zip(deaths, sources, strict=False)]
        for timer in timers:
            timer.start()
        failure, seconds = "", math.inf
        with _Silence(scene.net, reader.host) as silence:
            try:
                seconds = scene.fetch(reader, name, file, GRACE + 3 * size / min(rates))
            except (AssertionError, OSError) as exc:
                failure = str(exc)
        for timer in timers:
            timer.cancel()
            timer.join()
        after_ = scene.net.carried()
        up, down = _passed(before, after_, 0), _passed(before, after_, 1)
        until = [*deaths, *[math.inf] * (len(rates) - len(deaths))]
        return RealFetch(
            seconds=seconds,
            ideal=min(round_trips) + least_seconds(size, rates, until, reader_rate),
            longest_silence=silence.longest,
            overhead=1 - size / max(size, down[reader.host.address]),
            shares=[up[source.host.address] / size for source in sources],
            failure=failure,
        )


def mars(folder: Path, kind: str, round_trip: float, size: int, rate: float, *, seed: int = 0) -> RealMars:
    """A reader dials Earth cold over a standing line; then a neighbour reads from it."""
    with stage(folder, round_trip) as scene:
        scene.net.queue(int(round_trip * rate))
        earth = scene.start(kind, rate, rate)
        reader, neighbour = scene.start(kind), scene.start(kind)
        scene.net.distance(reader.host, neighbour.host, 0.0)
        first, second = scene.file(size, seed), scene.file(size, seed + 1)
        names = [earth.add(file) for file in (first, second)]
        limit, began = round_trip + size / rate, time.monotonic()
        patience = GRACE + 5 * limit
        try:
            reader.connect(earth.addr, seconds=60 + 10 * round_trip)
            dial = time.monotonic() - began
            scene.fetch(reader, names[0], first, patience)
            seconds = time.monotonic() - began
            other = scene.fetch(reader, names[1], second, patience)
            neighbour.connect(reader.addr)
            time.sleep(SETTLE)
            before = scene.net.carried()[earth.host.address][0]
            third = scene.fetch(neighbour, names[0], first, patience)
            over = (scene.net.carried()[earth.host.address][0] - before) / size
        except (AssertionError, OSError) as exc:
            never = math.inf
            reason = f"after {time.monotonic() - began:.1f} s: {exc}"
            return RealMars(never, never, limit, never, never, 0.0, reason)
        return RealMars(dial, seconds, limit, other, third, over, "")


def cut(
    folder: Path, kind: str, *, seconds: float = 40.0, size: int = 1 << 20, sides: int = 2, per_side: int = 3
) -> RealCut:
    """``sides`` of ``per_side`` nodes, all connected to one; the lines between the sides are cut for so long."""
    with stage(folder, 0.02) as scene:
        nodes = [[scene.start(kind) for _ in range(per_side)] for _ in range(sides)]
        hosts = [[program.host for program in side] for side in nodes]
        pairs = list(combinations(hosts, 2))
        for one, other in (two for pair in pairs for two in product(*pair)):
            scene.net.distance(one, other, 0.075)
        first = nodes[0][0]
        for side in nodes:
            for program in side:
                if program is not first:
                    program.connect(first.addr)
                if program is not side[0] and side is not nodes[0]:
                    program.connect(side[0].addr)
        time.sleep(5 * SETTLE)
        failures: list[str] = []

        def timed(program: Program, name: str, file: Path) -> float:
            try:
                return scene.fetch(program, name, file, 2 * GRACE)
            except (AssertionError, OSError, PeerFailed) as exc:
                failures.append(str(exc))
                return math.inf

        files = [scene.file(size, seed) for seed in range(2 * sides)]
        names = [nodes[at % sides][1].add(file) for at, file in enumerate(files)]
        time.sleep(2 * SETTLE)  # announced
        for one_side, other_side in pairs:
            scene.net.cut(one_side, other_side)
        began = time.monotonic()
        own = [timed(nodes[at][-1], names[at], files[at]) for at in range(sides)]
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        for one_side, other_side in pairs:
            scene.net.cut(one_side, other_side, cut=False)
        after = [timed(nodes[(at + 1) % sides][-1], names[at], files[at]) for at in range(sides, 2 * sides)]
        return RealCut(own, after, failures)


def flood(
    folder: Path, kind: str, rate: float, *, strangers: int = 5, times: float = 10.0, seconds: float = 20.0
) -> RealFlood:
    """Strangers ask a node for ``times`` what its line carries in ``seconds``; it fetches small files of a friend.

    ``rate``: bytes per second of its line in each direction.
    """
    with stage(folder, 0.05) as scene:
        node, friend = scene.start(kind, rate, rate), scene.start(kind)
        others = [scene.start(kind) for _ in range(strangers)]
        large = [scene.file(int(times * rate * seconds / strangers), seed) for seed in range(strangers)]
        small = [scene.file(64 * 1024, strangers + at) for at in range(int(seconds))]
        wanted, own = [node.add(file) for file in large], [friend.add(file) for file in small]
        for program in (friend, *others):
            program.connect(node.addr)
        time.sleep(SETTLE)
        failures: list[str] = []

        def ask(at: int) -> None:
            with suppress(AssertionError, OSError, PeerFailed):  # it asks for more than it can get
                others[at].get(wanted[at], folder / f"stranger-{at}", 2 * seconds)

        pool = scene.stack.enter_context(ThreadPoolExecutor(strangers))
        began, up = time.monotonic(), scene.net.carried()[node.host.address][0]
        for at in range(strangers):
            pool.submit(ask, at)
        time.sleep(SETTLE)
        took: list[float] = []
        for name, file in zip(own, small, strict=True):
            try:
                took.append(scene.fetch(node, name, file, GRACE))
            except (AssertionError, OSError, PeerFailed) as exc:
                failures.append(str(exc))
                took.append(math.inf)
            time.sleep(max(0.0, 1.0 - took[-1]) if math.isfinite(took[-1]) else 0.0)
        sent = (scene.net.carried()[node.host.address][0] - up) / (rate * (time.monotonic() - began))
        return RealFlood(took, sum(one <= OWN_SECONDS for one in took) / len(took), sent, failures)
