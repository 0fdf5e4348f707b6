"""Which entries of a folder are left out of an add: patterns as in a .gitignore file.

Spec: https://git-scm.com/docs/gitignore#_pattern_format
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from cidery.errors import InvalidInput, LimitExceeded

MAX_RULES = 10_000
"""Most patterns: each is tried on each name."""
MAX_PATTERN = 1024
"""Longest pattern, in characters."""


class TooManyRules(LimitExceeded):
    """More patterns than MAX_RULES."""

    def __str__(self) -> str:
        return f"more than {MAX_RULES} ignore rules"


class BadRule(InvalidInput):
    """An invalid pattern."""

    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self.pattern = pattern

    def __str__(self) -> str:
        return (
            f"ignore rule {self.pattern[:80]!r} is longer than {MAX_PATTERN} characters or has a range that ends early"
        )


class _Rule(NamedTuple):
    expression: re.Pattern[str]
    keeps: bool
    """Whether it negates earlier rules (``!``)."""
    directories_only: bool


class IgnoreRules:
    """Rules in order; the last match decides. Immutable, cheap to query: some us per name."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Lines of a .gitignore file. Raises BadRule, TooManyRules."""
        self._rules: list[_Rule] = []
        for line in lines:
            rule = _parse(line.rstrip("\r\n"))
            if rule is not None:
                self._rules.append(rule)
            if len(self._rules) > MAX_RULES:
                raise TooManyRules

    def __bool__(self) -> bool:
        return bool(self._rules)

    def leaves_out(self, path: str, *, is_directory: bool) -> bool:
        """Whether to leave out the entry at ``path``, relative to the added folder, with "/" between names.

        The contents of a directory that is left out need not be checked: they are left out, too.
        """
        out = False
        for rule in self._rules:
            if rule.keeps == out and (is_directory or not rule.directories_only) and rule.expression.fullmatch(path):
                out = not out
        return out


def _parse(line: str) -> _Rule | None:
    pattern = line
    while pattern.endswith(" ") and not pattern.endswith("\\ "):
        pattern = pattern[:-1]
    if not pattern or pattern.startswith("#"):
        return None
    if len(pattern) > MAX_PATTERN:
        raise BadRule(line)
    keeps = pattern.startswith("!")
    pattern = pattern[keeps:]
    directories_only = pattern.endswith("/")
    pattern = pattern.rstrip("/") if directories_only else pattern
    anchored = "/" in pattern
    pattern = pattern.removeprefix("/")
    if not pattern:
        return None
    try:
        expression = re.compile(("" if anchored else "(?:.*/)?") + _expression(pattern), re.DOTALL)
    except re.error as exc:
        raise BadRule(line) from exc
    return _Rule(expression, keeps, directories_only)


def _expression(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            out.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("/**", at) and at + 3 == len(pattern):
            out.append("/.+")
            at += 3
        elif pattern[at] == "*":
            while at < len(pattern) and pattern[at] == "*":
                at += 1
            out.append("[^/]*")
        elif pattern[at] == "?":
            out.append("[^/]")
            at += 1
        elif pattern[at] == "[" and (end := _range_end(pattern, at)):
            inner = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            inner = "^/" + inner[1:] if inner.startswith(("!", "^")) else inner
            out.append(f"[{inner}]")
            at = end + 1
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            out.append(re.escape(pattern[at]))
            at += 1
    return "".join(out)


def _range_end(pattern: str, start: int) -> int:
    """Where the range that begins at ``start`` ends; 0 if it does not."""
    first = start + 1 + pattern.startswith(("!", "^"), start + 1)
    return max(0, pattern.find("]", first + 1))
