"""Lock, layout, state, pins and provisional roots of a repository."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cidery.disk.file_locks import is_locked
from cidery.disk.lmdb_environment import DatabaseDamaged, DatabaseMissing
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.repo.layout import REPO_FORMAT, KuboRepo, NotARepo, RepoKind, RepoLayout, RepoMissing, RepoTooNew
from cidery.repo.lock import Holder, RepoLock, RepoLocked, read_holder
from cidery.repo.pins import MAX_NAME, BadPinName, Pin, Pins, encode_pin
from cidery.repo.provisional import ProvisionalRoots
from cidery.repo.state import Put, State, StateReadOnly, StateTable

HOLD_LOCK = """
import sys
from pathlib import Path
from cidery.repo.lock import RepoLock
lock = RepoLock.acquire(Path(sys.argv[1]), "cidery daemon")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path):
    opened = State.open(tmp_path / "meta" / "state")
    yield opened
    opened.close()


def test_a_lock_names_the_process_and_command_that_hold_it(tmp_path):
    path = tmp_path / "repo.lock"
    with RepoLock.acquire(path, "cidery add photos"):
        with pytest.raises(RepoLocked) as caught:
            RepoLock.acquire(path, "cidery daemon")
        assert caught.value.holder == Holder(os.getpid(), "cidery add photos")
        assert f"in use by this same process {os.getpid()} (cidery add photos)" in str(caught.value)
    RepoLock.acquire(path, "again").release()


def test_a_lock_is_free_when_its_process_is_killed(tmp_path):
    path = tmp_path / "repo.lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(RepoLocked, match=rf"process {child.pid} \(cidery daemon\)"):
        RepoLock.acquire(path, "me")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    RepoLock.acquire(path, "me").release()


ODD_PIDS = [b'{"pid": %s, "command": "x"}' % pid for pid in (b"0", b"-1", b"true", b"99999999999999999999", b"1e3")]


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[1", b"[" * 4000, b"\xff\xfe", b'{"pid": "x", "command": 3}', *ODD_PIDS]
)
def test_an_unreadable_lock_file_names_nobody(tmp_path, text):
    (tmp_path / "repo.lock").write_bytes(text)
    assert read_holder(tmp_path / "repo.lock") is None
    assert "another process" in str(RepoLocked(tmp_path / "repo.lock", None))


def test_whether_a_lock_is_held_is_told_without_taking_it(tmp_path):
    path = tmp_path / "repo.lock"
    assert not is_locked(path)
    with RepoLock.acquire(path, "me"):
        assert is_locked(path)
    assert not is_locked(path) and path.exists()
    RepoLock.acquire(path, "again").release()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell which process is suspended")
def test_a_suspended_holder_is_named_with_what_lets_it_go_on(tmp_path):
    path = tmp_path / "repo.lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    with pytest.raises(RepoLocked, match=rf"which is suspended; let it go on \(fg, or kill -CONT {child.pid}\)"):
        RepoLock.acquire(path, "me")
    child.send_signal(signal.SIGCONT)
    child.communicate()


def test_a_new_layout_is_a_repository_and_can_be_made_twice(tmp_path):
    layout = RepoLayout(tmp_path / "repo")
    assert layout.kind() is RepoKind.MISSING
    with pytest.raises(RepoMissing, match="cidery init"):
        layout.check()
    layout.create()
    layout.create()
    assert layout.kind() is RepoKind.CIDERY and layout.check() == REPO_FORMAT
    assert (layout.root / "version").read_text() == f"{REPO_FORMAT}\n"


def test_a_layout_that_was_begun_can_be_made(tmp_path):
    layout = RepoLayout(tmp_path)
    layout.keystore.mkdir()
    (tmp_path / "version.part").touch()
    assert layout.kind() is RepoKind.MISSING
    layout.create()
    assert layout.check() == REPO_FORMAT


def test_a_newer_format_is_refused(tmp_path):
    (tmp_path / "version").write_text(f"{REPO_FORMAT + 1}\n")
    with pytest.raises(RepoTooNew, match="upgrade Cidery"):
        RepoLayout(tmp_path).check()
    with pytest.raises(RepoTooNew):
        RepoLayout(tmp_path).create()


@pytest.mark.parametrize("sign", ["datastore_spec", "blocks/SHARDING"])
def test_a_kubo_repository_is_recognised_and_left_alone(tmp_path, sign):
    (tmp_path / "blocks").mkdir()
    (tmp_path / sign).write_text("{}")
    (tmp_path / "version").write_text("15\n")
    before = sorted(tmp_path.rglob("*"))
    for step in (RepoLayout(tmp_path).check, RepoLayout(tmp_path).create):
        with pytest.raises(KuboRepo, match="is a Kubo repository, left untouched"):
            step()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_with_other_files_is_not_taken_over(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(NotARepo, match="other files"):
        RepoLayout(tmp_path).create()
    (tmp_path / "version").write_text("one")
    with pytest.raises(NotARepo, match="no number"):
        RepoLayout(tmp_path).check()
    with pytest.raises(NotARepo):
        RepoLayout(tmp_path / "holiday.jpg").check()


async def test_state_is_applied_whole_and_survives(tmp_path):
    state = State.open(tmp_path)
    await state.apply(Put(StateTable.SETTINGS, b"a", b"1"), Put(StateTable.SETTINGS, b"b", b"2"))
    await state.apply(Put(StateTable.SETTINGS, b"a", None))
    state.close()
    again = State.open(tmp_path)
    assert again.page(StateTable.SETTINGS, b"", 10) == [(b"b", b"2")]
    assert again.count(StateTable.SETTINGS) == 1
    again.close()


async def test_state_grows_past_its_first_map(tmp_path):
    state = State.open(tmp_path, map_size=64 * 1024)
    for i in range(40):
        await state.apply(Put(StateTable.SETTINGS, b"%d" % i, bytes(16 * 1024)))
    assert state.count(StateTable.SETTINGS) == 40
    state.close()


async def test_a_read_only_state_refuses_writes(tmp_path):
    with pytest.raises(DatabaseMissing, match="cidery init"):
        State.open(tmp_path / "none", read_only=True)
    State.open(tmp_path).close()
    state = State.open(tmp_path, read_only=True)
    with pytest.raises(StateReadOnly):
        await state.apply(Put(StateTable.SETTINGS, b"a", b"1"))
    state.close()


async def test_pins_are_added_listed_by_page_and_removed(state):
    pins = Pins(state)
    made = [Pin(CID.of(b"%d" % i), i % 2 == 0, f"pin {i}", 1000.0 + i) for i in range(25)]
    await pins.add(*made)
    assert pins.count() == 25
    assert pins.get(made[3].cid) == made[3]
    seen, after = [], b""
    while page := pins.page(after, 7):
        seen += page
        after = page[-1].cursor
    assert seen == sorted(made, key=lambda pin: pin.cid.encode()) == list(pins.every())
    assert await pins.remove([made[0].cid, CID.of(b"absent")]) == [True, False]
    assert pins.get(made[0].cid) is None and pins.count() == 24


V0 = CID.of(b"node", DAG_PB, version=0)
V1 = V0.to_v1()


async def test_one_node_pinned_as_version_0_and_1_is_two_pins(state):
    pins = Pins(state)
    await pins.add(Pin(V0, True, "old"))
    await pins.add(Pin(V1, True, "new"))
    assert [(pin.cid, pin.name) for pin in pins.every()] == [(V1, "new"), (V0, "old")]
    assert await pins.remove([V1]) == [True]
    assert pins.get(V1) is None and pins.get(V0) == Pin(V0, True, "old")
    assert await pins.remove([V1]) == [False] and pins.count() == 1


async def put_as_older_versions_did(state, *pins):
    await state.apply(*(Put(StateTable.PINS, pin.cid.to_v1().encode(), encode_pin(pin)) for pin in pins))


async def test_pins_of_older_repositories_are_found_and_listed_by_the_page(state):
    pins = Pins(state)
    older = [Pin(CID.of(bytes([n]), DAG_PB, version=n % 2), True, str(n)) for n in range(20)]
    await put_as_older_versions_did(state, *older)
    listed, after = [], b""
    while page := pins.page(after, 3):
        listed += page
        after = page[-1].cursor
    assert (
        sorted(listed, key=lambda pin: pin.cid)
        == sorted(older, key=lambda pin: pin.cid)
        == sorted(pins.every(), key=lambda pin: pin.cid)
    )
    for pin in older:
        assert pins.get(pin.cid) == pin
        assert pins.get(CID(1 - pin.cid.version, DAG_PB, pin.cid.multihash)) is None


@pytest.mark.parametrize("change", ["add the other", "add the same", "remove the other", "remove", "replace", "expire"])
async def test_a_pin_of_an_older_repository_is_neither_lost_nor_doubled_by_a_change(state, change):
    pins = Pins(state)
    older = Pin(V0, True, "older", expires=100.0)
    await put_as_older_versions_did(state, older)
    if change == "add the other":
        await pins.add(Pin(V1, True, "new"))
        assert list(pins.every()) == [Pin(V1, True, "new"), older]
    elif change == "add the same":
        await pins.add(Pin(V0, False, "again"))
        assert list(pins.every()) == [Pin(V0, False, "again")]
    elif change == "remove the other":
        assert await pins.remove([V1]) == [False] and list(pins.every()) == [older]
    elif change == "remove":
        assert await pins.remove([V0]) == [True] and pins.count() == 0
    elif change == "replace":
        await pins.replace(V0, Pin(V1, True, "new"), keep_old=False)
        assert list(pins.every()) == [Pin(V1, True, "new")]
    else:
        await pins.remove_expired(99.0, [V0, V1])
        assert list(pins.every()) == [older]
        await pins.remove_expired(100.0, [V0, V1])
        assert pins.count() == 0


async def test_one_multihash_pinned_under_two_codecs_is_two_pins(state):
    pins = Pins(state)
    await pins.add(Pin(CID.of(b"x"), False), Pin(CID.of(b"x", DAG_PB), True))
    assert pins.count() == 2


async def test_a_pin_name_over_the_limit_is_refused(state):
    with pytest.raises(BadPinName, match=f"at most {MAX_NAME}"):
        await Pins(state).add(Pin(CID.of(b"x"), True, "é" * 128))
    with pytest.raises(BadPinName, match="not valid Unicode"):
        await Pins(state).add(Pin(CID.of(b"x"), True, "\udc80"))


async def test_a_provisional_root_lives_as_long_as_its_operation(state):
    roots = ProvisionalRoots(state, os.urandom)
    known, found = CID.of(b"known"), CID.of(b"found")
    async with roots.operation("get", [known], now=5.0, since_ordinal=7) as running:
        await running.protect(found)
        (seen,) = roots.under_way()
        assert (seen.kind, seen.started, seen.since_ordinal, seen.roots) == ("get", 5.0, 7, (known, found))
        assert roots.left_over() == []
    assert roots.under_way() == []


async def test_a_failed_operation_leaves_no_provisional_root(state):
    roots = ProvisionalRoots(state, os.urandom)
    with pytest.raises(ZeroDivisionError):
        async with roots.operation("add", now=0, since_ordinal=0):
            raise ZeroDivisionError
    assert roots.under_way() == roots.left_over() == []


def die_in_an_operation(path):
    import asyncio

    async def run():
        roots = ProvisionalRoots(State.open(path), os.urandom)
        async with roots.operation("add", [CID.of(b"half")], now=1.0, since_ordinal=0):
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(run())


async def test_operations_of_a_dead_process_are_listed_until_discarded(tmp_path):
    child = multiprocessing.get_context("spawn").Process(target=die_in_an_operation, args=(tmp_path,))
    child.start()
    child.join()
    child.close()
    state = State.open(tmp_path)
    roots = ProvisionalRoots(state, os.urandom)
    left = roots.left_over()
    assert [(found.kind, found.roots) for found in left] == [("add", (CID.of(b"half"),))]
    await roots.discard(left)
    assert roots.left_over() == []
    state.close()


async def test_a_damaged_state_is_refused_with_what_to_do_after_an_unclean_stop(tmp_path):
    path = tmp_path / "meta" / "state"
    state = State.open(path)
    await Pins(state).add(*(Pin(CID.of(bytes([n])), True) for n in range(200)))
    state.close()
    raw = bytearray((path / "data.mdb").read_bytes())
    for page in range(2, len(raw) // 4096):
        raw[page * 4096 + 10] ^= 0xFF
    (path / "data.mdb").write_bytes(raw)
    (path / "in-use").touch()
    with pytest.raises(DatabaseDamaged, match="restore meta/state from a backup"):
        State.open(path)
