"""Workers: they claim jobs from a queue, keep them while they work, and live on whatever a job does.

Runs and files to be indexed are jobs. The queue itself is the database's (`store.jobs`); here is what one process does
with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from localassist.errors import InternalServerError
from localassist.store.jobs import LostLease

_log = logging.getLogger(__name__)

_SOON_S = 0.05

JobT = TypeVar("JobT")
StatusT = TypeVar("StatusT")


class Workers(Generic[JobT]):
    """A pool of workers on one queue.

    One task asks for jobs on behalf of all of them: when a job was queued here (`wake`), when a worker has become free
    and there may be more, and now and then, for jobs that other processes queued or left behind.
    """

    def __init__(
        self,
        name: str,
        *,
        claim: Callable[[], Awaitable[JobT | None]],
        work: Callable[[JobT], Awaitable[None]],
        concurrency: int,
        poll_s: float = 1.0,
    ) -> None:
        """Make a pool; `start` sets it to work.

        Args:
            name: what the log calls it.
            claim: claims a job, or gives None when there is none.
            work: carries a job out; when it is cancelled, it gives the job back or leaves it to its lease.
            concurrency: how many jobs may be carried out at once; 0 leaves all of them to other processes.
            poll_s: seconds after which the queue is looked at without being woken.
        """
        self._name = name
        self._claim = claim
        self._work = work
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._woken = asyncio.Event()
        self._n_told = 0
        """Jobs that we were told of and have not claimed yet."""
        self._free = asyncio.Semaphore(concurrency)
        self._seems_last = False
        self._dispatcher: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Tell the pool that a job was committed; call it on the event loop of the pool."""
        self._n_told += 1
        self._woken.set()

    def start(self) -> None:
        """Begin to claim jobs; call it on the event loop."""
        if self._concurrency and self._dispatcher is None:
            self._dispatcher = asyncio.create_task(self._dispatch(), name=f"{self._name} dispatcher")

    async def stop(self, *, grace_s: float = 5.0) -> None:
        """Claim nothing more; let jobs finish for `grace_s` seconds, then cancel them and wait as long again."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.cancel()
            await asyncio.wait([dispatcher])
        if self._working:
            await asyncio.wait(self._working, timeout=grace_s)
        for task in self._working:
            task.cancel()
        if self._working:
            _, stuck = await asyncio.wait(self._working, timeout=grace_s)
            if stuck:
                _log.warning("%s: %d jobs did not end when told to; their leases will lapse.", self._name, len(stuck))

    async def _dispatch(self) -> None:
        while True:
            await self._free.acquire()
            try:
                job = await self._next()
            except BaseException:
                self._free.release()
                raise
            task = asyncio.create_task(self._carry_out(job), name=f"{self._name} worker")
            self._working.add(task)
            task.add_done_callback(self._done)

    async def _next(self) -> JobT:
        if self._seems_last:  # let the job that was just claimed begin before its database is asked again
            await _wait(self._woken, min(self._poll_s, _SOON_S))
        while True:
            self._woken.clear()
            n_told = self._n_told
            try:
                job = await self._claim()
            except Exception:  # noqa: BLE001 - the pool outlives a database that fails for a while
                _log.exception("%s: asking for a job failed; trying again.", self._name)
                job = None
            self._n_told -= n_told if job is None else min(n_told, 1)
            if job is not None:
                self._seems_last = bool(n_told) and not self._n_told
                return job
            await _wait(self._woken, self._poll_s)

    async def _carry_out(self, job: JobT) -> None:
        try:
            await self._work(job)
        except LostLease as lost:
            _log.info("%s: %s", self._name, lost)
        except Exception:  # noqa: BLE001 - a worker outlives its jobs; the lease brings the job back
            _log.exception("%s: a job failed in a way that its work does not expect.", self._name)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._free.release()


class Heartbeat(Generic[StatusT]):
    """Keeps a job's lease while the body of `async with` works on it.

    The body is cancelled when the lease is lost, and `LostLease` comes out of the block instead.
    """

    def __init__(
        self,
        renew: Callable[[], Awaitable[StatusT | None]],
        every_s: float,
        *,
        on_status: Callable[[StatusT], None] | None = None,
    ) -> None:
        """Make a heartbeat.

        Args:
            renew: renews the lease and gives the job's status; None or False when the lease is lost.
            every_s: seconds between two renewals; well below the lease.
            on_status: is called with the status after each renewal.
        """
        self.lost = asyncio.Event()
        self._renew = renew
        self._every_s = every_s
        self._on_status = on_status
        self._beating: asyncio.Task[None] | None = None
        self._body: asyncio.Task[object] | None = None

    async def __aenter__(self) -> Self:
        self._body = asyncio.current_task()
        self._beating = asyncio.create_task(self._beat(), name="heartbeat")
        self._beating.add_done_callback(self._stopped)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        beating, body = self._beating, self._body
        if beating is None or body is None:
            return
        failed_by_itself = beating.done()
        beating.cancel()
        await asyncio.wait([beating])
        if not (failed_by_itself and self.lost.is_set()):
            return
        others_cancel_too = body.uncancel() > 0
        if kind is asyncio.CancelledError and not others_cancel_too:
            cause = None if beating.cancelled() else beating.exception()
            raise LostLease("The lease of this job was lost.") from cause

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                status = await self._renew()
            except InternalServerError as error:
                _log.warning("A lease could not be renewed; trying again: %s", error)
                continue
            if status is None or status is False:
                return
            if self._on_status is not None:
                self._on_status(status)

    def _stopped(self, beating: asyncio.Task[None]) -> None:
        if not beating.cancelled() and self._body is not None:
            self.lost.set()
            self._body.cancel()


async def _wait(woken: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await woken.wait()
    except TimeoutError:
        pass  # time to look by oneself
