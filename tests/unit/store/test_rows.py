from localassist.store import assistants, events, files, messages, runs, threads, vector_stores
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.run import LastError
from tests.unit.store.things import a_file, a_message, a_run, a_step, a_store, a_thread, an_assistant


async def test_an_assistant_comes_back_as_it_was_with_its_keys_in_order(database: Database) -> None:
    assistant = an_assistant()

    await database.write(lambda conn: assistants.insert(conn, assistant))

    kept = await database.read(lambda conn: assistants.get(conn, assistant.id))
    assert kept is not None
    assert kept == assistant
    assert kept.model_dump_json() == assistant.model_dump_json()  # equality of models forgets the order of keys
    assert await database.read(lambda conn: assistants.get(conn, "asst_none")) is None


async def test_an_assistant_is_replaced_and_deleted_once(database: Database) -> None:
    assistant = an_assistant()
    other = an_assistant(id=assistant.id, name="Another", tools=[])

    def work(conn: Connection) -> tuple[bool, object, bool, bool, bool]:
        assistants.insert(conn, assistant)
        replaced = assistants.replace(conn, other)
        kept = assistants.get(conn, assistant.id)
        return (
            replaced,
            kept,
            assistants.delete(conn, other.id),
            assistants.delete(conn, other.id),
            assistants.replace(conn, other),
        )

    assert await database.write(work) == (True, other, True, False, False)


async def test_a_deleted_thread_takes_everything_in_it_along(database: Database) -> None:
    thread, other = a_thread(), a_thread()
    run, message = a_run(thread.id), a_message(thread.id)
    step, kept_message = a_step(run), a_message(other.id)

    def fill(conn: Connection) -> bool:
        threads.insert(conn, thread)
        threads.insert(conn, other)
        messages.insert(conn, message)
        messages.insert(conn, kept_message)
        runs.insert(conn, run)
        runs.insert_step(conn, step)
        events.append(conn, run.id, 1, [("thread.run.created", "{}")], attempt=0, fence=None)
        return threads.delete(conn, thread.id)

    assert await database.write(fill)
    assert await database.read(lambda conn: threads.get(conn, thread.id)) is None
    assert await database.read(lambda conn: messages.get(conn, thread.id, message.id)) is None
    assert await database.read(lambda conn: runs.by_id(conn, run.id)) is None
    assert await database.read(lambda conn: runs.get_step(conn, run.id, step.id)) is None
    assert await database.read(lambda conn: events.last_seq(conn, run.id)) == 0
    assert await database.read(lambda conn: messages.get(conn, other.id, kept_message.id)) == kept_message
    assert await database.read(lambda conn: threads.get(conn, other.id)) == other


async def test_a_message_belongs_to_its_thread_only(database: Database) -> None:
    thread, other = a_thread(), a_thread()
    message = a_message(thread.id)

    def work(conn: Connection) -> None:
        threads.insert(conn, thread)
        threads.insert(conn, other)
        messages.insert(conn, message)
        assert messages.get(conn, thread.id, message.id) == message
        assert messages.get(conn, other.id, message.id) is None
        assert not messages.delete(conn, other.id, message.id)
        assert not messages.replace(conn, message.model_copy(update={"thread_id": other.id}))
        assert messages.delete(conn, thread.id, message.id)

    await database.write(work)


async def test_what_was_said_is_read_in_order_without_what_is_being_written(database: Database) -> None:
    thread = a_thread()
    said = [a_message(thread.id, text) for text in "abcd"]
    said[1] = said[1].model_copy(update={"status": "incomplete"})
    writing = a_message(thread.id, "…", status="in_progress", run_id="run_1", role="assistant")

    def fill(conn: Connection) -> None:
        threads.insert(conn, thread)
        for message in [*said[:2], writing, *said[2:]]:
            messages.insert(conn, message)

    await database.write(fill)
    assert await database.read(lambda conn: messages.all_of(conn, thread.id)) == said
    assert await database.read(lambda conn: messages.all_of(conn, thread.id, newest=3)) == said[1:]
    assert await database.read(lambda conn: messages.all_of(conn, thread.id, newest=99)) == said
    page = await database.read(lambda conn: messages.list_page(conn, thread.id, PageQuery()))
    assert writing in page.data
    page = await database.read(lambda conn: messages.list_page(conn, thread.id, PageQuery(), run_id="run_1"))
    assert page.data == [writing]


async def test_steps_come_back_in_order_and_can_be_replaced_and_deleted(database: Database) -> None:
    thread = a_thread()
    run = a_run(thread.id)
    steps = [a_step(run) for _ in range(3)]
    failed = steps[1].model_copy(
        update={"status": "failed", "last_error": LastError(code="server_error", message="\x00")}
    )

    def work(conn: Connection) -> None:
        threads.insert(conn, thread)
        runs.insert(conn, run)
        for step in steps:
            runs.insert_step(conn, step)
        assert runs.replace_step(conn, failed)
        assert runs.steps_of(conn, run.id) == [steps[0], failed, steps[2]]
        assert runs.list_steps_page(conn, run.id, PageQuery(limit=2)).data == [steps[2], failed]
        assert runs.get_step(conn, "run_none", failed.id) is None
        assert runs.delete_step(conn, failed.id)
        assert not runs.delete_step(conn, failed.id)
        assert not runs.replace_step(conn, failed)
        assert runs.steps_of(conn, run.id) == [steps[0], steps[2]]

    await database.write(work)


async def test_events_are_read_behind_a_number(database: Database) -> None:
    thread = a_thread()
    run = a_run(thread.id)

    def work(conn: Connection) -> None:
        threads.insert(conn, thread)
        runs.insert(conn, run)
        events.append(conn, run.id, 1, [("a", '"\\u0000"'), ("b", "{}")], attempt=0, fence=None)
        events.append(conn, run.id, 3, [], attempt=0, fence=None)
        events.append(conn, run.id, 3, [("c", "{}")], attempt=1, fence=None)
        assert [(e.seq, e.name) for e in events.after(conn, run.id, 0)] == [(1, "a"), (2, "b"), (3, "c")]
        assert events.after(conn, run.id, 0, limit=1) == [events.StoredEvent(1, "a", '"\\u0000"')]
        assert [e.seq for e in events.after(conn, run.id, 2)] == [3]
        assert (events.last_seq(conn, run.id), events.last_seq(conn, "run_none")) == (3, 0)

    await database.write(work)


async def test_files_are_listed_by_purpose_and_know_their_blob_and_their_end(database: Database) -> None:
    file, image = a_file(expires_at=100), a_file(purpose="vision")

    def work(conn: Connection) -> None:
        files.insert(conn, file, sha256="aa")
        files.insert(conn, image, sha256="aa")
        assert files.get(conn, file.id) == file
        assert files.list_page(conn, PageQuery()).data == [image, file]
        assert files.list_page(conn, PageQuery(limit=10_000), purpose="vision").data == [image]
        assert (files.get_sha256(conn, file.id), files.get_sha256(conn, "file-none")) == ("aa", None)
        assert (files.expired(conn, 99), files.expired(conn, 100)) == ([], [file.id])
        assert files.delete(conn, file.id)
        assert not files.delete(conn, file.id)
        assert files.sha256_in_use(conn, "aa")
        assert files.delete(conn, image.id)
        assert not files.sha256_in_use(conn, "aa")

    await database.write(work)


async def test_a_store_comes_back_as_it_was(database: Database) -> None:
    store = a_store(expires_after={"anchor": "last_active_at", "days": 2}, expires_at=10**11, description="漢")

    await database.write(lambda conn: vector_stores.insert(conn, store))

    assert await database.read(lambda conn: vector_stores.get(conn, store.id)) == store
    assert await database.read(lambda conn: vector_stores.get(conn, "vs_none")) is None
