"""What a session's sources promise: its stage in a word, and whether a single source has it all. Pure."""

from collections.abc import Collection

from cidery.exchange.source import Source
from cidery.exchange.wants import Want

LEFT_WAIT = 1.0
"""Seconds that one is expected to wait for a source that left owing blocks and sent none; doubles each time."""
MAX_LEFT = 1024
"""Such sources remembered."""


class Left:
    """Sources that went away owing blocks without having sent one: they are not asked first when they come again."""

    def __init__(self) -> None:
        self._waits: dict[str, float] = {}

    def leaves(self, source: Source) -> None:
        if source.outstanding and not source.blocks and (source.name in self._waits or len(self._waits) < MAX_LEFT):
            self._waits[source.name] = max(LEFT_WAIT, 2 * source.waited)

    def waited(self, name: str) -> float:
        """Seconds that count as waited in vain for one that comes."""
        return self._waits.get(name, 0.0)


def stage(sources: Collection[Source]) -> str:
    """The state of a session that wants something, in one word for people."""
    if not any(source.has_any or source.outstanding for source in sources):
        return "finding"
    busy = [source for source in sources if source.outstanding]
    if busy and all(source.stalled for source in busy):
        return "stalled"
    return "receiving" if any(source.blocks for source in sources) else "asking"


def sole_source(sources: Collection[Source], want: Want | None) -> tuple[bool, str]:
    """Whether it is known now who has a DAG, and the source if it is a single complete one, else "".

    ``want``: that of its root, if it is wanted already.
    """
    denied = want.denied if want is not None else ()
    if any(source.partial for source in sources):
        return True, ""
    if any(source.outstanding and not source.usable and not source.stalled for source in sources):
        return False, ""  # one that was asked for a block may send it
    known = [source.name for source in sources if source.usable]
    if known:
        return True, known[0] if len(known) == 1 else ""
    left = [source.name for source in sources if not source.stalled and source.name not in denied]
    return (True, left[0]) if len(left) == 1 else (False, "")


def others_may_have(sources: Collection[Source], source: Source, want: Want) -> bool:
    """Whether another one may have it, as far as is known."""
    return any(
        other is not source and not other.stalled and other.may_have(want.denied, want.holders) for other in sources
    )


def any_left(sources: Collection[Source], want: Want) -> bool:
    """Whether a source that is known to have something may have this, now or soon."""
    return any(source.usable and source.name not in want.denied for source in sources)
