"""`file_ids` of assistants and messages, and that version 2 sees the same."""

import asyncio
from collections.abc import Sequence

import pytest

from localassist.errors import BadRequestError, NotFoundError
from localassist.resources import V1Files
from localassist.store import vector_stores as store_rows
from localassist.store.pages import PageQuery
from localassist.tools.stores import StoreSearcher
from localassist.types.assistant import (
    Assistant,
    AssistantCreateParams,
    AssistantUpdateParams,
    CodeInterpreterTool,
    FileSearchTool,
    Tool,
    ToolResourcesParams,
)
from localassist.types.file import FileObject
from localassist.types.message import MessageCreateParams
from localassist.types.run import RunCreateParams
from tests.unit.resources.conftest import World

ASC = PageQuery(order="asc")
RETRIEVAL = FileSearchTool(type="file_search")
INTERPRETER = CodeInterpreterTool(type="code_interpreter")


class V1World:
    def __init__(self, world: World) -> None:
        self.world = world
        self.forgotten: list[str] = []
        self.files = V1Files(
            db=world.db, wake_ingest=lambda: world.calls.append("ingest"), forget=self.forgotten.append
        )

    async def assistant(
        self, *files: FileObject, tools: Sequence[Tool] = (RETRIEVAL,)
    ) -> tuple[Assistant, Sequence[str]]:
        params = AssistantCreateParams(model="gpt-4-1106-preview", tools=list(tools))
        return await self.files.create_assistant(params, [file.id for file in files])

    async def listed(self, assistant_id: str) -> Sequence[str]:
        return (await self.files.file_ids([assistant_id]))[assistant_id]

    async def stored(self, assistant_id: str) -> list[str]:
        """The files that version 2 finds in the assistant's vector store."""
        assistant = await self.world.assistants.retrieve(assistant_id)
        assert assistant.tool_resources.file_search is not None
        (store_id,) = assistant.tool_resources.file_search.vector_store_ids
        return [f.id for f in (await self.world.vector_stores.list_files(store_id, ASC)).data]

    async def update(
        self, assistant_id: str, file_ids: Sequence[str] | None = None, **given
    ) -> tuple[Assistant, Sequence[str]]:
        return await self.files.update_assistant(assistant_id, AssistantUpdateParams(**given), file_ids)


@pytest.fixture
def v1(world: World) -> V1World:
    return V1World(world)


async def test_files_for_retrieval_lie_in_a_vector_store_of_the_assistant(v1: V1World) -> None:
    files = [await v1.world.file(f"{n}.txt") for n in "cab"]

    assistant, file_ids = await v1.assistant(*files)

    assert file_ids == [f.id for f in files] == await v1.stored(assistant.id)
    assert assistant == await v1.world.assistants.retrieve(assistant.id)
    assert assistant.tool_resources.code_interpreter is None
    assert "ingest" in v1.world.calls


async def test_without_a_tool_that_needs_them_files_are_kept_until_one_does(v1: V1World) -> None:
    files = [await v1.world.file(f"{n}.txt") for n in "ba"]

    assistant, kept = await v1.assistant(*files, tools=[])
    assert assistant.tool_resources.file_search is None
    changed, searched = await v1.update(assistant.id, tools=[RETRIEVAL])

    assert kept == searched == [f.id for f in files] == await v1.stored(assistant.id)
    assert changed.tool_resources.code_interpreter is None


async def test_with_both_tools_what_cannot_be_searched_is_left_to_the_interpreter(v1: V1World) -> None:
    image, text = await v1.world.file("i.png"), await v1.world.file("t.txt")

    assistant, file_ids = await v1.assistant(image, text, tools=[RETRIEVAL, INTERPRETER])

    assert file_ids == [image.id, text.id]
    assert await v1.stored(assistant.id) == [text.id]
    assert assistant.tool_resources.code_interpreter is not None
    assert assistant.tool_resources.code_interpreter.file_ids == [image.id, text.id]


async def test_what_only_retrieval_could_use_and_cannot_is_refused_and_nothing_is_made(v1: V1World) -> None:
    image = await v1.world.file("i.png")

    with pytest.raises(BadRequestError, match=r"\[\.png\] are not supported for retrieval") as caught:
        await v1.assistant(image)

    assert caught.value.param == "file_ids"
    assert (await v1.world.assistants.list(ASC)).data == []
    assert (await v1.world.vector_stores.list(ASC)).data == []


async def test_an_update_of_the_files_removes_and_adds_and_keeps_what_is_indexed(v1: V1World) -> None:
    a, b, c = [await v1.world.file(f"{n}.txt") for n in "abc"]
    assistant, _ = await v1.assistant(a, b)
    await v1.world.ingest_all()

    changed, file_ids = await v1.update(assistant.id, [c.id, b.id])

    assert changed.tool_resources == assistant.tool_resources
    assert file_ids == [b.id, c.id] == await v1.stored(assistant.id)
    assert changed.tool_resources.file_search is not None
    assert changed.tool_resources.file_search is not None
    (store_id,) = changed.tool_resources.file_search.vector_store_ids
    files = (await v1.world.vector_stores.list_files(store_id, ASC)).data
    assert [f.status for f in files] == ["completed", "in_progress"]


async def test_an_update_that_names_neither_files_nor_tools_leaves_the_files(v1: V1World) -> None:
    file = await v1.world.file()
    assistant, _ = await v1.assistant(file)

    changed, file_ids = await v1.update(assistant.id, name="New")

    assert (changed.name, file_ids) == ("New", [file.id])
    assert changed.tool_resources == assistant.tool_resources


async def test_a_store_that_version_2_made_is_shown_but_never_changed(v1: V1World) -> None:
    world = v1.world
    a, b = [await world.file(f"{n}.txt") for n in "ab"]
    store = await world.store(a)
    resources = {"file_search": {"vector_store_ids": [store.id]}}
    made = await world.assistant({"type": "file_search"}, tool_resources=resources)
    assert await v1.listed(made.id) == [a.id]

    for tools in ([], [RETRIEVAL]):
        changed, file_ids = await v1.update(made.id, tools=tools)
        assert (changed.tool_resources, file_ids) == (made.tool_resources, [a.id])
    await v1.files.create(made.id, b.id)

    assert await v1.listed(made.id) == [a.id, b.id] == await v1.stored(made.id)
    assert [f.id for f in (await world.vector_stores.list_files(store.id, ASC)).data] == [a.id]


async def test_of_a_large_store_the_first_20_files_are_listed_and_no_more_can_be_added(v1: V1World) -> None:
    world = v1.world
    files = [await world.file(f"{n}.txt") for n in range(22)]
    store = await world.store(*files[:21])
    resources = {"file_search": {"vector_store_ids": [store.id]}}
    made = await world.assistant({"type": "file_search"}, tool_resources=resources)

    assert await v1.listed(made.id) == [f.id for f in files[:20]]
    with pytest.raises(BadRequestError, match="at most 20 files, but got 21"):
        await v1.files.create(made.id, files[21].id)
    assert (await world.assistants.retrieve(made.id)).tool_resources == made.tool_resources


async def test_version_2_may_give_the_assistant_other_files(v1: V1World) -> None:
    a, b = [await v1.world.file(f"{n}.txt") for n in "ab"]
    assistant, _ = await v1.assistant(a)
    other = await v1.world.store(b)

    resources = ToolResourcesParams.model_validate({"file_search": {"vector_store_ids": [other.id]}})
    await v1.world.assistants.update(assistant.id, AssistantUpdateParams(tool_resources=resources))

    assert await v1.listed(assistant.id) == [b.id]


async def test_a_deleted_file_is_nobodys(v1: V1World) -> None:
    a, b = [await v1.world.file(f"{n}.txt") for n in "ab"]
    searching, _ = await v1.assistant(a, b)
    interpreting, _ = await v1.assistant(a, b, tools=[INTERPRETER])

    await v1.world.files.delete(a.id)

    assert await v1.listed(searching.id) == [b.id]
    assert await v1.listed(interpreting.id) == [b.id]
    assert (await v1.update(interpreting.id, tools=[RETRIEVAL]))[1] == [b.id]


async def test_files_of_an_assistant_are_created_listed_read_and_deleted(v1: V1World) -> None:
    a, b, c = [await v1.world.file(f"{n}.txt") for n in "abc"]
    assistant, _ = await v1.assistant(a)

    made = [await v1.files.create(assistant.id, f.id) for f in (b, c, b)]
    first = await v1.files.list(assistant.id, PageQuery(limit=2))
    rest = await v1.files.list(assistant.id, PageQuery(limit=2, after=first.last_id))
    before = await v1.files.list(assistant.id, PageQuery(limit=2, before=a.id))
    gone = await v1.files.delete(assistant.id, b.id)

    assert [f.id for f in made] == [b.id, c.id, b.id]
    assert {(f.object, f.assistant_id) for f in made} == {("assistant.file", assistant.id)}
    assert ([f.id for f in first.data], first.has_more) == ([c.id, b.id], True)
    assert ([f.id for f in rest.data], rest.has_more) == ([a.id], False)
    assert before.data == first.data
    assert gone.model_dump() == {"id": b.id, "object": "assistant.file.deleted", "deleted": True}
    assert await v1.listed(assistant.id) == [a.id, c.id]
    assert (await v1.files.retrieve(assistant.id, c.id)) == made[1]
    with pytest.raises(NotFoundError, match=f"No assistant file found with id '{b.id}'"):
        await v1.files.retrieve(assistant.id, b.id)
    with pytest.raises(NotFoundError, match=f"No assistant file found with id '{b.id}'"):
        await v1.files.delete(assistant.id, b.id)
    with pytest.raises(BadRequestError, match="Invalid 'after'"):
        await v1.files.list(assistant.id, PageQuery(after=b.id))
    assert (await v1.world.files.retrieve(b.id)) == b


async def test_a_file_that_does_not_exist_is_refused_by_its_name(v1: V1World) -> None:
    assistant, _ = await v1.assistant()

    with pytest.raises(NotFoundError, match=r"Files \[file-none\] were not found") as caught:
        await v1.files.create(assistant.id, "file-none")

    assert caught.value.param == "file_id"


async def test_an_assistant_takes_the_store_of_its_files_along_and_no_other(v1: V1World) -> None:
    world = v1.world
    a, b = [await world.file(f"{n}.txt") for n in "ab"]
    own, _ = await v1.assistant(a)
    shared = await world.store(b)
    resources = {"file_search": {"vector_store_ids": [shared.id]}}
    other = await world.assistant({"type": "file_search"}, tool_resources=resources)
    assert own.tool_resources.file_search is not None

    for assistant in (own, other):
        deleted = await v1.files.delete_assistant(assistant.id)
        assert deleted.object == "assistant.deleted"

    assert [s.id for s in (await world.vector_stores.list(ASC)).data] == [shared.id]
    assert v1.forgotten == own.tool_resources.file_search.vector_store_ids
    with pytest.raises(NotFoundError, match="No assistant found"):
        await v1.files.delete_assistant(own.id)


async def test_a_run_waits_for_file_ids_of_its_assistant_longer_than_for_other_stores(v1: V1World) -> None:
    world = v1.world
    file = await world.file("fox.txt", "The quick brown fox.")
    searcher = StoreSearcher(world.db, lambda: world.retriever)
    waiting, _ = await v1.assistant(file)
    store = await world.store(await world.file("hound.txt", "The lazy hound."))
    resources = {"file_search": {"vector_store_ids": [store.id]}}
    at_once = await world.assistant({"type": "file_search"}, tool_resources=resources)
    runs = []
    for assistant in (waiting, at_once):
        thread = await world.thread("Who is quick?")
        run = await world.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id))
        runs.append(run.model_copy(update={"created_at": run.created_at - 60}))

    search = asyncio.create_task(searcher(runs[0], ["fox"], limit=5, score_threshold=0.0))
    older = runs[1].model_copy(update={"created_at": runs[1].created_at - 60})
    found_at_once = await searcher(older, ["hound"], limit=5, score_threshold=0.0)
    assert not search.done()
    await world.ingest_all()

    assert list(found_at_once) == []
    assert [hit.file_id for hit in await search] == [file.id]


async def test_an_expired_run_waits_for_no_file(v1: V1World) -> None:
    searcher = StoreSearcher(v1.world.db, lambda: v1.world.retriever)
    assistant, _ = await v1.assistant(await v1.world.file())
    thread = await v1.world.thread("Who?")
    run = await v1.world.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id))

    hits = await searcher(run.model_copy(update={"expires_at": 1}), ["fox"], limit=5, score_threshold=0.0)

    assert list(hits) == []


async def test_the_mark_of_an_assistants_store_outlives_changes_of_the_store(v1: V1World) -> None:
    assistant, _ = await v1.assistant(await v1.world.file())
    assert assistant.tool_resources.file_search is not None
    (store_id,) = assistant.tool_resources.file_search.vector_store_ids

    def rename(conn):
        store = store_rows.get(conn, store_id)
        assert store is not None
        store_rows.replace(conn, store.model_copy(update={"name": "New"}))
        return store_rows.assistant_of(conn, store_id)

    assert await v1.world.db.write(rename) == assistant.id


async def test_files_of_a_message_are_for_every_tool_that_can_use_them(v1: V1World) -> None:
    image, text = await v1.world.file("i.png"), await v1.world.file("t.txt")

    attachments = await v1.files.attachments([[image.id, text.id], []])

    tools = [[(a.file_id, [tool.type for tool in a.tools or ()]) for a in each] for each in attachments]
    assert tools == [[(image.id, ["code_interpreter"]), (text.id, ["file_search", "code_interpreter"])], []]


async def test_a_thread_may_have_more_files_to_search_than_the_interpreter_takes(v1: V1World) -> None:
    world = v1.world
    files = [await world.file(f"{n}.txt") for n in range(25)]
    thread = await world.thread()

    for part in (files[:10], files[10:20], files[20:]):
        (attachments,) = await v1.files.attachments([[f.id for f in part]], thread_id=thread.id)
        message = MessageCreateParams(role="user", content="Read.", attachments=list(attachments))
        await world.messages.create(thread.id, message)

    resources = (await world.threads.retrieve(thread.id)).tool_resources
    assert resources.file_search is not None
    assert resources.code_interpreter is not None
    (store_id,) = resources.file_search.vector_store_ids
    assert (await world.vector_stores.retrieve(store_id)).file_counts.total == 25
    assert resources.code_interpreter.file_ids == [f.id for f in files[:20]]


async def test_files_of_a_message_are_listed_and_read(v1: V1World) -> None:
    a, b = [await v1.world.file(f"{n}.txt") for n in "ab"]
    thread = await v1.world.thread()
    (attachments,) = await v1.files.attachments([[a.id, b.id]], thread_id=thread.id)
    params = MessageCreateParams(role="user", content="Read.", attachments=list(attachments))
    message = await v1.world.messages.create(thread.id, params)

    listed = await v1.files.list_of_message(thread.id, message.id, ASC)

    assert [f.id for f in listed.data] == [a.id, b.id]
    assert listed.data[0].model_dump() == {
        "id": a.id,
        "object": "thread.message.file",
        "created_at": message.created_at,
        "message_id": message.id,
    }
    assert await v1.files.retrieve_of_message(thread.id, message.id, b.id) == listed.data[1]
    with pytest.raises(NotFoundError, match="No message file found with id 'file-none'"):
        await v1.files.retrieve_of_message(thread.id, message.id, "file-none")


async def test_files_of_messages_do_not_expire_unless_somebody_asked_for_it(v1: V1World) -> None:
    world = v1.world
    file = await world.file()
    shorter = await world.store(expires_after={"anchor": "last_active_at", "days": 2})
    (attachments,) = await v1.files.attachments([[file.id]])
    read = MessageCreateParams(role="user", content="Read.", attachments=list(attachments))
    threads = [
        await world.thread(messages=[read.model_dump()]),
        await world.thread(tool_resources={"file_search": {"vector_store_ids": [shorter.id]}}),
        await world.thread(),
    ]

    for thread in threads:
        await v1.files.keep(thread.id)
    await v1.files.keep("thread_none")

    assert threads[0].tool_resources.file_search is not None
    (made_id,) = threads[0].tool_resources.file_search.vector_store_ids
    made = await world.vector_stores.retrieve(made_id)
    assert (made.expires_after, made.expires_at) == (None, None)
    assert await world.vector_stores.retrieve(shorter.id) == shorter
