"""Which files a run waits for before it searches."""

import asyncio

import pytest

from localassist.tools.stores import StoreSearcher
from localassist.types.run import Run, RunCreateParams
from localassist.types.vector_store import VectorStore, VectorStoreFileCreateParams
from tests.unit.resources.conftest import World

SEARCH = {"type": "file_search"}


async def run_of(world: World, store: VectorStore, *, owner: str) -> Run:
    """A run with `store` at its assistant or at its thread."""
    resources = {"tool_resources": {"file_search": {"vector_store_ids": [store.id]}}}
    assistant = await world.assistant(SEARCH, **(resources if owner == "assistant" else {}))
    thread = await world.thread("Who is quick?", **(resources if owner == "thread" else {}))
    return await world.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id))


def searching(world: World, run: Run) -> "asyncio.Task[list[str]]":
    async def search() -> list[str]:
        searcher = StoreSearcher(world.db, lambda: world.retriever)
        return [hit.file_id for hit in await searcher(run, ["fox"], limit=5, score_threshold=0.0)]

    return asyncio.create_task(search())


@pytest.mark.parametrize("owner", ["assistant", "thread"])
async def test_a_run_finds_files_that_were_added_just_before_it(world: World, owner: str) -> None:
    file = await world.file("fox.txt", "The quick brown fox.")
    run = await run_of(world, await world.store(file), owner=owner)

    search = searching(world, run)
    done, _ = await asyncio.wait({search}, timeout=0.3)
    await world.ingest_all()

    assert not done
    assert await search == [file.id]


async def test_files_that_are_added_meanwhile_are_not_waited_for(world: World) -> None:
    first = await world.file("fox.txt", "The quick brown fox.")
    store = await world.store(first)
    run = await run_of(world, store, owner="assistant")

    search = searching(world, run)
    await asyncio.wait({search}, timeout=0.1)
    later = await world.file("more.txt", "Another fox.")
    await world.vector_stores.create_file(store.id, VectorStoreFileCreateParams(file_id=later.id))
    await world.vector_stores.ingest(await world.claim_file())

    assert await asyncio.wait_for(search, timeout=5) == [first.id]


async def test_a_run_that_was_created_long_ago_does_not_wait_for_its_assistants_files(world: World) -> None:
    run = await run_of(world, await world.store(await world.file()), owner="assistant")

    older = run.model_copy(update={"created_at": run.created_at - 60})

    assert await asyncio.wait_for(searching(world, older), timeout=5) == []
