"""Denylist files: found in their folders, read, and followed while the node runs.

A list that cannot be used when the node starts keeps it from starting, since it would serve what its operator denies;
one that becomes unusable later leaves the rules that were in force. What is appended is read alone.

Spec: https://specs.ipfs.tech/compact-denylist-format/#file-extension-locations-and-order
"""

import hashlib
import logging
import stat
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cidery.budgets import DENY_FILE
from cidery.denylist.denylists import Denylists, Match
from cidery.denylist.header import MAX_HEADER, BadHeader, parse_header, split_header
from cidery.denylist.rule_list import RuleList, TooManyRules
from cidery.denylist.rules import MAX_LINE
from cidery.errors import InvalidInput
from cidery.repo.denylist_places import list_files

LOOK_EVERY = 5.0
"""Seconds between two looks at the files: a folder to list, and a stat for each."""
READ_SIZE = 1024 * 1024
"""Bytes read at a time: their rules take some 20 ms."""

log = logging.getLogger("cidery.denylists")


class BadDenylist(InvalidInput):
    """A list that cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the denylist {self.path} cannot be used: {self.reason}; correct it, or move it away"


class _Stamp(NamedTuple):
    """By which a file that was changed is told from one that was not."""

    device: int
    inode: int
    size: int
    changed: int
    mode: int


@dataclass(slots=True)
class DenyFile:
    """One file, and what is in force of it."""

    path: Path
    rules: RuleList | None = None
    error: str = ""
    """Why it, or its newest version, is not in force."""
    stamp: _Stamp | None = None
    end: int = 0
    """Bytes whose rules are in force."""
    digest: bytes = b""
    """Of these bytes, by which it is told that a file was appended to and not changed; b"" if its last line is not
    whole."""


class DenyFiles:
    """The lists of some folders, and what is in force. load() and look() block; one thread at a time."""

    def __init__(self, folders: Sequence[Path], *, warns: bool = True) -> None:
        """``warns``: of lines that are no rules; short commands would repeat it each time."""
        self.folders = tuple(folders)
        self._level = logging.WARNING if warns else logging.INFO
        self.files: dict[Path, DenyFile] = {}
        """In the order in which they count."""
        self.denylists = Denylists()
        """What is in force."""

    def load(self) -> None:
        """Read all. Raises BadDenylist."""
        self.look()
        for file in self.files.values():
            if file.error:
                raise BadDenylist(file.path, file.error)

    def look(self) -> bool:
        """Read what has changed since; True if anything has. Failures are logged, one line each."""
        paths = list_files(self.folders)
        changed = [path for path in self.files if path not in paths]
        for path in changed:
            del self.files[path]
            log.warning("denylist %s is gone", path)
        fresh = False
        for path in paths:
            file = self.files.setdefault(path, DenyFile(path))
            fresh = self._read(file) or fresh
        if changed or fresh:
            self.files = {path: self.files[path] for path in paths}
            ordered = [file.rules for file in self.files.values()]
            self.denylists.use([rules for rules in ordered if rules is not None])
        return bool(changed or fresh)

    # --- inside

    def _read(self, file: DenyFile) -> bool:
        """Read a file if it has changed; True if its rules have."""
        try:
            stamp = _stamp(file.path)
            if stamp == file.stamp:
                return False
            file.stamp = stamp
            if not stat.S_ISREG(stamp.mode):
                raise BadDenylist(file.path, "it is no regular file")  # a pipe would be waited for
            if stamp.size > DENY_FILE.amount:
                raise BadDenylist(file.path, f"it is longer than {DENY_FILE.size}")
            with file.path.open("rb") as opened:
                rules, hasher = file.rules, _same_beginning(file, stamp, opened)
                if rules is None or hasher is None:
                    rules, hasher = _begin(file.path, opened)
                known = rules.bad_lines if rules is file.rules else 0
                end, digest = _read_rules(rules, opened, hasher)
            rules.seal()
        except (OSError, BadDenylist, BadHeader, TooManyRules) as exc:
            file.error = exc.reason if isinstance(exc, BadDenylist) else str(exc)
            kept = "the rules that it had stay in force" if file.rules is not None else "none of its rules is in force"
            log.error("denylist %s cannot be used: %s; %s", file.path, file.error, kept)
            return False
        file.rules, file.error, file.end, file.digest = rules, "", end, digest
        log.info("denylist %s: %d rules", file.path, rules.rules)
        if rules.bad_lines > known:
            first = rules.errors[min(known, len(rules.errors) - 1)]
            log.log(
                self._level,
                "denylist %s: %d lines are no rules, the first at byte %d: %s",
                *(file.path, rules.bad_lines - known, first.position, first.reason),
            )
        return True


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def _hasher() -> "hashlib._Hash":
    return hashlib.sha256()


def _same_beginning(file: DenyFile, stamp: _Stamp, opened: BinaryIO) -> "hashlib._Hash | None":
    """If the bytes whose rules are in force are still the first ones of the file: their hash, and opened after them."""
    if not file.digest or stamp.size < file.end:
        return None
    hasher, left = _hasher(), file.end
    while left and (piece := opened.read(min(READ_SIZE, left))):
        hasher.update(piece)
        left -= len(piece)
    return hasher if hasher.digest() == file.digest else None


def _begin(path: Path, opened: BinaryIO) -> "tuple[RuleList, hashlib._Hash]":
    """A list with the header of a file, which is left where its rules begin. Raises BadHeader."""
    opened.seek(0)
    header, start = split_header(opened.read(MAX_HEADER + 8))
    opened.seek(0)
    hasher = _hasher()
    hasher.update(opened.read(start))
    return RuleList(str(path), parse_header(header or b"")), hasher


def _read_rules(rules: RuleList, opened: BinaryIO, hasher: "hashlib._Hash") -> tuple[int, bytes]:
    """Add the rules from here to the end; returns it, and the digest up to it. Raises TooManyRules, BadDenylist."""
    position, rest, name = opened.tell(), b"", Path(opened.name)
    while piece := opened.read(READ_SIZE):
        hasher.update(piece)
        *lines, rest = (rest + piece).split(b"\n")
        position = rules.add_lines(lines, position)
        # "Lines should not be longer than 2MiB"; "Implementations MUST error when parsed list is bigger"
        if len(rest) >= MAX_LINE or any(len(line) >= MAX_LINE for line in lines[:1]):
            raise BadDenylist(name, "it has a line of more than 2 MiB")
        if position + len(rest) > DENY_FILE.amount:
            raise BadDenylist(name, f"it is longer than {DENY_FILE.size}")
    if rest:
        return rules.add_lines([rest], position) - 1, b""
    return position, hasher.digest()


def rule_at(match: Match) -> tuple[int, str]:
    """The line number and text of the rule that denied; (0, "") if its file has changed. O(file)."""
    try:
        with open(match.source, "rb") as file:
            line, left = 1, match.position
            while left and (piece := file.read(min(READ_SIZE, left))):
                line += piece.count(b"\n")
                left -= len(piece)
            text = file.readline(MAX_LINE).decode("utf-8", "replace").strip()
    except OSError:
        return 0, ""
    return (line, text) if text else (0, "")


async def following(files: DenyFiles, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Look at the files every few seconds, until cancelled."""
    from cidery.tasks import in_thread  # imports asyncio, which a command that only reads does without

    while True:
        await sleep(LOOK_EVERY)
        await in_thread(files.look)
