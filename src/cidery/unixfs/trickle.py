"""The trickle layout: leaves first, right below the root, then subtrees of growing depth, SUBTREES of each.

Made for reading from the start and for appending: existing nodes stay in place. Memory: the unfinished nodes on the
way to the last leaf, at most ``max_links`` + SUBTREES * depth children each.

Spec: Kubo importer/trickle (`ipfs add --trickle`)
"""

from dataclasses import dataclass, field

from cidery.ipld.block import Block
from cidery.unixfs.layout import Child, file_node
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import Profile

SUBTREES = 4
"""Subtrees of each depth before the next depth begins."""


@dataclass(slots=True)
class _Node:
    """A node that is being filled."""

    depth: int
    """Its subtrees have a lower depth; 0 for the root, which has no bound."""
    children: list[Child] = field(default_factory=list)


class Trickle:
    """Builds one file, as Balanced does: add() the leaves in order, then finish() once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._open = [_Node(0)]

    def add(self, leaf: Child) -> list[Block]:
        """Append one leaf; returns nodes that are complete, mostly none."""
        done: list[Block] = []
        while True:
            node = self._open[-1]
            subtrees = len(node.children) - self._profile.max_links
            if subtrees < 0:
                node.children.append(leaf)
                return done
            depth = subtrees // SUBTREES + 1
            if node.depth == 0 or depth < node.depth:
                self._open.append(_Node(depth))
            else:
                self._close(done)

    def finish(self, mode: int | None = None, mtime: Mtime | None = None) -> tuple[Child, list[Block]]:
        """(root, remaining nodes); without leaves the empty file. ``mode`` and ``mtime`` go into the root."""
        done: list[Block] = []
        while len(self._open) > 1:
            self._close(done)
        root, block = file_node(self._profile, self._open[0].children, mode, mtime)
        return root, [*done, block]

    def _close(self, done: list[Block]) -> None:
        child, block = file_node(self._profile, self._open.pop().children)
        done.append(block)
        self._open[-1].children.append(child)
