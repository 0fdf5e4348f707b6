"""Rows, journals and notes of jobs: what was written is read back; any bytes are a value, nothing, or an own error."""

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cidery.core.adding.journal import AddJournal, file_entry, identity_of
from cidery.core.car.job import _places
from cidery.core.getting.jobs import every_get
from cidery.core.getting.record import SUFFIX, GetRecord, number_of
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.repo.jobs import KINDS, Job, JobDamaged, JobState, decode_job, encode_job
from cidery.repo.volatile_note import VolatileNote, boot_identity
from cidery.rpc.uploads import BadUpload, _has, _identity
from cidery.unixfs.layout import Child

numbers = st.integers(0, (1 << 63) - 1)
texts = st.text(max_size=40)
cids = st.builds(lambda data, codec: CID.of(data, codec), st.binary(max_size=4), st.sampled_from([RAW, DAG_PB]))
jobs = st.builds(
    Job,
    id=numbers,
    kind=st.sampled_from(KINDS),
    title=texts,
    state=st.sampled_from(JobState),
    started=st.floats(0, 1e10),
    updated=st.floats(0, 1e10),
    key=texts,
    attempts=numbers,
    bytes=numbers,
    total=st.none() | numbers,
    error=texts,
    next_try=st.none() | st.floats(0, 1e10),
    since_ordinal=st.none() | numbers,
    roots=st.lists(cids, max_size=3).map(tuple),
    details=st.none() | st.dictionaries(texts, st.integers(0, 9) | texts, min_size=1, max_size=3),
)


@given(jobs)
def test_a_row_is_read_back(job: Job) -> None:
    assert decode_job(encode_job(job)) == job


@given(st.binary(max_size=60) | st.recursive(st.none() | numbers | texts, st.lists).map(lambda v: repr(v).encode()))
@example(b"[" * 100_000)
@example(b'{"kind":"add","state":"done","roots":["x"],"id":1}')
@example(b'{"kind":"add","state":"done","roots":{},"id":1}')
@example(b'{"kind":"add","state":"done","id":true}')
@example(b'{"kind":"add","state":"done","id":%d}' % (1 << 70))
def test_any_bytes_are_a_row_or_damaged(data: bytes) -> None:
    with suppress(JobDamaged):
        decode_job(data)


@given(st.lists(st.tuples(st.binary(max_size=3), numbers, numbers), min_size=1, max_size=5), st.integers(0, 400))
def test_a_journal_gives_back_what_was_noted_and_a_torn_one_its_whole_records(
    files: list[tuple[bytes, int, int]], torn: int
) -> None:
    with TemporaryDirectory() as name:
        path = Path(name, "j")
        found = identity_of(os.stat(name))
        first = AddJournal(path, lambda: 1e10, load=False)
        noted = []
        for at, (data, size, tsize) in enumerate(files):
            identity = (at, *found[1:])
            child = Child(CID.of(data), size, tsize)
            first.note_file(identity, child, 1 << 62)
            first.note_part(identity, at, [child, child], 1 << 62)
            noted.append((identity, child))
        first.close()
        whole = AddJournal(path, lambda: 1e10, load=True)
        assert [whole.file(identity) for identity, _ in noted] == [child for _, child in noted]
        assert whole.parts(noted[0][0]) == {0: [noted[0][1]] * 2}
        os.truncate(path, max(0, path.stat().st_size - torn))
        left = AddJournal(path, lambda: 1e10, load=True)
        kept = [left.file(identity) for identity, _ in noted]
        assert kept == [child for _, child in noted][: len(files) - kept.count(None)] + [None] * kept.count(None)
        left.note_file(*noted[-1], 1 << 62)
        left.close()
        assert AddJournal(path, lambda: 1e10, load=True).file(noted[-1][0]) == noted[-1][1]


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_journal(data: bytes, headed: bool) -> None:
    with TemporaryDirectory() as name:
        path = Path(name, "j")
        path.write_bytes(b"cidery add 1\n" * headed + data)
        AddJournal(path, lambda: 0.0, load=True).close()


def test_a_file_that_was_just_changed_is_not_noted() -> None:
    old = (1, 2, 3, 5_000, 5_000)
    assert file_entry(old, b"cid", 3, 3, 5_001)
    assert not file_entry(old, b"cid", 3, 3, 5_000)
    assert not file_entry((*old[:4], 6_000), b"cid", 3, 3, 5_001)


@given(st.binary(max_size=300), st.binary(max_size=80))
def test_a_note_is_read_on_the_same_boot_only_and_any_bytes_are_a_note_or_none(note: bytes, other: bytes) -> None:
    with TemporaryDirectory() as name:
        path = Path(name, "below", "note")
        written = VolatileNote(path, "boot")
        written.write(b"longer than the next one, so that a rest stays behind it" * 9)
        written.write(note)
        written.close()
        assert VolatileNote(path, "boot").read() == note
        assert VolatileNote(path, "another").read() is None
        assert VolatileNote(path, "").read() is None
        path.write_bytes(other)
        VolatileNote(path, "boot").read()
        path.write_bytes(b"boot 5 " + other)
        VolatileNote(path, "boot").read()


@pytest.mark.parametrize("found", [b"", b"{", b"[1]", b"[[1,2]]", b"[[-1,2,3]]", None, 3, b"[" * 100_000])
def test_places_that_make_no_sense_are_none(found: object) -> None:
    assert _places(found) == []


@given(st.text(max_size=60) | st.lists(st.integers(-9, 1 << 66), max_size=6).map(lambda v: "-".join(map(str, v))))
@example("1-2-3-4-5")
@example("٣-2-3-4-5")
@example("all")
def test_any_statement_about_an_uploaded_file_is_understood_or_refused(text: str) -> None:
    with suppress(BadUpload):
        found = _identity(text)
        assert found is None or "-".join(map(str, found)) == "-".join(str(int(word)) for word in text.split("-"))
    with suppress(BadUpload):
        assert _has(text) >= -1


@given(st.binary(max_size=400), st.booleans())
@example(b'F 1 2 3 4 5 "a"\nP 1 2 9 "b"\nT 0\n', True)
@example(b'F 1 2 3 4 5 [\nP 1 2 "b"\nT x\nS a b\n', True)
def test_any_bytes_are_a_record_of_a_get(data: bytes, headed: bool) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / f"{number_of('x', 'y')}{SUFFIX}"
        head = {"id": 1, "title": "x", "started": 1.0, "command": [], "boot": boot_identity()}
        path.write_bytes((json.dumps(head).encode() + b"\n") * headed + data)
        every_get(directory)
        record = GetRecord.open(directory, "x", "y", lambda: 1.0)
        assert record is not None
        record.close(keep=False)
        assert not path.exists()
