"""Threads, their messages, and what is attached to these."""

import asyncio
from typing import Any

import pytest

from localassist import clock
from localassist.errors import BadRequestError, NotFoundError
from localassist.store.pages import PageQuery
from localassist.types.message import MessageCreateParams, MessageUpdateParams
from localassist.types.thread import ThreadUpdateParams
from tests.unit.resources.conftest import World

ASC = PageQuery(order="asc")
SEARCHED = [{"type": "file_search"}]


def message(content: Any = "Hello", **fields: Any) -> MessageCreateParams:
    return MessageCreateParams.model_validate({"role": "user", "content": content, **fields})


def text_of(shown: dict[str, Any]) -> str:
    return str(shown["content"][0]["text"]["value"])


async def test_first_messages_keep_their_order(world: World) -> None:
    thread = await world.thread(*"abcdefghij")

    listed = await world.messages.list(thread.id, ASC)
    backwards = await world.messages.list(thread.id, PageQuery())

    assert [text_of(m.rest()) for m in listed.data] == list("abcdefghij")
    assert backwards.data == listed.data[::-1]


async def test_a_thread_with_a_bad_message_is_not_made_at_all(world: World) -> None:
    file = await world.file("a.exe")
    bad = message("b", attachments=[{"file_id": file.id, "tools": SEARCHED}]).model_dump()

    with pytest.raises(BadRequestError, match=r"\[\.exe\]"):
        await world.thread(messages=[message("a").model_dump(), bad])

    assert (await world.vector_stores.list(PageQuery())).data == []


async def test_a_string_becomes_one_text_part_and_images_keep_their_detail(world: World) -> None:
    thread, image = await world.thread(), await world.file("i.png")
    url = {"type": "image_url", "image_url": {"url": "https://example.com/i.png"}}
    picture = {"type": "image_file", "image_file": {"file_id": image.id, "detail": "low"}}

    plain = await world.messages.create(thread.id, message("Hi", metadata={"a": "b"}))
    mixed = await world.messages.create(thread.id, message([url, picture]))

    assert plain.rest() | {"id": "", "created_at": 0} == {
        "id": "",
        "object": "thread.message",
        "created_at": 0,
        "assistant_id": None,
        "thread_id": thread.id,
        "run_id": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": "Hi", "annotations": []}}],
        "attachments": [],
        "metadata": {"a": "b"},
    }
    assert mixed.rest()["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/i.png", "detail": "auto"}},
        picture,
    ]
    assert await world.messages.retrieve(thread.id, mixed.id) == mixed


async def test_an_image_that_does_not_exist_is_refused(world: World) -> None:
    thread = await world.thread()

    with pytest.raises(NotFoundError, match=r"Files \[file-none\] were not found"):
        await world.messages.create(
            thread.id, message([{"type": "image_file", "image_file": {"file_id": "file-none"}}])
        )

    assert (await world.messages.list(thread.id, ASC)).data == []


async def test_a_first_attachment_makes_a_store_that_expires_and_the_next_joins_it(world: World) -> None:
    thread, one, two = await world.thread(), await world.file("1.txt"), await world.file("2.txt")

    sent = await world.messages.create(thread.id, message(attachments=[{"file_id": one.id, "tools": SEARCHED}]))
    await world.messages.create(
        thread.id,
        message(attachments=[{"file_id": f.id, "tools": SEARCHED} for f in (one, two)]),
    )

    assert sent.rest()["attachments"] == [{"file_id": one.id, "tools": SEARCHED}]
    (store,) = (await world.vector_stores.list(PageQuery())).data
    assert (await world.threads.retrieve(thread.id)).tool_resources.model_dump() == {
        "file_search": {"vector_store_ids": [store.id]}
    }
    assert store.expires_at == store.last_active_at + 7 * 86_400
    assert [f.id for f in (await world.vector_stores.list_files(store.id, ASC)).data] == [one.id, two.id]
    assert "ingest" in world.calls


async def test_messages_that_come_at_once_share_one_store(world: World) -> None:
    thread = await world.thread()
    files = [await world.file(f"{n}.txt", str(n)) for n in range(6)]

    await asyncio.gather(
        *(world.messages.create(thread.id, message(attachments=[{"file_id": f.id, "tools": SEARCHED}])) for f in files)
    )

    (store,) = (await world.vector_stores.list(PageQuery())).data
    assert store.file_counts.total == 6


async def test_a_file_attached_again_is_not_indexed_again(world: World) -> None:
    file = await world.file()
    attached = message(attachments=[{"file_id": file.id, "tools": SEARCHED}])
    thread = await world.thread()
    await world.messages.create(thread.id, attached)
    await world.ingest_all()

    await world.messages.create(thread.id, attached)

    (store,) = (await world.vector_stores.list(PageQuery())).data
    assert (store.file_counts.completed, store.file_counts.in_progress) == (1, 0)


async def test_an_attachment_goes_to_a_new_store_when_the_old_has_expired(world: World) -> None:
    thread, file = await world.thread(), await world.file()
    attached = message(attachments=[{"file_id": file.id, "tools": SEARCHED}])
    await world.messages.create(thread.id, attached)
    (old,) = (await world.vector_stores.list(PageQuery())).data

    later = clock.now() + 8 * 86_400
    with clock.frozen(lambda: later):
        await world.messages.create(thread.id, attached)
        newest, expired = (await world.vector_stores.list(PageQuery())).data

    assert (expired.id, expired.status) == (old.id, "expired")
    kept = (await world.threads.retrieve(thread.id)).tool_resources.file_search
    assert kept is not None
    assert kept.vector_store_ids == [newest.id]


async def test_attachments_for_the_interpreter_are_gathered_up_to_twenty(world: World) -> None:
    files = [await world.file(f"{n}.csv", str(n)) for n in range(21)]
    attachments = [{"file_id": f.id, "tools": [{"type": "code_interpreter"}]} for f in files]
    thread = await world.thread()

    await world.messages.create(thread.id, message(attachments=attachments[:20]))
    with pytest.raises(BadRequestError, match="21 files for code_interpreter; at most 20"):
        await world.messages.create(thread.id, message(attachments=attachments[20:]))

    resources = (await world.threads.retrieve(thread.id)).tool_resources.code_interpreter
    assert resources is not None
    assert resources.file_ids == [f.id for f in files[:20]]
    assert len((await world.messages.list(thread.id, ASC)).data) == 1


async def test_an_attachment_without_a_file_is_refused_by_its_place(world: World) -> None:
    thread = await world.thread()

    with pytest.raises(BadRequestError, match="Missing required parameter") as caught:
        await world.messages.create(thread.id, message(attachments=[{"tools": SEARCHED}]))

    assert (caught.value.param, caught.value.code) == ("attachments[0].file_id", "missing_required_parameter")


async def test_metadata_is_replaced_and_null_empties_it(world: World) -> None:
    thread = await world.thread("a", metadata={"a": "1"})
    (said,) = (await world.messages.list(thread.id, ASC)).data

    await world.threads.update(thread.id, ThreadUpdateParams(metadata={"b": "2"}))
    changed = await world.messages.update(thread.id, said.id, MessageUpdateParams(metadata={"c": "3"}))
    untouched = await world.messages.update(thread.id, said.id, MessageUpdateParams())
    emptied = await world.threads.update(thread.id, ThreadUpdateParams(metadata=None))

    assert changed == untouched == said.model_copy(update={"metadata": {"c": "3"}})
    assert emptied == thread.model_copy(update={"metadata": {}})


async def test_a_store_described_by_a_thread_expires_after_a_week(world: World) -> None:
    file = await world.file()

    thread = await world.thread(tool_resources={"file_search": {"vector_stores": [{"file_ids": [file.id]}]}})

    assert thread.tool_resources.file_search is not None
    store = await world.vector_stores.retrieve(thread.tool_resources.file_search.vector_store_ids[0])
    assert store.expires_after is not None
    assert store.expires_after.days == 7


async def test_messages_of_another_thread_are_not_found(world: World) -> None:
    mine, other = await world.thread("a"), await world.thread("b")
    (said,) = (await world.messages.list(mine.id, ASC)).data

    for call in (
        world.messages.retrieve(other.id, said.id),
        world.messages.update(other.id, said.id, MessageUpdateParams(metadata={})),
        world.messages.delete(other.id, said.id),
    ):
        with pytest.raises(NotFoundError, match=f"No message found with id '{said.id}'."):
            await call
    assert await world.messages.retrieve(mine.id, said.id) == said


async def test_a_deleted_thread_takes_its_messages_along(world: World) -> None:
    thread = await world.thread("a", "b")
    one, _ = (await world.messages.list(thread.id, ASC)).data

    assert (await world.messages.delete(thread.id, one.id)).object == "thread.message.deleted"
    assert len((await world.messages.list(thread.id, ASC)).data) == 1
    assert (await world.threads.delete(thread.id)).model_dump() == {
        "id": thread.id,
        "object": "thread.deleted",
        "deleted": True,
    }
    for call in (
        world.threads.retrieve(thread.id),
        world.messages.list(thread.id, ASC),
        world.threads.delete(thread.id),
    ):
        with pytest.raises(NotFoundError, match=f"No thread found with id '{thread.id}'."):
            await call


async def test_nobody_looks_for_files_to_index_when_a_thread_and_its_run_bring_none(world: World) -> None:
    await world.run()

    assert world.calls == ["ingest", "runs"]  # the first is the assistant's
