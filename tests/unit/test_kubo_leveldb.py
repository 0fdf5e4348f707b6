"""Reading LevelDB files that a test wrote; databases that LevelDB itself wrote are in tests/interop."""

import os
from pathlib import Path

import pytest

from cidery.kubo import leveldb
from cidery.kubo.leveldb import LevelDb, LevelDbTooLarge, NoLevelDb
from cidery.kubo.leveldb_format import TABLE_MAGIC, LevelDbError
from cidery.kubo.snappy import SnappyError, decompress
from cidery.multiformats.varint import encode_uvarint
from kubo_repo import batch, block, edit, internal, log_file, sealed, table_file, write_database


def everything(path: Path, prefix: bytes = b"") -> dict[bytes, bytes]:
    with LevelDb.open(path) as database:
        return dict(database.scan(prefix))


def test_the_newest_state_of_a_key_counts(tmp_path):
    first = batch(1, [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
    second = batch(4, [(b"b", None), (b"c", b"2")])
    write_database(tmp_path / "db", {3: [first], 4: [second]})
    assert everything(tmp_path / "db") == {b"a": b"1", b"c": b"2"}


def test_a_log_goes_over_tables_and_a_lower_level_over_a_higher(tmp_path):
    old = table_file([(b"a", 1, b"old"), (b"b", 2, b"old"), (b"c", 3, b"old"), (b"d", 4, b"old")])
    new = table_file([(b"b", 7, b"new"), (b"b", 5, b"between"), (b"c", 8, None)])
    edits = [
        edit(log=9, added=[(1, 5, len(old), internal(b"a", 1), internal(b"d", 4))]),
        edit(log=9, added=[(0, 6, len(new), internal(b"b", 7), internal(b"c", 8))]),
    ]
    write_database(tmp_path / "db", {9: [batch(9, [(b"d", b"log")])]}, edits, {5: old, 6: new})
    assert everything(tmp_path / "db") == {b"a": b"old", b"b": b"new", b"d": b"log"}


def test_a_scan_gives_the_keys_with_a_prefix_in_order(tmp_path):
    keys = [b"/a", b"/p", b"/p/1", b"/p/2", b"/p/3", b"/p/4", b"/q"]
    table = table_file([(key, 1 + at, key) for at, key in enumerate(keys)])
    edits = [edit(log=9, added=[(2, 5, len(table), internal(keys[0], 1), internal(keys[-1], 7))])]
    write_database(tmp_path / "db", {9: [batch(9, [(b"/p/25", b"log"), (b"/z", b"log")])]}, edits, {5: table})
    with LevelDb.open(tmp_path / "db") as database:
        assert [key for key, _ in database.scan(b"/p/")] == [b"/p/1", b"/p/2", b"/p/25", b"/p/3", b"/p/4"]
        assert database.get(b"/p") == b"/p"
        assert database.get(b"/p/") is None


def test_tables_that_were_removed_and_logs_that_are_in_tables_do_not_count(tmp_path):
    table = table_file([(b"a", 1, b"1")])
    edits = [edit(added=[(0, 5, len(table), internal(b"a", 1), internal(b"a", 1))]), edit(log=7, deleted=[(0, 5)])]
    write_database(tmp_path / "db", {6: [batch(1, [(b"old", b"1")])], 7: [batch(2, [(b"new", b"1")])]}, edits)
    assert everything(tmp_path / "db") == {b"new": b"1"}


def test_records_longer_than_a_block_of_the_log_come_back(tmp_path):
    value = os.urandom(100_000)
    write_database(tmp_path / "db", {1: [batch(1, [(b"a", b"x" * 32_741)]), batch(2, [(b"b", value)])]})
    assert everything(tmp_path / "db") == {b"a": b"x" * 32_741, b"b": value}


def test_a_record_cut_off_by_a_crash_is_dropped_quietly(tmp_path):
    write_database(tmp_path / "db", {1: [batch(1, [(b"a", b"1")]), batch(2, [(b"b", b"2" * 100)])]})
    path = tmp_path / "db" / "000001.log"
    path.write_bytes(path.read_bytes()[:-1])
    with LevelDb.open(tmp_path / "db") as database:
        assert dict(database.scan(b"")) == {b"a": b"1"}
        assert database.warnings == []


def test_a_damaged_log_is_read_up_to_the_damage_and_that_is_said(tmp_path):
    write_database(tmp_path / "db", {1: [batch(1, [(b"a", b"1")]), batch(2, [(b"b", b"2")]), batch(3, [(b"c", b"3")])]})
    path = tmp_path / "db" / "000001.log"
    data = bytearray(path.read_bytes())
    data[len(data) // 3 + 10] ^= 1
    path.write_bytes(data)
    with LevelDb.open(tmp_path / "db") as database:
        assert dict(database.scan(b"")) == {b"a": b"1"}
        (warning,) = database.warnings
        assert warning.startswith("000001.log at byte ") and "checksum" in warning


@pytest.mark.parametrize("at", [3, 20, -30, -3])
def test_a_damaged_table_is_named(tmp_path, at):
    table = bytearray(table_file([(b"a", 1, b"1"), (b"b", 2, b"2"), (b"c", 3, b"3")]))
    table[at] ^= 0x40
    edits = [edit(added=[(0, 5, len(table), internal(b"a", 1), internal(b"c", 3))])]
    write_database(tmp_path / "db", {}, edits, {5: bytes(table)})
    if at == -30:  # padding of the footer
        assert len(everything(tmp_path / "db")) == 3
        return
    with pytest.raises(LevelDbError, match=r"000005\.ldb"):
        everything(tmp_path / "db")


def test_a_table_shorter_than_its_index_says_is_refused(tmp_path):
    table = table_file([(b"a", 1, b"1")])
    edits = [edit(added=[(0, 5, len(table), internal(b"a", 1), internal(b"a", 1))])]
    write_database(tmp_path / "db", {}, edits, {5: table[20:]})
    with pytest.raises(LevelDbError, match="000005"):
        everything(tmp_path / "db")


def test_tables_are_found_under_their_old_ending(tmp_path):
    table = table_file([(b"a", 1, b"1")])
    edits = [edit(added=[(0, 5, len(table), internal(b"a", 1), internal(b"a", 1))])]
    write_database(tmp_path / "db", {}, edits, {5: table})
    (tmp_path / "db" / "000005.ldb").rename(tmp_path / "db" / "000005.sst")
    assert everything(tmp_path / "db") == {b"a": b"1"}


def test_what_is_no_database_is_refused(tmp_path):
    with pytest.raises(NoLevelDb, match="no file CURRENT"):
        LevelDb.open(tmp_path)
    (tmp_path / "CURRENT").write_text("../../etc/passwd\n")
    with pytest.raises(NoLevelDb, match="names no manifest"):
        LevelDb.open(tmp_path)


def test_another_order_of_keys_is_refused(tmp_path):
    write_database(tmp_path / "db", {}, [b"\x01\x03abc"])
    with pytest.raises(LevelDbError, match="another order"):
        LevelDb.open(tmp_path / "db")


def test_logs_are_read_up_to_a_bound(tmp_path, monkeypatch):
    write_database(tmp_path / "db", {1: [batch(1, [(b"a", b"1" * 1000)])], 2: [batch(2, [(b"b", b"1" * 1000)])]})
    monkeypatch.setattr(leveldb, "MAX_LOG_BYTES", 1500)
    with pytest.raises(LevelDbTooLarge, match=r"000002\.log"):
        LevelDb.open(tmp_path / "db")


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    write_database(tmp_path / "db", {1: [batch(1, [(b"a", b"1")])]})
    (tmp_path / "db" / "000001.log").unlink()
    os.mkfifo(tmp_path / "db" / "000001.log")
    with pytest.raises(LevelDbError, match="not a file"):
        LevelDb.open(tmp_path / "db")


def test_reserved_space_in_a_log_is_skipped(tmp_path):
    write_database(tmp_path / "db", {1: []})
    (tmp_path / "db" / "000001.log").write_bytes(log_file([batch(1, [(b"a", b"1")])]) + bytes(100))
    assert everything(tmp_path / "db") == {b"a": b"1"}


def test_snappy_knows_every_element():
    # literal "abcd", copy of 4 back 4, copy with a 2-byte distance, overlapping copy, long literal
    data = b"\x0cabcd" + b"\x01\x04" + b"\x0e\x08\x00" + b"\x19\x01" + b"\xf0\x3f" + bytes(64)
    whole = b"abcd" + b"abcd" + b"abcd" + b"d" * 10 + bytes(64)
    assert decompress(bytes([len(whole)]) + data, 1000) == whole
    assert decompress(b"\x08\x0cabcd" + b"\x0f\x04\x00\x00\x00", 8) == b"abcdabcd"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x04",
        b"\x04\x0cab",
        b"\x05\x0cabcd",
        b"\x03\x0cabcd",
        b"\x08\x0cabcd\x01\x05",
        b"\x04\x01\x00",
        b"\x04\xf4\x01",
    ],
)
def test_snappy_that_contradicts_itself_is_refused(data):
    with pytest.raises(SnappyError):
        decompress(data, 1000)


def test_snappy_over_the_limit_is_refused_before_it_is_made():
    with pytest.raises(SnappyError, match="at most 10"):
        decompress(b"\x80\x80\x80\x80\x08" + b"\x00a", 10)


def test_a_compressed_table_is_read(tmp_path):
    plain = table_file([(b"a", 1, b"1" * 50)])
    # the first block again, as one literal of snappy
    content = plain[: plain.index(b"1" * 50) + 50 + 8]
    packed = sealed(bytes([len(content)]) + b"\xf0" + bytes([len(content) - 1]) + content, kind=1)
    index = len(packed)
    entry = block([(internal(b"a", 1), encode_uvarint(0) + encode_uvarint(len(packed) - 5))])
    footer = b"".join(map(encode_uvarint, (0, 0, index, len(entry)))).ljust(40, b"\0") + TABLE_MAGIC
    table = packed + sealed(entry) + footer
    edits = [edit(added=[(0, 5, len(table), internal(b"a", 1), internal(b"a", 1))])]
    write_database(tmp_path / "db", {}, edits, {5: table})
    assert everything(tmp_path / "db") == {b"a": b"1" * 50}
