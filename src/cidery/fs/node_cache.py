"""Decoded nodes and listings by CID. They cannot change, so they are kept until the room is needed."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, TypeVar

from cidery.unixfs.node import Kind

if TYPE_CHECKING:
    from cidery.multiformats.cid import CID
    from cidery.unixfs.node import UnixFSNode

V = TypeVar("V")


class Recent(Generic[V]):
    """The most recently used values, up to a total weight. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._values: OrderedDict[object, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> V | None:
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: object, value: V, weight: int) -> None:
        """Keep it, unless it alone is heavier than all may be."""
        if weight > self._most:
            return
        with self._lock:
            old = self._values.pop(key, None)
            self._weight += weight - (old[1] if old is not None else 0)
            self._values[key] = (value, weight)
            while self._weight > self._most:
                self._weight -= self._values.popitem(last=False)[1][1]


class Known:
    """A node, with what finds its parts and entries quickly."""

    __slots__ = ("_names", "_starts", "node")

    def __init__(self, node: UnixFSNode) -> None:
        self.node = node
        self._starts: list[int] | None = None
        self._names: dict[str, CID] | None = None

    @property
    def weight(self) -> int:
        """About what it costs, in links: an inline byte is a two-hundredth of one."""
        return 1 + len(self.node.links) + len(self.node.inline) // 200

    @property
    def is_folder(self) -> bool:
        return self.node.kind is Kind.DIRECTORY

    @property
    def names(self) -> dict[str, CID]:
        """Entries of a basic directory; of several with one name the first."""
        if self._names is None:
            self._names = {link.name or "": link.cid for link in reversed(self.node.links)}
        return self._names

    def children(self, start: int, end: int) -> range:
        """The links of a file whose parts overlap ``[start, end)`` of its bytes."""
        if self._starts is None:
            self._starts = list(accumulate(self.node.blocksizes, initial=len(self.node.inline)))
        starts = self._starts
        first = max(0, bisect_right(starts, start) - 1)
        last = bisect_right(starts, end - 1) if end > start else first
        return range(first, min(last, len(self.node.links)))

    def start_of(self, child: int) -> int:
        """Offset of a link's part in this file."""
        assert self._starts is not None  # children() came first
        return self._starts[child]
