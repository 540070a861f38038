"""Assistants, and the vector stores and files behind their tools."""

from typing import Any

import pytest

from localassist.errors import BadRequestError, NotFoundError
from localassist.store.pages import PageQuery
from localassist.types.assistant import AssistantUpdateParams
from tests.unit.resources.conftest import World

FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "weather"}}
SEARCH: dict[str, Any] = {"type": "file_search"}


def changes(**fields: Any) -> AssistantUpdateParams:
    return AssistantUpdateParams.model_validate(fields)


async def test_a_bare_assistant_has_the_recorded_defaults(world: World) -> None:
    assistant = await world.assistant()

    shown = assistant.model_dump()
    assert {name: shown[name] for name in shown if name not in {"id", "created_at"}} == {
        "object": "assistant",
        "name": None,
        "description": None,
        "model": "gpt-4o",
        "instructions": None,
        "tools": [],
        "top_p": 1.0,
        "temperature": 1.0,
        "reasoning_effort": None,
        "tool_resources": {},
        "metadata": {},
        "response_format": "auto",
    }
    assert await world.assistants.retrieve(assistant.id) == assistant


async def test_tools_are_echoed_as_recorded(world: World) -> None:
    assistant = await world.assistant(FUNCTION, SEARCH)

    assert assistant.model_dump()["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            },
        },
        {
            "type": "file_search",
            "file_search": {
                "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": None}
            },
        },
    ]


async def test_the_interpreter_without_files_shows_an_empty_list(world: World) -> None:
    assistant = await world.assistant({"type": "code_interpreter"})

    assert assistant.tool_resources.model_dump() == {"code_interpreter": {"file_ids": []}}


async def test_a_described_store_is_made_and_its_files_are_queued(world: World) -> None:
    file = await world.file()

    assistant = await world.assistant(
        SEARCH, tool_resources={"file_search": {"vector_stores": [{"file_ids": [file.id], "metadata": {"a": "b"}}]}}
    )

    assert assistant.tool_resources.file_search is not None
    (store_id,) = assistant.tool_resources.file_search.vector_store_ids
    store = await world.vector_stores.retrieve(store_id)
    assert (store.status, store.file_counts.in_progress, store.metadata) == ("in_progress", 1, {"a": "b"})
    assert store.expires_after is None
    assert "ingest" in world.calls


async def test_what_is_not_named_stays_and_null_resets(world: World) -> None:
    made = await world.assistant(FUNCTION, name="n", instructions="i", temperature=0.5, metadata={"k": "v"})

    await world.assistants.update(made.id, changes(model="gpt-5"))
    named = await world.assistants.retrieve(made.id)
    reset = await world.assistants.update(
        made.id, changes(name=None, temperature=None, metadata=None, tools=None, model=None, response_format=None)
    )

    assert named == made.model_copy(update={"model": "gpt-5"})
    assert (reset.name, reset.temperature, reset.metadata, reset.tools) == (None, 1.0, {}, [])
    assert (reset.model, reset.instructions, reset.response_format) == ("gpt-5", "i", "auto")
    assert await world.assistants.retrieve(made.id) == reset


async def test_resources_of_one_tool_are_changed_without_the_others(world: World) -> None:
    file, store = await world.file(), await world.store()
    made = await world.assistant(tool_resources={"code_interpreter": {"file_ids": [file.id]}})

    both = await world.assistants.update(
        made.id, changes(tool_resources={"file_search": {"vector_store_ids": [store.id]}})
    )
    one = await world.assistants.update(made.id, changes(tool_resources={"code_interpreter": None}))
    none = await world.assistants.update(made.id, changes(tool_resources=None))

    assert both.tool_resources.model_dump() == {
        "code_interpreter": {"file_ids": [file.id]},
        "file_search": {"vector_store_ids": [store.id]},
    }
    assert one.tool_resources.model_dump() == {"file_search": {"vector_store_ids": [store.id]}}
    assert none.tool_resources.model_dump() == {}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"file_search": {"vector_store_ids": ["vs_none"]}}, "No vector store found with id 'vs_none'."),
        ({"file_search": {"vector_stores": [{"file_ids": ["file-none"]}]}}, r"Files \[file-none\] were not found"),
        ({"code_interpreter": {"file_ids": ["file-none"]}}, r"Files \[file-none\] were not found"),
    ],
)
async def test_resources_that_do_not_exist_are_refused(world: World, resources: Any, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        await world.assistant(SEARCH, tool_resources=resources)

    assert (await world.assistants.list(PageQuery())).data == []
    assert (await world.vector_stores.list(PageQuery())).data == []


async def test_a_file_of_an_unknown_kind_is_refused_with_its_extension(world: World) -> None:
    image = await world.file("photo.PNG")

    with pytest.raises(BadRequestError, match=r"Files with extensions \[\.png\] are not supported for") as caught:
        await world.assistant(SEARCH, tool_resources={"file_search": {"vector_stores": [{"file_ids": [image.id]}]}})

    assert (caught.value.code, caught.value.param) == (
        "unsupported_file",
        "tool_resources.file_search.vector_stores[0].file_ids",
    )


async def test_a_deleted_assistant_is_not_found(world: World) -> None:
    assistant = await world.assistant()

    deleted = await world.assistants.delete(assistant.id)

    assert deleted.model_dump() == {"id": assistant.id, "object": "assistant.deleted", "deleted": True}
    for call in (
        world.assistants.retrieve(assistant.id),
        world.assistants.delete(assistant.id),
        world.assistants.update(assistant.id, changes(name="x")),
    ):
        with pytest.raises(NotFoundError, match=f"No assistant found with id '{assistant.id}'."):
            await call
