"""Rules for the headers of an answer. Pure."""

import re
from typing import NamedTuple

from cidery.gateway.check.model import Answer


class Is(NamedTuple):
    """Exactly this."""

    name: str
    value: str

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header(self.name)
        return [] if found == self.value else [f"{self.name} must be {self.value!r}, but {_shown(found)}"]


class Has(NamedTuple):
    """All of these parts are somewhere in it."""

    name: str
    parts: tuple[str, ...]

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header(self.name)
        missing = [part for part in self.parts if part not in (found or "")]
        return [f"{self.name} must contain {part!r}, but {_shown(found)}" for part in missing]


class Lists(NamedTuple):
    """A list with all of these items, compared without case."""

    name: str
    items: tuple[str, ...]

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header(self.name)
        items = {item.strip().lower() for item in (found or "").split(",")}
        missing = [item for item in self.items if item.lower() not in items]
        return [f"{self.name} must list {item}, but {_shown(found)}" for item in missing]


class Lacks(NamedTuple):
    """This part is not in it; an absent header is right."""

    name: str
    part: str

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header(self.name)
        return (
            [f"{self.name} must not contain {self.part!r}, but {_shown(found)}"] if self.part in (found or "") else []
        )


class Like(NamedTuple):
    """The pattern is found in it; ``or_absent``: or there is no such header."""

    name: str
    pattern: str
    or_absent: bool = False

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header(self.name)
        if (found is None and self.or_absent) or re.search(self.pattern, found or ""):
            return []
        return [f"{self.name} must match {self.pattern!r}{' or be absent' * self.or_absent}, but {_shown(found)}"]


class Present(NamedTuple):
    """Any value but the empty one."""

    name: str

    def faults(self, answer: Answer) -> list[str]:
        return [] if answer.header(self.name) else [f"{self.name} must be present"]


class Absent(NamedTuple):
    """No such header."""

    name: str

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header(self.name)
        return [f"{self.name} must be absent, but {_shown(found)}"] if found else []


class Kept(NamedTuple):
    """Cache-Control: public, immutable, for at least ``seconds``."""

    seconds: int

    def faults(self, answer: Answer) -> list[str]:
        found = answer.header("Cache-Control")
        given = dict(item.strip().partition("=")[::2] for item in (found or "").split(","))
        age = given.get("max-age", "")
        if "public" in given and "immutable" in given and age.isascii() and age.isdigit() and int(age) >= self.seconds:
            return []
        wanted = f"public, immutable and last {self.seconds} s or longer"
        return [f"Cache-Control must be {wanted}, but {_shown(found)}"]


def _shown(value: str | None) -> str:
    return "it is absent" if value is None else f"it is {value!r}"
