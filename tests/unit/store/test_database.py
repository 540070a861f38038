import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from localassist.errors import BadRequestError, ConfigurationError, InternalServerError
from localassist.store import assistants, messages, threads, versions
from localassist.store.database import Connection, Database, is_writing
from localassist.store.schema import metadata
from tests.unit.store.things import a_message, a_thread, an_assistant


async def test_the_migrations_lead_to_the_schema(database: Database) -> None:
    def differences(conn: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata))

    assert await database.read(differences) == []
    assert await database.read(versions.read) == versions.HEAD


async def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    code = f"from localassist.store.database import Database; Database({database_url!r}).migrate()"

    run = [asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True) for _ in range(4)]
    results = await asyncio.gather(*run)

    assert [(done.returncode, done.stderr) for done in results] == [(0, b"")] * 4
    db = Database(database_url)
    assert await db.read(versions.read) == versions.HEAD
    await db.close()


async def test_a_database_of_a_newer_version_is_refused_with_what_to_do(database: Database) -> None:
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))

    with pytest.raises(ConfigurationError, match=r"newer localassist \(schema 9999; .*pip install --upgrade"):
        database.migrate()


def test_a_database_that_is_up_to_date_loads_no_migrations(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    db = Database.sqlite(path)
    db.migrate()
    asyncio.run(db.close())
    code = (
        "import sys; from pathlib import Path; from localassist.store.database import Database\n"
        f"Database.sqlite(Path({str(path)!r})).migrate(); print('alembic' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense", "sqlite://", "sqlite:///:memory:"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Give postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH"):
        Database(url)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database("mysql://user:hunter2@host/name")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("This is a letter, not a database. " * 100, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"The database .*a\.db cannot be used: file is not a database"):
        Database.sqlite(tmp_path / "a.db").migrate()


async def test_a_failed_write_leaves_nothing(database: Database) -> None:
    assistant = an_assistant()

    def fail(conn: Connection) -> None:
        assistants.insert(conn, assistant)
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        await database.write(fail)
    assert await database.read(lambda conn: assistants.get(conn, assistant.id)) is None


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(InternalServerError, match=r"read-only"):
        await database.read(lambda conn: assistants.insert(conn, an_assistant()))
    assert await database.read(is_writing) is False
    assert await database.write(is_writing) is True


async def test_a_child_of_a_deleted_parent_is_a_bad_request(database: Database) -> None:
    with pytest.raises(BadRequestError, match="deleted meanwhile"):
        await database.write(lambda conn: messages.insert(conn, a_message("thread_none")))


async def test_an_id_with_a_nul_finds_nothing_or_is_a_bad_request(database: Database) -> None:
    def look_up(conn: Connection) -> str:
        return f"{conn.dialect.name}: {assistants.get(conn, 'asst_' + chr(0))}"

    async def outcome() -> str:
        try:
            return await database.read(look_up)
        except BadRequestError as error:
            return error.message

    assert await outcome() in {
        "sqlite: None",
        "A value holds the character NUL (U+0000), which cannot be used here.",
    }


async def test_half_a_character_is_a_bad_request(database: Database) -> None:
    with pytest.raises(BadRequestError, match="not valid Unicode text"):
        await database.write(lambda conn: assistants.insert(conn, an_assistant(name="\ud83d")))


async def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    db = Database.sqlite(tmp_path / "a.db")
    db.migrate()
    thread = a_thread()
    await db.write(lambda conn: threads.insert(conn, thread))
    big = a_message(thread.id, "x" * 1_000_000)

    def fill(conn: Connection) -> None:
        conn.exec_driver_sql("PRAGMA max_page_count=1")  # SQLite takes the present size instead: no room for more
        messages.insert(conn, big)

    with pytest.raises(InternalServerError, match=r"is full\. Nothing of this request was stored"):
        await db.write(fill)

    assert await db.read(lambda conn: threads.get(conn, thread.id)) == thread
    await db.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1000000"))
    await db.write(lambda conn: messages.insert(conn, big))
    await db.close()


async def test_a_write_waits_for_a_writer_of_another_process(tmp_path: Path) -> None:
    db = Database.sqlite(tmp_path / "a.db")
    db.migrate()
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assistant = an_assistant()

    writing = asyncio.create_task(db.write(lambda conn: assistants.insert(conn, assistant)))
    assert await db.read(lambda conn: assistants.get(conn, assistant.id)) is None  # readers do not wait
    other.execute("COMMIT")
    await writing

    assert await db.read(lambda conn: assistants.get(conn, assistant.id)) == assistant
    other.close()
    await db.close()


async def test_an_acknowledged_write_outlives_a_killed_process(database_url: str) -> None:
    code = f"""
import asyncio, os, signal
from localassist.store import threads
from localassist.store.database import Database
from localassist.types.thread import Thread
async def main():
    db = Database({database_url!r})
    db.migrate()
    await db.write(lambda conn: threads.insert(conn, Thread(id="thread_kept", created_at=1)))
    await db.write(lambda conn: (threads.insert(conn, Thread(id="thread_half", created_at=1)),
                                 os.kill(os.getpid(), signal.SIGKILL)))
asyncio.run(main())
"""
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)

    assert killed.returncode == -9
    db = Database(database_url)
    assert await db.read(lambda conn: threads.get(conn, "thread_kept")) is not None
    assert await db.read(lambda conn: threads.get(conn, "thread_half")) is None
    await db.close()


async def test_a_thread_with_many_messages_is_listed_through_an_index(database: Database) -> None:
    def plan(conn: Connection) -> str:
        conn.execute(text("SELECT 1"))
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the tables are empty; is there a way at all?
        explain = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        statements = (
            "SELECT * FROM messages WHERE thread_id = 't' AND seq < 9 ORDER BY seq DESC LIMIT 21",
            "SELECT * FROM messages WHERE thread_id = 't' AND run_id = 'r' ORDER BY seq DESC LIMIT 21",
            "SELECT id FROM runs WHERE status IN ('queued', 'in_progress', 'cancelling') ORDER BY seq LIMIT 1",
            "SELECT seq FROM vector_store_files WHERE status IN ('in_progress') ORDER BY seq LIMIT 1",
        )
        return "\n".join(str(row) for s in statements for row in conn.exec_driver_sql(f"{explain} {s}"))

    shown = await database.read(plan)
    for index in (
        "ix_messages_thread_id_seq",
        "ix_messages_thread_id_run_id_seq",
        "ix_runs_queue",
        "ix_vector_store_files_queue",
    ):
        assert index in shown
    assert "Sort" not in shown
    assert "TEMP B-TREE" not in shown


async def test_the_file_of_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    db = Database.sqlite(tmp_path / "a.db")
    db.migrate()
    await db.write(lambda conn: conn.exec_driver_sql("CREATE TABLE t (x INTEGER)"))

    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("a.db", "a.db-wal")}

    await db.close()
    assert set(modes.values()) == {0o600}
