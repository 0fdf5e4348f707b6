"""Which of many unfinished things to end, when there are more of them than there is room for. Pure.

Nobody can tell a slow honest peer from one that only wants to occupy a place: both are silent. So there is no short
time limit, but a number of places. When they are taken, the host with most of them loses its oldest, so that a host
that fills them all competes with itself only.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Pending(Generic[K]):
    """Things in the order in which they came, each of a group. Operations are O(1), surplus() is O(things)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: OrderedDict[K, Hashable] = OrderedDict()
        self._sizes: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._groups))

    def __contains__(self, thing: K) -> bool:
        return thing in self._groups

    def add(self, thing: K, group: Hashable) -> None:
        """One more. ``group``: on whose account it is."""
        self.discard(thing)
        self._groups[thing] = group
        self._sizes[group] += 1

    def discard(self, thing: K) -> None:
        """It is finished, or was ended."""
        group = self._groups.pop(thing, None)
        if group is not None:
            self._sizes[group] -= 1
            if not self._sizes[group]:
                del self._sizes[group]

    def surplus(
        self, spared: Callable[[K], bool] = lambda thing: False, rather: Callable[[K], bool] = lambda thing: True
    ) -> K | None:
        """What to end now, which is then no longer pending; None if all have room.

        It is the oldest of the largest group. Those that are ``spared`` are taken only if there are no others; of the
        group the oldest that is ``rather`` to be ended than the others, if there is one.
        """
        if len(self._groups) <= self._limit:
            return None
        able = [thing for thing in self._groups if not spared(thing)] or list(self._groups)
        sizes = Counter(self._groups[thing] for thing in able)
        largest = max(sizes.values())
        group = next(group for thing in able if sizes[group := self._groups[thing]] == largest)
        those = [thing for thing in able if self._groups[thing] == group]
        chosen = next(filter(rather, those), those[0])
        self.discard(chosen)
        return chosen
