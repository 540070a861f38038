import asyncio
from collections.abc import Callable

import pytest

from localassist.errors import InternalServerError
from localassist.jobs import Heartbeat, Workers
from localassist.store.jobs import LostLease

NEVER = 3600.0
"""Seconds between polls, so that a test that only passes by polling hangs instead."""


class Queue:
    """A queue in memory, and what became of its jobs."""

    def __init__(self, *jobs: str) -> None:
        self.waiting = list(jobs)
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.claims = 0
        self.at_once = 0
        self.most_at_once = 0
        self.may_end = asyncio.Event()
        self.changed = asyncio.Condition()

    async def claim(self) -> str | None:
        self.claims += 1
        await self._tell()
        return self.waiting.pop(0) if self.waiting else None

    async def work(self, job: str) -> None:
        self.begun.append(job)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await self._tell()
        try:
            if job == "bad":
                raise RuntimeError("a job with a fault")
            if job == "lost":
                raise LostLease("another worker has it")
            await self.may_end.wait()
            self.ended.append(job)
        finally:
            self.at_once -= 1
            await self._tell()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


async def test_jobs_that_wait_are_carried_out_at_most_so_many_at_once() -> None:
    queue = Queue(*"abcde")
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=2, poll_s=NEVER)

    workers.start()
    await queue.until(lambda: queue.at_once == 2)
    assert queue.waiting == ["c", "d", "e"]  # a job is not claimed before somebody is free to do it
    queue.may_end.set()
    await queue.until(lambda: len(queue.ended) == 5)
    await workers.stop()

    assert (queue.begun, queue.most_at_once) == (list("abcde"), 2)


async def test_a_woken_pool_finds_the_new_job_and_an_idle_one_does_not_ask() -> None:
    queue = Queue()
    queue.may_end.set()
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=2, poll_s=NEVER)

    workers.start()
    await queue.until(lambda: queue.claims == 1)
    queue.waiting.append("a")
    workers.wake()
    await queue.until(lambda: queue.ended == ["a"] and queue.claims == 3)
    await workers.stop()


async def test_a_job_that_was_told_of_begins_before_the_pool_asks_for_another() -> None:
    queue = Queue("told", "left behind by others")
    asked_when_begun: list[int] = []

    async def work(job: str) -> None:
        asked_when_begun.append(queue.claims)
        await queue.work(job)

    queue.may_end.set()
    workers = Workers("test", claim=queue.claim, work=work, concurrency=2, poll_s=NEVER)
    workers.wake()
    workers.start()
    await queue.until(lambda: len(queue.ended) == 2)
    await workers.stop()

    assert asked_when_begun[0] == 1  # a pool that asks again at once would have asked twice by then


async def test_a_job_that_is_queued_while_the_pool_asks_is_not_missed() -> None:
    queue = Queue()
    queue.may_end.set()
    first = True

    async def claim() -> str | None:
        nonlocal first
        found = await queue.claim()
        if first:  # the answer "nothing" is on its way when the job is committed
            first = False
            queue.waiting.append("a")
            workers.wake()
        return found

    workers = Workers("test", claim=claim, work=queue.work, concurrency=1, poll_s=NEVER)
    workers.start()
    await queue.until(lambda: queue.ended == ["a"])
    await workers.stop()


async def test_jobs_of_other_processes_are_found_by_polling() -> None:
    queue = Queue()
    queue.may_end.set()
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=1, poll_s=0.001)

    workers.start()
    await queue.until(lambda: queue.claims > 2)
    queue.waiting.append("a")
    await queue.until(lambda: queue.ended == ["a"])
    await workers.stop()


async def test_a_worker_lives_on_after_a_job_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue("bad", "lost", "good")
    queue.may_end.set()
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=1, poll_s=NEVER)

    workers.start()
    await queue.until(lambda: queue.ended == ["good"])
    await workers.stop()

    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "test: a job failed in a way that its work does not expect."
    ]
    assert "a job with a fault" in caplog.text


async def test_a_pool_lives_on_when_asking_fails(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue("a")
    queue.may_end.set()
    failures = [InternalServerError("the database is away")]

    async def claim() -> str | None:
        if failures:
            raise failures.pop()
        return await queue.claim()

    workers = Workers("test", claim=claim, work=queue.work, concurrency=1, poll_s=0.001)
    workers.start()
    await queue.until(lambda: queue.ended == ["a"])
    await workers.stop()

    assert "the database is away" in caplog.text


async def test_stopping_lets_a_job_finish_within_the_grace() -> None:
    queue = Queue("a", "b")
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=1, poll_s=NEVER)
    workers.start()
    await queue.until(lambda: queue.at_once == 1)

    stopping = asyncio.create_task(workers.stop(grace_s=NEVER))
    queue.may_end.set()
    await stopping

    assert (queue.ended, queue.waiting) == (["a"], ["b"])


async def test_stopping_cancels_what_does_not_finish() -> None:
    queue = Queue("a")
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=1, poll_s=NEVER)
    workers.start()
    await queue.until(lambda: queue.at_once == 1)

    await workers.stop(grace_s=0.001)

    assert (queue.at_once, queue.ended) == (0, [])


async def test_a_pool_of_none_claims_nothing() -> None:
    queue = Queue("a")
    workers = Workers("test", claim=queue.claim, work=queue.work, concurrency=0, poll_s=NEVER)

    workers.start()
    workers.wake()
    await workers.stop()

    assert (queue.claims, queue.waiting) == (0, ["a"])


async def test_a_heartbeat_renews_and_tells_the_status() -> None:
    statuses = iter(["in_progress", "cancelling", "cancelling"])
    cancelling = asyncio.Event()

    async def renew() -> str | None:
        return next(statuses, "cancelling")

    def on_status(status: str) -> None:
        if status == "cancelling":
            cancelling.set()

    async with asyncio.timeout(10), Heartbeat(renew, 0.001, on_status=on_status) as heartbeat:
        await cancelling.wait()

    assert not heartbeat.lost.is_set()


@pytest.mark.parametrize("answer", [None, False])
async def test_work_ends_when_its_lease_is_lost(answer: bool | None) -> None:
    async def renew() -> bool | None:
        return answer

    heartbeat = Heartbeat(renew, 0.001)
    with pytest.raises(LostLease):
        async with asyncio.timeout(10), heartbeat:
            await asyncio.Event().wait()

    assert heartbeat.lost.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # the rest of the task is not cancelled along with the work


async def test_a_database_that_fails_for_a_while_does_not_end_the_work() -> None:
    answers: list[object] = [InternalServerError("away"), InternalServerError("away"), True]
    renewed = asyncio.Event()

    async def renew() -> bool | None:
        answer = answers.pop(0) if answers else True
        if isinstance(answer, Exception):
            raise answer
        return True

    async with asyncio.timeout(10), Heartbeat(renew, 0.001, on_status=lambda _: renewed.set()) as heartbeat:
        await renewed.wait()

    assert not heartbeat.lost.is_set()


async def test_a_fault_in_renewing_ends_the_work_and_is_named() -> None:
    async def renew() -> bool | None:
        raise RuntimeError("a fault")

    with pytest.raises(LostLease) as caught:
        async with asyncio.timeout(10), Heartbeat(renew, 0.001):
            await asyncio.Event().wait()

    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_the_works_own_error_comes_through() -> None:
    async def renew() -> bool | None:
        return True

    with pytest.raises(KeyError):
        async with Heartbeat(renew, NEVER):
            raise KeyError("the work's own")


async def test_who_cancels_the_work_from_outside_is_obeyed() -> None:
    begun = asyncio.Event()

    async def renew() -> bool | None:
        return True

    async def work() -> None:
        async with Heartbeat(renew, NEVER):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
