"""Answers under their keys: made once, given again, forgotten after a day."""

import asyncio

import pytest

from localassist import clock
from localassist.errors import BadRequestError
from localassist.resources import Answers
from localassist.resources.answers import Turn
from localassist.store.answers import Kept, claim
from localassist.store.database import Database


@pytest.fixture
def answers(database: Database) -> Answers:
    return Answers(db=database, ask_every_s=0.001)


async def answered(answers: Answers, key: str, request: str, body: str | None = "{}") -> Kept | None:
    """What was there; None when the turn was ours, and `body` was the answer."""
    async with answers.first(key, request) as found:
        if not isinstance(found, Turn):
            return found
        found.answer = None if body is None else (200, body)
        return None


async def test_the_first_answer_is_given_again_for_a_day(answers: Answers) -> None:
    with clock.frozen(lambda: 1000):
        assert await answered(answers, "k", "r", "first") is None
        assert await answered(answers, "k", "r", "second") == Kept("r", 200, "first")
    with clock.frozen(lambda: 1000 + 86_400):
        await answers.sweep()
        assert await answered(answers, "k", "r") == Kept("r", 200, "first")
    with clock.frozen(lambda: 1001 + 86_400):
        await answers.sweep()
        assert await answered(answers, "k", "r") is None


async def test_a_key_belongs_to_one_request(answers: Answers) -> None:
    await answered(answers, "k", "r")

    with pytest.raises(BadRequestError, match="same parameters"):
        await answered(answers, "k", "another")
    assert await answered(answers, "other", "another") is None


async def test_what_is_not_kept_and_what_fails_may_be_tried_again(answers: Answers) -> None:
    assert await answered(answers, "k", "r", None) is None
    with pytest.raises(ZeroDivisionError):
        async with answers.first("k", "r"):
            raise ZeroDivisionError
    assert await answered(answers, "k", "another request, for the key is free") is None


async def test_a_copy_waits_for_the_first_to_be_answered(answers: Answers) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        async with answers.first("k", "r") as found:
            assert isinstance(found, Turn)
            began.set()
            await go_on.wait()
            found.answer = (200, "slow")

    first = asyncio.create_task(slowly())
    await began.wait()
    copies = [asyncio.create_task(answered(answers, "k", "r")) for _ in range(3)]
    done, _ = await asyncio.wait(copies, timeout=0.05)
    assert not done
    go_on.set()
    await first

    assert await asyncio.gather(*copies) == [Kept("r", 200, "slow")] * 3


async def test_the_claim_of_a_process_that_died_is_taken_over(answers: Answers, database: Database) -> None:
    with clock.frozen(lambda: 1000):
        await database.write(lambda conn: claim(conn, "k", "r", now=clock.now(), lease_s=15))
    with clock.frozen(lambda: 1014.9):
        kept = await database.write(lambda conn: claim(conn, "k", "r", now=clock.now(), lease_s=15))
        assert kept == Kept("r", None, None)
    with clock.frozen(lambda: 1015):
        assert await answered(answers, "k", "r") is None
