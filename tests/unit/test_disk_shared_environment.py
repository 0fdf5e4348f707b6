"""One LMDB environment, opened several times in one process."""

import os
from pathlib import Path

import pytest

from cidery.disk.lmdb_environment import DatabaseMissing, Environment

TABLES = (b"one", b"two")


def opened(path: Path, *, read_only: bool = False) -> Environment:
    return Environment(path, TABLES, what="table of the test", map_size=1 << 20, read_only=read_only)


def put(env: Environment, key: bytes, value: bytes) -> None:
    env.write(lambda txn: txn.put(key, value, db=env.tables[1]))


def test_a_reader_beside_a_writer_sees_what_it_commits(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    reader = opened(tmp_path, read_only=True)
    put(writer, b"k", b"v")
    assert reader.get(1, b"k") == b"v" and reader.get(0, b"k") is None
    writer.close()
    assert reader.get(1, b"k") == b"v"
    reader.close()


def test_readers_go_on_when_a_writer_comes_later(tmp_path: Path) -> None:
    first = opened(tmp_path)
    put(first, b"k", b"v")
    first.close()
    readers = [opened(tmp_path, read_only=True), opened(tmp_path, read_only=True)]
    assert [one.get(1, b"k") for one in readers] == [b"v", b"v"]
    writer = opened(tmp_path)
    for number in range(2000):  # the map grows while it is shared
        put(writer, str(number).encode(), bytes(1000))
    assert [one.get(1, b"1999") for one in readers] == [bytes(1000)] * 2
    writer.close()
    assert [one.get(1, b"k") for one in readers] == [b"v", b"v"]
    for one in readers:
        one.close()
        one.close()
    again = opened(tmp_path)
    assert again.get(1, b"k") == b"v"
    again.close()


def test_the_last_user_closes_it_and_then_it_can_be_compacted(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    for number in range(500):
        put(writer, str(number).encode(), bytes(1000))
    writer.write(lambda txn: txn.drop(writer.tables[1], delete=False))
    before = (tmp_path / "data.mdb").stat().st_size
    writer.compact_at_close()
    writer.close()
    assert (tmp_path / "data.mdb").stat().st_size < before


def test_a_reader_of_nothing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissing):
        opened(tmp_path, read_only=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_opens_its_own_and_the_parent_keeps_its(tmp_path: Path) -> None:
    parent = opened(tmp_path)
    put(parent, b"k", b"v")
    assert parent.get(1, b"k") == b"v"
    child = os.fork()
    if not child:
        own = opened(tmp_path, read_only=True)
        parent.close()  # nothing happens: it is not the child's
        os._exit(7 if own.get(1, b"k") == b"v" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    put(parent, b"k", b"w")
    assert parent.get(1, b"k") == b"w"
    parent.close()
