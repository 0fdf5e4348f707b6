"""Asks sources whether they have one block, without fetching it. Pure; a ``Sources`` drives them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from cidery.multiformats.cid import CID

MAX_ASKED = 256
"""Sources that one probe asks: more than the connections of an ordinary node."""


class Asker(Protocol):
    """The party that sources are asked for: a fetch session, or a probe. Sources call these."""

    def on_source(self, name: str, round_trip: float | None, *, gave: bool = False) -> None:
        """``gave``: it sent something that another asker wanted."""

    def on_source_gone(self, name: str) -> None: ...

    def on_wanted(self, name: str, cids: Sequence[CID]) -> None:
        """A source asks us for these."""

    def on_have(self, name: str, cid: CID) -> None: ...

    def on_dont_have(self, name: str, cid: CID) -> None: ...

    def on_block(self, name: str, cid: CID, data: memoryview, came: int = 0) -> bool:
        """``came``: how many bytes of it the source sent, if another sent its beginning; 0: all."""
        ...

    def on_wrong(self, name: str, size: int) -> None:
        """So many bytes of blocks came from a source that it was never asked for."""

    def turn(self) -> None: ...


class HaveProbe:
    """An Asker that only gathers answers. The last answer of each source counts."""

    def __init__(
        self, cid: CID, *, ask: Callable[["HaveProbe", str], None], on_answer: Callable[[str, str], None]
    ) -> None:
        """``ask``: sends want-have to a source. ``on_answer`` gets (source, "waiting", "have", "dont-have", "block"
        or "gone"), each change once."""
        self.cid = cid
        self.answers: dict[str, str] = {}
        self._ask = ask
        self._on_answer = on_answer

    @property
    def waiting(self) -> bool:
        """Whether a source has not answered yet."""
        return "waiting" in self.answers.values()

    def _note(self, name: str, answer: str) -> None:
        if self.answers.get(name) != answer:
            self.answers[name] = answer
            self._on_answer(name, answer)

    def on_source(self, name: str, round_trip: float | None, *, gave: bool = False) -> None:
        if len(self.answers) < MAX_ASKED or name in self.answers:
            self._note(name, "waiting")
            self._ask(self, name)

    def on_source_gone(self, name: str) -> None:
        if name in self.answers:
            self._note(name, "gone")

    def on_wanted(self, name: str, cids: Sequence[CID]) -> None:
        """A peer that wants a block will say itself that it does not have it."""

    def on_have(self, name: str, cid: CID) -> None:
        if cid == self.cid and name in self.answers:
            self._note(name, "have")

    def on_dont_have(self, name: str, cid: CID) -> None:
        if cid == self.cid and name in self.answers:
            self._note(name, "dont-have")

    def on_block(self, name: str, cid: CID, data: memoryview, came: int = 0) -> bool:
        """A small block may arrive instead of a HAVE; it counts as wanted and is dropped."""
        if cid.multihash != self.cid.multihash or name not in self.answers:
            return False
        self._note(name, "block")
        return True

    def on_wrong(self, name: str, size: int) -> None:
        """A source that lies does not answer."""

    def turn(self) -> None:
        """Nothing to decide."""
