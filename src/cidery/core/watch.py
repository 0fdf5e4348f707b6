"""Observing sessions: how a long cat or get is progressing, by a name that its caller chose."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from cidery.core.session import BlockSession
from cidery.errors import NotFound
from cidery.exchange.stats import SessionStats

MAX_ENDED = 256
"""Ended sessions remembered, so that a caller can ask for the totals after the last byte: some KiB each at most."""


IDLE_STAGES = ("local", "done")
"""Stages of a session that waits for nothing: other work is more worth reporting."""


class NoSuchSession(NotFound):
    """No session has this name, or it ended long ago."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no session is named {self.name[:40]!r}; name one with --session of cat or get"


class _Doing:
    """What one call is doing now."""

    def __init__(self, what: str) -> None:
        self.what = what

    def change(self, to: str) -> None:
        self.what = to


class WatchedSessions:
    """The named sessions of one node. Several under one name count together."""

    def __init__(self) -> None:
        self._live: dict[str, list[BlockSession]] = {}
        self._ended: OrderedDict[str, SessionStats] = OrderedDict()
        self._doing: dict[str, list[_Doing]] = {}

    @contextmanager
    def doing(self, name: str, what: str) -> Iterator[Callable[[str], None]]:
        """Report what is done under ``name`` inside the context, with or without sessions; yields a setter."""
        now = _Doing(what)
        stack = self._doing.setdefault(name, [])
        stack.append(now)
        try:
            yield now.change
        finally:
            stack.remove(now)  # by itself: another call under the name may have begun before and end after
            if not stack:
                del self._doing[name]

    @asynccontextmanager
    async def watch(self, name: str, opened: AbstractAsyncContextManager[BlockSession]) -> AsyncIterator[BlockSession]:
        """``opened`` unchanged, listed under ``name`` while it is open."""
        async with opened as session:
            self._live.setdefault(name, []).append(session)
            try:
                yield session
            finally:
                self._end(name, session)

    def _end(self, name: str, session: BlockSession) -> None:
        before = self._ended.pop(name, None)
        last = session.stats()._replace(stage="done")
        self._ended[name] = last if before is None else _sum(before, last)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        self._live[name].remove(session)
        if not self._live[name]:
            del self._live[name]

    def stats(self, name: str) -> SessionStats:
        """Counters so far under the name. Raises NoSuchSession."""
        total = self._ended.get(name)
        for session in self._live.get(name, ()):
            total = session.stats() if total is None else _sum(total, session.stats())
        doing = self._doing.get(name)
        if doing:
            if total is None:
                total = SessionStats(doing[-1].what, (0, 0), {}, 0)
            elif total.stage in IDLE_STAGES:
                total = total._replace(stage=doing[-1].what)
        if total is None:
            raise NoSuchSession(name)
        return total


def _sum(first: SessionStats, last: SessionStats) -> SessionStats:
    by_source = dict(first.by_source)
    for name, (blocks, size) in last.by_source.items():
        had = by_source.get(name, (0, 0))
        by_source[name] = (had[0] + blocks, had[1] + size)
    local = (first.local[0] + last.local[0], first.local[1] + last.local[1])
    return SessionStats(last.stage, local, by_source, first.duplicate_blocks + last.duplicate_blocks, last.owing)
