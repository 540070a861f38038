"""The run's event log: written once, followed from any point and from any process.

Events are rows; `seq` counts from 1 within a run, without a gap. Whoever holds the run is its only writer: the worker
that claimed it, or, while nobody has, the operation that changes it. An event that tells of a state is committed with
that state before anyone is shown it: an SDK's event handler answers from inside `thread.run.requires_action`. Deltas
are shown at once and written in batches.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from localassist.errors import LocalAssistError
from localassist.store import events as rows
from localassist.store.database import Connection, Database
from localassist.store.jobs import Fence
from localassist.types.event import END_OF_STREAM, EventName

logger = logging.getLogger(__name__)

_FLUSH_EVERY_S = 0.5
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its place in the run's log, its name, and its payload as JSON text."""

    seq: int
    name: str
    data: str


def event(name: EventName, payload: Mapping[str, Any]) -> tuple[str, str]:
    """Encode an event for the log."""
    return name, orjson.dumps(payload).decode()


@dataclass(slots=True)
class _Live:
    """The newest events of a run that this process carries out, from `first_seq` on."""

    first_seq: int
    events: list[Event] = field(default_factory=list)

    @property
    def next_seq(self) -> int:
        return self.first_seq + len(self.events)


class EventLog:
    """All runs' logs, as one process sees them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._live: dict[str, _Live] = {}
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, run_id: str) -> None:
        """Wake those who follow the run; call it after its events were committed, on the engine's loop."""
        for watcher in self._watchers.get(run_id, ()):
            watcher.set()

    async def follow(self, run_id: str, *, after: int = 0) -> AsyncIterator[Sequence[Event]]:
        """Yield the events behind `after` as they come, several at once where several are ready.

        Ends behind the event that ends a stream: the run is terminal, or waits for the client. A slow reader holds up
        nobody, and one that goes away ends nothing.
        """
        woken = asyncio.Event()
        self._watchers[run_id].add(woken)
        try:
            while True:
                woken.clear()
                batch, ended = _until_end(await self._read(run_id, after))
                if batch:
                    after = batch[-1].seq
                    yield batch
                if ended:
                    return
                if batch and (len(batch) == rows.MOST_AT_ONCE or self._has_more(run_id, after)):
                    continue
                if not await self._told(run_id, woken) and not batch and not await self._exists(run_id):
                    return
        finally:
            self._watchers[run_id].discard(woken)
            if not self._watchers[run_id]:
                del self._watchers[run_id]

    async def writer(self, run_id: str, fence: Fence, *, last: int | None = None) -> "EventWriter":
        """Take over the log of a run that was claimed under `fence`; `last` is the number of its newest event."""
        if last is None:
            last = await self._db.read(lambda conn: rows.last_seq(conn, run_id))
        live = _Live(last + 1)
        self._live[run_id] = live
        return EventWriter(self, self._db, run_id, fence, live)

    def release(self, run_id: str, live: _Live) -> None:
        """Forget what is in memory of a run; its rows remain."""
        if self._live.get(run_id) is live:
            del self._live[run_id]
        self.notify(run_id)

    async def _read(self, run_id: str, after: int) -> Sequence[Event]:
        live = self._live.get(run_id)
        if live is not None and after + 1 >= live.first_seq:
            return live.events[after + 1 - live.first_seq :]
        stored = await self._db.read(lambda conn: rows.after(conn, run_id, after))
        return [Event(row.seq, row.name, row.data) for row in stored]

    def _has_more(self, run_id: str, after: int) -> bool:
        live = self._live.get(run_id)
        return live is not None and live.next_seq > after + 1

    async def _told(self, run_id: str, woken: asyncio.Event) -> bool:
        """Wait until there may be more; False when it is only time to look what other processes have written."""
        if run_id in self._live:  # whoever carries it out here wakes us, also when it lets go of it
            return await woken.wait()
        return await _wait(woken, _POLL_S)

    async def _exists(self, run_id: str) -> bool:
        return await self._db.read(lambda conn: rows.last_seq(conn, run_id)) > 0


class EventWriter:
    """The one writer of a run's log while the run is claimed."""

    def __init__(self, log: EventLog, db: Database, run_id: str, fence: Fence, live: _Live) -> None:
        self._log = log
        self._db = db
        self._run_id = run_id
        self._fence = fence
        self._live = live
        self._written = live.first_seq - 1
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._flush_at = self._loop.time() + _FLUSH_EVERY_S
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.Task[None] | None = None

    def show(self, name: EventName, payload: Mapping[str, Any]) -> None:
        """Show a delta at once; it is written soon, also when nothing comes behind it, or with the next commit."""
        self._append([event(name, payload)])
        if self._timer is None and self._flush is None:
            self._timer = self._loop.call_at(self._flush_at, self._begin_flush)

    async def commit(
        self, events: Sequence[tuple[str, str]], change: Callable[[Connection], None] | None = None
    ) -> None:
        """Write `change` and `events` in one transaction, then show the events.

        Raises:
            LostLease: another worker holds the run by now; nothing was written.
        """
        async with self._lock:
            pending = self._live.events[self._written + 1 - self._live.first_seq :]
            unwritten = [(e.name, e.data) for e in pending] + list(events)
            first_seq, fence, run_id = self._written + 1, self._fence, self._run_id

            def write(conn: Connection) -> None:
                if unwritten:
                    rows.append(conn, run_id, first_seq, unwritten, attempt=fence.attempt, fence=fence)
                if change is not None:
                    change(conn)

            await self._db.write(write)
            # Deltas shown while the transaction ran would stand before these events: there are none, because the one
            # task that shows deltas is the one that waits here.
            self._append(events)
            self._written = first_seq - 1 + len(unwritten)
            self._flush_at = self._loop.time() + _FLUSH_EVERY_S

    async def close(self) -> None:
        """Let go of the log, its flush included."""
        if self._timer is not None:
            self._timer.cancel()
        if self._flush is not None:
            await asyncio.gather(self._flush, return_exceptions=True)
        self._log.release(self._run_id, self._live)

    def _append(self, events: Sequence[tuple[str, str]]) -> None:
        if events:
            seq = self._live.next_seq
            self._live.events.extend(Event(seq + n, name, data) for n, (name, data) in enumerate(events))
            self._log.notify(self._run_id)

    def _begin_flush(self) -> None:
        self._timer = None
        self._flush = asyncio.create_task(self._flush_quietly())

    async def _flush_quietly(self) -> None:
        try:
            async with self._lock:
                first_seq = self._written + 1
                pending = self._live.events[first_seq - self._live.first_seq :]
                unwritten = [(e.name, e.data) for e in pending]
                fence, run_id = self._fence, self._run_id
                if unwritten:
                    await self._db.write(
                        lambda conn: rows.append(conn, run_id, first_seq, unwritten, attempt=fence.attempt, fence=fence)
                    )
                self._written = first_seq - 1 + len(unwritten)
        except LocalAssistError as error:  # the next commit tries again, or finds the lease lost as well
            logger.info("Deltas not written yet: %s", error, extra={"action": "flush_failed", "run_id": self._run_id})
        finally:
            self._flush_at = self._loop.time() + _FLUSH_EVERY_S
            self._flush = None


def _until_end(batch: Sequence[Event]) -> tuple[Sequence[Event], bool]:
    for n, each in enumerate(batch, start=1):
        if each.name in END_OF_STREAM:
            return batch[:n], True
    return batch, False


async def _wait(woken: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await woken.wait()
    except TimeoutError:
        return False
    return True
