"""Jobs on record, and pins in the background, over a real store and state with the clock as a number."""

import asyncio
import os
import resource
from contextlib import asynccontextmanager

import pytest

from cidery.core.api import Api
from cidery.core.jobs import JobCancelled
from cidery.core.keeping.pin_queue import (
    FIRST_PAUSE,
    GIVE_UP,
    LONGEST_PAUSE,
    PinQueue,
    PinRequest,
    pause_after,
    status_word,
)
from cidery.core.reading.content_path import ContentPath
from cidery.core.session import StoreSession
from cidery.disk.lmdb_environment import DatabaseUnavailable
from cidery.repo.jobs import INTERRUPTED_LIFE, MAX_ENDED, MAX_INTERRUPTED, Job, Jobs, JobState, NoSuchJob
from gc_repo import Repo, leaf, node


@pytest.fixture
async def repo(tmp_path):
    opened = Repo(tmp_path)
    yield opened
    await opened.close()


class Node:
    """What the queue needs of a node: an offline one whose clock is the repository's."""

    def __init__(self, repo):
        self._repo = repo
        self.stuck: set = set()
        """Roots whose sessions never answer."""
        self.pins, self.store = repo.pins, repo.store
        self.waits: asyncio.Queue[float] = asyncio.Queue()
        self._waked = asyncio.Event()

    def clock(self):
        return self._repo.now

    @asynccontextmanager
    async def session(self, *, kept=False, name=""):
        stuck = self.stuck

        class Session(StoreSession):
            async def get(self, cid):
                if cid in stuck:
                    await asyncio.Event().wait()
                return await super().get(cid)

        yield Session(self._repo.store)

    async def keep(self, cids, session):
        await Api.keep(self, cids, session)

    async def sleep(self, seconds):
        """Nothing passes until advance()."""
        if seconds:
            self.waits.put_nowait(seconds)
            await self._waked.wait()

    def advance(self, seconds):
        self._repo.now += seconds
        waked, self._waked = self._waked, asyncio.Event()
        waked.set()


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def queue_of(repo):
    return PinQueue(repo.jobs, lambda: 0.5)


def state_of(repo, number):
    return repo.jobs.get(number).state


# -- pins in the background ------------------------------------------------------------------------------------------


async def test_a_pin_is_tried_again_with_growing_pauses_until_its_blocks_come(repo):
    tree = node(leaf(1), leaf(2))
    queue, own = queue_of(repo), Node(repo)
    (job,) = await queue.add([PinRequest(ContentPath(tree.cid), name="later")])
    assert status_word(job) == "queued"
    async with queue.working(own, own.sleep):
        pauses = []
        for attempt in range(1, 5):
            pauses.append(await own.waits.get())
            waiting = repo.jobs.get(job.id)
            assert waiting.state is JobState.QUEUED and waiting.attempts == attempt
            assert "not stored here" in waiting.error and waiting.next_try == repo.now + pauses[-1]
            own.advance(pauses[-1])
        assert pauses == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4, FIRST_PAUSE * 8]
        await own.waits.get()
        await repo.put(tree, leaf(1), leaf(2))
        own.advance(LONGEST_PAUSE)
        await until(lambda: state_of(repo, job.id) is JobState.DONE)
    done = repo.jobs.get(job.id)
    assert status_word(done) == "pinned" and done.blocks == 3 and not done.error
    assert repo.pins.get(tree.cid).name == "later"


async def test_a_job_that_ends_while_all_are_listed_is_listed_once(repo):
    queue, own = queue_of(repo), Node(repo)
    await repo.put(leaf(1))
    (job,) = await queue.add([PinRequest(ContentPath(leaf(1).cid))])
    listing = repo.jobs.jobs.every("pin")
    assert next(listing).id == job.id
    async with queue.working(own, own.sleep):
        await until(lambda: state_of(repo, job.id) is JobState.DONE)
    assert list(listing) == [] and [one.state for one in repo.jobs.jobs.every("pin")] == [JobState.DONE]


async def test_pauses_have_a_longest_and_are_spread():
    assert pause_after(1, 0.0) == FIRST_PAUSE * 0.75 and pause_after(1, 1.0) == FIRST_PAUSE * 1.25
    assert pause_after(60, 0.5) == LONGEST_PAUSE


async def test_a_new_block_starts_the_pauses_anew_and_none_for_long_fails(repo):
    tree = node(leaf(1), leaf(2))
    queue, own = queue_of(repo), Node(repo)
    (job,) = await queue.add([PinRequest(ContentPath(tree.cid))])
    async with queue.working(own, own.sleep):
        for _ in range(3):
            own.advance(await own.waits.get())
        await own.waits.get()
        await repo.put(tree)
        await repo.put(leaf(1))
        own.advance(LONGEST_PAUSE)
        assert await own.waits.get() == FIRST_PAUSE
        own.advance(GIVE_UP)
        await until(lambda: state_of(repo, job.id) is JobState.FAILED)
        assert status_word(repo.jobs.get(job.id)) == "failed"
        await repo.put(leaf(2))
        await queue.retry(job.id)
        await until(lambda: state_of(repo, job.id) is JobState.DONE)


async def test_a_pin_that_hangs_holds_nobody_up(repo):
    hanging, other = node(leaf(1)), node(leaf(2))
    await repo.put(other, leaf(2))
    queue, own = queue_of(repo), Node(repo)
    own.stuck = {hanging.cid}
    first, second = await queue.add([PinRequest(ContentPath(one.cid)) for one in (hanging, other)])
    async with queue.working(own, own.sleep):
        await until(lambda: state_of(repo, second.id) is JobState.DONE)
        assert repo.jobs.get(first.id).state is JobState.RUNNING
        ended = await repo.jobs.remove(first.id)
        assert ended.state is JobState.FAILED and ended.error == "cancelled"
    assert repo.pins.get(hanging.cid) is None


async def test_what_no_retry_can_mend_fails_at_once(repo):
    await repo.put(leaf(1))
    queue, own = queue_of(repo), Node(repo)
    (job,) = await queue.add([PinRequest(ContentPath(leaf(1).cid, ("below",)))])
    async with queue.working(own, own.sleep):
        await until(lambda: state_of(repo, job.id) is JobState.FAILED)
    assert repo.jobs.get(job.id).attempts == 1


async def test_the_queue_outlives_its_process_and_its_roots_are_spared(tmp_path):
    tree = node(leaf(1), leaf(2))
    first = Repo(tmp_path)
    queue, own = queue_of(first), Node(first)
    await first.put(tree, leaf(1), leaf(9))
    (job,) = await queue.add([PinRequest(ContentPath(tree.cid))])
    async with queue.working(own, own.sleep):
        await own.waits.get()
    await first.close()
    second = Repo(tmp_path)
    await second.collect()
    assert second.has(tree) and second.has(leaf(1)) and not second.has(leaf(9))
    await second.put(leaf(2))
    queue, own = queue_of(second), Node(second)
    second.now += LONGEST_PAUSE
    async with queue.working(own, own.sleep):
        await until(lambda: state_of(second, job.id) is JobState.DONE)
    assert second.pins.get(tree.cid).recursive
    await second.close()


async def test_the_same_pin_is_queued_once_with_the_last_name(repo):
    queue = queue_of(repo)
    (one,) = await queue.add([PinRequest(ContentPath(leaf(1).cid), name="a")])
    (two,) = await queue.add([PinRequest(ContentPath(leaf(1).cid), name="b")])
    assert one.id == two.id and repo.jobs.get(one.id).detail["name"] == "b"
    (other,) = await queue.add([PinRequest(ContentPath(leaf(1).cid), recursive=False)])
    assert other.id != one.id


# -- rows ------------------------------------------------------------------------------------------------------------


async def die(repo, *, key="k", kind="add", stored=()):
    """A job of a process that died after it had stored something: nobody ended its row."""
    dead = Jobs(repo.state, os.urandom, 1)
    job = Job(0, kind, "something", JobState.RUNNING, repo.now, repo.now, key, since_ordinal=repo.store.next_ordinal)
    written = await repo.state.update(lambda txn: dead.begin(txn, job))
    await repo.put(*stored)
    return written


async def test_a_job_whose_process_died_is_interrupted_and_gone_on_with_by_its_key(repo):
    dead = await die(repo)
    assert repo.jobs.get(dead.id).state is JobState.INTERRUPTED
    async with repo.jobs.run("add", "another", key="other") as run:
        assert run.job.id != dead.id and not run.resumed
    async with repo.jobs.run("add", "something", key="k") as run:
        assert run.job.id == dead.id and run.resumed and run.job.started == dead.started
    assert [job.state for job in repo.jobs.every()] == [JobState.DONE, JobState.DONE]


async def test_what_an_interrupted_job_stored_is_spared_until_it_is_removed(repo):
    await repo.put(leaf(1))
    dead = await die(repo, stored=[leaf(2)])
    await repo.collect()
    assert not repo.has(leaf(1)) and repo.has(leaf(2))
    await repo.jobs.remove(dead.id)
    await repo.collect()
    assert not repo.has(leaf(2))
    with pytest.raises(NoSuchJob, match="see: cidery jobs"):
        repo.jobs.get(dead.id)


async def test_a_job_that_nobody_goes_on_with_is_given_up_after_a_week(repo):
    dead = await die(repo, stored=[leaf(2)])
    journal = repo.jobs.journal(dead.id)
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"x")
    repo.now += INTERRUPTED_LIFE
    await repo.collect()
    assert repo.has(leaf(2))
    repo.now += 1
    await repo.collect()
    assert not repo.has(leaf(2)) and not journal.exists()
    assert repo.jobs.get(dead.id).state is JobState.FAILED
    assert "given up" in repo.jobs.get(dead.id).error


async def test_an_operation_that_was_stopped_early_is_not_kept_but_a_long_one_is(repo):
    for seconds, state in ((1, JobState.FAILED), (10, JobState.INTERRUPTED)):
        with pytest.raises(ZeroDivisionError):
            async with repo.jobs.run("add", "x", key="x") as run:
                repo.now += seconds
                raise ZeroDivisionError
        assert repo.jobs.get(run.job.id).state is state


async def test_what_a_stream_stored_is_free_to_go_when_it_was_cut_off_since_nobody_can_go_on_with_it(repo):
    dead = await die(repo, key="", stored=[leaf(2)])
    assert repo.jobs.get(dead.id).state is JobState.FAILED
    with pytest.raises(ZeroDivisionError):
        async with repo.jobs.run("add", "a stream") as run:
            repo.now += 1000
            raise ZeroDivisionError
    assert repo.jobs.get(run.job.id).state is JobState.FAILED
    await repo.collect()
    assert not repo.has(leaf(2))
    assert [job.state for job in repo.jobs.every("add", ended=False)] == []
    assert "its process ended" in repo.jobs.get(dead.id).error


async def test_a_removed_job_ends_with_an_error_that_says_so(repo):
    begun = asyncio.Event()

    async def work():
        async with repo.jobs.run("import", "x") as run:
            begun.set()
            repo.number = run.job.id
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    await repo.jobs.remove(repo.number)
    with pytest.raises(JobCancelled, match=f"job {repo.number} was cancelled"):
        await task


async def test_the_history_and_what_was_interrupted_are_bounded(repo):
    for _ in range(MAX_ENDED + 10):
        async with repo.jobs.run("gc", "x", protect=False):
            pass
    ended = repo.jobs.every("gc")
    assert len(ended) == MAX_ENDED and ended[-1].id == MAX_ENDED + 10
    for number in range(MAX_INTERRUPTED + 5):
        repo.now += 1
        await die(repo, key=f"k{number}")
    left = [job for job in repo.jobs.every("add") if job.state is JobState.INTERRUPTED]
    assert len(left) == MAX_INTERRUPTED and left[0].key == "k5"


async def test_counters_are_on_disk_within_seconds(repo):
    async with repo.jobs.run("add", "x") as run:
        run.files, run.bytes = 3, 5
        run.tick()
        assert repo.jobs.jobs.get(run.job.id).files == 0
        repo.now += 3
        run.tick()
        await until(lambda: repo.jobs.jobs.get(run.job.id).files == 3)
    assert repo.jobs.get(run.job.id).bytes == 5


async def test_a_full_disk_refuses_new_jobs_and_stops_none_that_runs(repo):
    queue = queue_of(repo)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    (kept,) = await queue.add([PinRequest(ContentPath(leaf(0).cid))])
    async with repo.jobs.run("import", "x") as run:
        size = (repo.path / "meta" / "state" / "data.mdb").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(DatabaseUnavailable, match="free space"):
                for start in range(0, 100_000, 100):
                    numbers = range(start, start + 100)
                    await queue.add([PinRequest(ContentPath(leaf(n).cid), name="n" * 200) for n in numbers])
            run.bytes = 7
            repo.now += 3
            run.tick()  # written or not: the work goes on
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert repo.jobs.get(kept.id).state is JobState.QUEUED
    ended = repo.jobs.get(run.last.id)
    assert (ended.bytes, ended.state) == (7, JobState.DONE)
