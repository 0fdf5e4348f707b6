"""How a process that reads the store asks the daemon for what is not there: the wire format of one session. Pure.

Requests are lines, answers are frames; the first line says for whom, and each ``get`` and ``name`` is answered once, in
order::

    terms [paced] [public]   no answer: the Terms of the session
    get CID          -> found SIZE, and as many bytes | failed KIND TEXT
    name NAME        -> found SIZE, and as many bytes | failed KIND TEXT
    ahead CID ...       no answer: these will be asked for soon
    expect CID          no answer: everything below it will be asked for

The daemon's side of a session ends with the connection, and then wants nothing any more.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from cidery.errors import (
    CideryError,
    IntegrityError,
    LimitExceeded,
    NotFound,
    RemoteProtocolError,
    Unavailable,
)
from cidery.exchange.terms import EAGER, Terms
from cidery.ipld.block import MAX_BLOCK
from cidery.multiformats.cid import CID, CIDError

MEDIA_TYPE = "application/x-cidery-misses"
"""Of both bodies."""
FOR_WORKERS = "/cidery"
"""Beginning of the paths on the port of the RPC that are for callers that know the daemon's token."""
PATH = f"{FOR_WORKERS}/misses"
MAX_AHEAD = 256
"""Most CIDs in one line: the next 256 MiB of a file."""
MAX_LINE = 64 * 1024
"""Longest line of a request, in bytes: MAX_AHEAD long CIDs."""
MAX_HEAD = 1024
"""Longest first line of a frame, in bytes."""


class Verb(Enum):
    """What a line asks for."""

    TERMS = "terms"
    GET = "get"
    NAME = "name"
    AHEAD = "ahead"
    EXPECT = "expect"


class Asked(NamedTuple):
    """One line of a request."""

    verb: Verb
    cids: tuple[CID, ...] = ()
    name: str = ""
    terms: Terms = EAGER


class BadMisses(RemoteProtocolError):
    """The other side does not keep to the format."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a session of misses: {self.reason}"


class _Failed(CideryError):
    """What the daemon said."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class NotFoundThere(_Failed, NotFound):
    """The daemon says that it does not exist, or that it may not fetch it."""


class UnavailableThere(_Failed, Unavailable):
    """The daemon could not get it in time."""


class DamagedThere(_Failed, IntegrityError):
    """What the daemon got is not valid."""


class RefusedThere(_Failed, LimitExceeded):
    """The daemon refuses to do it."""


_KINDS: dict[str, tuple[type[CideryError], type[_Failed]]] = {
    "missing": (NotFound, NotFoundThere),
    "unavailable": (Unavailable, UnavailableThere),
    "damaged": (IntegrityError, DamagedThere),
    "refused": (CideryError, RefusedThere),
}
"""Word -> what is sent as it, and what it is read as; the first that fits."""


def asked(verb: Verb, *cids: CID, name: str = "") -> bytes:
    """A line; at most MAX_AHEAD of the CIDs."""
    words = [name] if name else [str(cid) for cid in cids[:MAX_AHEAD]]
    return " ".join([verb.value, *words]).encode() + b"\n"


def asked_on(terms: Terms) -> bytes:
    """The first line."""
    return " ".join([Verb.TERMS.value, *(name for name, holds in terms._asdict().items() if holds)]).encode() + b"\n"


class AskedReader:
    """Reads the lines of a request."""

    def __init__(self) -> None:
        self._rest = b""

    def receive_data(self, data: bytes) -> list[Asked]:
        """Raises BadMisses."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise BadMisses("a line is too long")
        return [_asked(line) for line in lines]


def _asked(line: bytes) -> Asked:
    try:
        word, *rest = line.decode("ascii").split(" ")
        verb = Verb(word)
        if verb is Verb.TERMS:
            return Asked(verb, terms=Terms(**dict.fromkeys(rest, True)))
        if verb is Verb.NAME:
            if len(rest) != 1 or not rest[0]:
                raise BadMisses("one name is asked for at a time")
            return Asked(verb, name=rest[0])
        cids = tuple(map(CID.parse, rest))
    except (ValueError, TypeError, CIDError) as exc:
        raise BadMisses("a line makes no sense") from exc
    if len(cids) > MAX_AHEAD or (verb is not Verb.AHEAD and len(cids) != 1):
        raise BadMisses(f"{verb.value} of {len(cids)} blocks")
    return Asked(verb, cids)


def found(data: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    """The frame of a block or a record, in pieces."""
    return b"found %d\n" % len(data), data


def failed(error: CideryError) -> bytes:
    """The frame of a failure."""
    kind = next(kind for kind, (sent, _) in _KINDS.items() if isinstance(error, sent))
    said = " ".join(str(error).split()).encode("utf-8", "replace")
    return b"failed " + kind.encode() + b" " + said[: MAX_HEAD - 32] + b"\n"


class FrameReader:
    """Reads the frames of an answer."""

    def __init__(self) -> None:
        self._head = b""
        self._parts: list[bytes] = []
        self._left: int | None = None
        """Bytes of the block that are to come; None: a head is."""

    def receive_data(self, data: bytes) -> list[bytes | CideryError]:
        """The frames that are complete. Raises BadMisses."""
        frames: list[bytes | CideryError] = []
        while data or self._left == 0:
            if self._left is None:
                self._head += data
                head, line_end, data = self._head.partition(b"\n")
                if not line_end or len(head) > MAX_HEAD:
                    if len(self._head) > MAX_HEAD:
                        raise BadMisses("the head of a frame is too long")
                    return frames
                self._head = b""
                error = self._begin(head)
                if error is not None:
                    frames.append(error)
                continue
            taken, data = data[: self._left], data[self._left :]
            self._parts.append(taken)
            self._left -= len(taken)
            if not self._left:
                frames.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
                self._parts, self._left = [], None
        return frames

    def _begin(self, head: bytes) -> CideryError | None:
        word, _, rest = head.partition(b" ")
        if word == b"found" and rest.isdigit() and len(rest) < 10 and int(rest) <= MAX_BLOCK:
            self._left = int(rest)
            return None
        kind, _, message = rest.partition(b" ")
        if word != b"failed" or (kinds := _KINDS.get(kind.decode("latin-1"))) is None:
            raise BadMisses("a frame makes no sense")
        return kinds[1](message.decode("utf-8", "replace"))
