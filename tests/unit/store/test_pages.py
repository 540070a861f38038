import asyncio
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.errors import BadRequestError
from localassist.store import assistants, messages, threads
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from tests.unit.store.things import a_message, a_thread, an_assistant


class _UndoneError(Exception):
    """Ends a transaction without leaving anything."""


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "pages.db"
    db = Database.sqlite(path)
    db.migrate()
    asyncio.run(db.close())
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 9), limit=st.integers(1, 4), ascending=st.booleans(), deleting=st.booleans())
async def test_pages_make_up_the_list_and_going_back_gives_the_same_pages(
    shared_path: Path, n: int, limit: int, ascending: bool, deleting: bool
) -> None:
    thread = a_thread()
    order: Literal["asc", "desc"] = "asc" if ascending else "desc"

    def work(conn: Connection) -> None:
        threads.insert(conn, thread)
        threads.insert(conn, other := a_thread())
        ids = []
        for _ in range(n):
            messages.insert(conn, message := a_message(thread.id))
            messages.insert(conn, a_message(other.id))
            ids.append(message.id)
        expected = ids if ascending else ids[::-1]

        seen: list[str] = []
        while True:
            page = messages.list_page(conn, thread.id, PageQuery(limit, order, after=seen[-1] if seen else None))
            shown = [m.id for m in page.data]
            assert shown == expected[len(seen) : len(seen) + limit]
            assert (page.first_id, page.last_id) == ((shown[0], shown[-1]) if shown else (None, None))
            assert page.has_more == (len(seen) + len(shown) < n)
            if seen and shown and not deleting:
                back = messages.list_page(conn, thread.id, PageQuery(limit, order, before=shown[0]))
                assert [m.id for m in back.data] == seen[-limit:]
                assert back.has_more == (len(seen) > limit)
            seen += shown
            if deleting:
                for message_id in shown:
                    assert messages.delete(conn, thread.id, message_id)
            if not page.has_more:
                break
        assert seen == expected
        raise _UndoneError

    db = Database.sqlite(shared_path, readers=1)
    with pytest.raises(_UndoneError):
        await db.write(work)
    await db.close()


async def test_after_and_before_together_are_a_window(database: Database) -> None:
    made = [an_assistant() for _ in range(5)]

    def work(conn: Connection) -> None:
        for assistant in made:
            assistants.insert(conn, assistant)
        page = assistants.list_page(conn, PageQuery(2, "asc", after=made[0].id, before=made[4].id))
        assert (page.data, page.has_more) == (made[1:3], True)
        page = assistants.list_page(conn, PageQuery(9, "desc", after=made[4].id, before=made[0].id))
        assert (page.data, page.has_more) == (made[3:0:-1], False)

    await database.write(work)


@pytest.mark.parametrize("param", ["after", "before"])
async def test_a_cursor_of_another_list_is_refused(database: Database, param: str) -> None:
    thread, other = a_thread(), a_thread()
    foreign = a_message(other.id)

    def fill(conn: Connection) -> None:
        threads.insert(conn, thread)
        threads.insert(conn, other)
        messages.insert(conn, foreign)

    await database.write(fill)
    q = PageQuery(after=foreign.id) if param == "after" else PageQuery(before=foreign.id)
    with pytest.raises(BadRequestError, match=f"Invalid '{param}': no object of this list has the id") as caught:
        await database.read(lambda conn: messages.list_page(conn, thread.id, q))
    assert caught.value.param == param
