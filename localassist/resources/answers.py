"""Requests that may be sent twice: under one `Idempotency-Key` a thing is made once, and its answer is given again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from localassist import clock
from localassist.errors import BadRequestError
from localassist.jobs import Heartbeat
from localassist.store import answers as rows
from localassist.store.answers import Kept
from localassist.store.database import Database

_KEPT_S: Final = 86_400.0
_LEASE_S: Final = 15.0
_ASK_EVERY_S: Final = 0.1


class Turn:
    """The right to answer a request: exactly one of its copies has it."""

    def __init__(self) -> None:
        self.answer: tuple[int, str] | None = None
        """Status and body, to be set by who answers; what is not set is not kept."""


class Answers:
    """The answers of a day, by their keys."""

    def __init__(self, *, db: Database, lease_s: float = _LEASE_S, ask_every_s: float = _ASK_EVERY_S) -> None:
        self._db = db
        self._lease_s = lease_s
        self._ask_every_s = ask_every_s

    @asynccontextmanager
    async def first(self, key: str, request: str) -> AsyncIterator[Turn | Kept]:
        """Give the first answer to a request, or the turn to make it; waits while another copy is being answered.

        Args:
            key: the client's name of the request.
            request: tells whether it is the same request.

        Raises:
            BadRequestError: the key was used for another request.
        """
        while (kept := await self._claim(key, request)) is not None:
            if kept.request != request:
                raise BadRequestError(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                    f"Use another key than {key!r} for another request.",
                    code="idempotency_key_reused",
                )
            if kept.status is not None:
                yield kept
                return
            await asyncio.sleep(self._ask_every_s)
        turn = Turn()
        try:
            async with Heartbeat(lambda: self._renew(key), self._lease_s / 3):
                yield turn
        finally:
            await self._end(key, turn)

    async def sweep(self) -> None:
        """Forget the answers of the day before. Call it now and then."""
        await self._db.write(lambda conn: rows.delete_before(conn, clock.now() - _KEPT_S))

    async def _claim(self, key: str, request: str) -> Kept | None:
        return await self._db.write(lambda conn: rows.claim(conn, key, request, now=clock.now(), lease_s=self._lease_s))

    async def _renew(self, key: str) -> bool:
        await self._db.write(lambda conn: rows.renew(conn, key, clock.now()))
        return True

    async def _end(self, key: str, turn: Turn) -> None:
        if turn.answer is None:
            await self._db.write(lambda conn: rows.release(conn, key))
            return
        status, body = turn.answer
        await self._db.write(lambda conn: rows.finish(conn, key, status=status, body=body))
