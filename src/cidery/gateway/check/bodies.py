"""Rules for the body of an answer. Pure."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from typing import Any, NamedTuple

from cidery.errors import CideryError
from cidery.gateway.check.model import Answer
from cidery.ipld.block import Block
from cidery.ipld.car_reader import CarReader
from cidery.ipns.name import parse_name
from cidery.ipns.record import IpnsRecord
from cidery.multiformats.cid import CID

SHOWN = 160
"""Characters, or bytes, of a body that a difference quotes."""


class Bytes(NamedTuple):
    """Exactly these."""

    data: bytes

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        if answer.body == self.data:
            return []
        return [f"the body must be {quoted(self.data)}, but it is {quoted(answer.body)}"]


class Text(NamedTuple):
    """UTF-8 that holds all of one list and nothing of the other."""

    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        text = answer.body.decode(errors="replace")
        missing = [part for part in self.has if part not in text]
        found = [part for part in self.lacks if part in text]
        wrong = [f"the body must contain {part!r}" for part in missing]
        wrong += [f"the body must not contain {part!r}" for part in found]
        return [*wrong, f"the body is {quoted(answer.body)}"] if wrong else []


class Json(NamedTuple):
    """The same value, however it is written."""

    value: Any

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            return [f"the body must be JSON, but it is {quoted(answer.body)}"]
        wanted = json.dumps(self.value, ensure_ascii=False)
        return [] if found == self.value else [f"the body must be {wanted}, but it is {quoted(answer.body)}"]


class SameAsFirst(NamedTuple):
    """The body of the first answer, which has to be a success."""

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        assert first is not None  # checks with this rule have a first request
        if first.status != 200:
            return [f"the first request must be answered with 200, but it was with {first.status}"]
        return Bytes(first.body).faults(answer, None)


class Nothing(NamedTuple):
    """No body."""

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        return [f"there must be no body, but it is {quoted(answer.body)}"] if answer.body else []


class Parts(NamedTuple):
    """A multipart/byteranges body with all of these ranges (first, last) of ``data``."""

    data: bytes
    ranges: tuple[tuple[int, int], ...]
    media_type: str = ""

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        wanted = [f"Content-Type: {self.media_type}".encode()] if self.media_type else []
        for start, end in self.ranges:
            wanted.append(b"Content-Range: bytes %d-%d/%d" % (start, end, len(self.data)))
            wanted.append(self.data[start : end + 1])
        body = answer.body.lower()
        return [f"the body must contain {quoted(part)}" for part in wanted if part.lower() not in body]


class Car(NamedTuple):
    """An archive whose blocks match their hashes. Its roots are free."""

    cids: tuple[CID, ...]
    exact: bool = True
    """Nothing but these, each as often as here."""
    ordered: bool = True

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        reader, found = CarReader(), list[CID]()
        try:
            for block, _ in reader.receive_data(answer.body):
                found.append(Block.verified(block.cid, block.data).cid)
            reader.receive_eof()
        except CideryError as exc:
            return [f"the body must be a CAR with right blocks: {exc}; it is {quoted(answer.body)}"]
        wanted, got = Counter(self.cids), Counter(found)
        missing = wanted - got if self.exact else Counter(set(self.cids) - set(found))
        wrong = [f"the CAR lacks {cid}{_times(count)}" for cid, count in missing.items()]
        if self.exact:
            wrong += [f"the CAR must not hold {cid}{_times(count)}" for cid, count in (got - wanted).items()]
        if not wrong and self.exact and self.ordered and found != list(self.cids):
            at = next(at for at, pair in enumerate(zip(found, self.cids, strict=True)) if pair[0] != pair[1])
            wrong.append(f"block {at} of the CAR must be {self.cids[at]}, but it is {found[at]}")
        return wrong


class Tar(NamedTuple):
    """An archive that holds these files; a content of None is not compared."""

    files: tuple[tuple[str, bytes | None], ...] = ()

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() else None
                    # a sparse file may claim any size
                    found[member.name] = content.read(len(answer.body)) if content else b""
                rest = answer.body[archive.offset :]
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as exc:
            return [f"the body must be a TAR archive: {exc}; it is {quoted(answer.body)}"]
        # tarfile takes anything behind the first member for the end
        wrong = (
            [f"the TAR breaks off with {quoted(rest)}"] if rest.strip(b"\0") or len(rest) % tarfile.BLOCKSIZE else []
        )
        for name, wanted in self.files:
            if name not in found:
                wrong.append(f"the TAR must hold {name!r}, but it holds {sorted(found)}")
            elif wanted is not None and found[name] != wanted:
                wrong.append(f"{name!r} in the TAR must be {quoted(wanted)}, but it is {quoted(found[name])}")
        return wrong


class NoTar(NamedTuple):
    """An archive that breaks off: readers refuse it."""

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        return [] if Tar().faults(answer, first) else ["the TAR must not be readable to its end, but it is"]


class Record(NamedTuple):
    """The signed record of a name that points to ``value``."""

    name: str
    value: str

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        try:
            record = IpnsRecord.decode(answer.body)
            record.check_signature(parse_name(self.name))
        except CideryError as exc:
            return [f"the body must be a record of {self.name}: {exc}; it is {quoted(answer.body)}"]
        found = record.value.decode(errors="replace")
        return [] if found == self.value else [f"the record must point to {self.value}, but does to {found[:SHOWN]}"]


def quoted(data: bytes) -> str:
    """The start of a body, escaped, and its length if that is not all."""
    try:
        shown = repr(data.decode()[:SHOWN])
    except UnicodeDecodeError:
        shown = repr(data[:SHOWN])
    return shown if len(data) <= SHOWN else f"{shown}... ({len(data)} bytes)"


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""
