from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.retrieval.content import ContentStore
from localassist.retrieval.index import StoreIndex, content_reader, refresh
from localassist.retrieval.model import IndexedFile, StoreFiles
from localassist.retrieval.retriever import Retriever
from tests.unit.retrieval.shelf import PlainParser, Shelf, small_embedder

TEXTS = [
    "Plums ripen in August.",
    "Pears ripen in September, and the late ones in October. " * 3,
    "Quinces are hard, sour and yellow. They keep until Christmas. " * 5,
    "梅の実は六月に熟す。",
    "Figs need a wall that faces south. " * 2,
    "?!",
]
QUERIES = ["when do pears ripen", "hard yellow quinces", "梅の実", "who keeps figs"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    shelf = Shelf(tmp_path_factory.mktemp("library"))
    return shelf.root / "index", [shelf.add(f"file-{i}", text) for i, text in enumerate(TEXTS)]


def stored(version: int, files: list[IndexedFile]) -> StoreFiles:
    return StoreFiles("vs_1", version, lambda: files)


def found(retriever: Retriever, store: StoreFiles) -> list[list[tuple[str, int, int, float]]]:
    hits = [retriever.search([store], [query], limit=5) for query in QUERIES]
    return [[(h.file_id, h.start, h.end, round(h.score, 4)) for h in some] for some in hits]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=5), min_size=1, max_size=6))
def test_files_added_and_removed_in_any_order_give_the_index_of_those_that_remain(library, steps) -> None:
    root, keys = library
    living = Retriever(root, parser=PlainParser(), embedder=small_embedder())
    fresh = Retriever(root, parser=PlainParser(), embedder=small_embedder())
    files: dict[str, IndexedFile] = {}
    for version, step in enumerate(steps):
        for number, stays in step:
            files.pop(f"f{number}", None)
            if stays:
                files[f"f{number}"] = IndexedFile(f"f{number}", f"{number}", keys[number % 6], {})

        store = stored(version, list(files.values()))

        grown = found(living, store)
        fresh.close()
        assert grown == found(fresh, store)
        assert {hit[0] for some in grown for hit in some} <= set(files)


def refreshed(library, index: StoreIndex | None, version: int, files: list[IndexedFile]) -> StoreIndex:
    root, _ = library
    read = content_reader(ContentStore(root), embedder_name=small_embedder().name)
    return refresh(index, stored(version, files), read=read)


def many(keys: list[str], n: int) -> list[IndexedFile]:
    return [IndexedFile(f"f{i}", "", keys[i % 3], {}) for i in range(n)]


def test_files_added_one_by_one_lie_in_few_blocks_and_are_read_once(library) -> None:
    root, keys = library
    read_once = content_reader(ContentStore(root), embedder_name=small_embedder().name)
    n_read, index = 0, None

    def read(key: str):
        nonlocal n_read
        n_read += 1
        return read_once(key)

    for n in range(1, 65):
        index = refresh(index, stored(n, many(keys, n)), read=read)
        assert len(index.blocks) <= 7

    assert n_read == 64


def test_a_block_that_is_mostly_dead_is_read_anew_without_its_dead(library) -> None:
    files = many(library[1], 12)
    index = refreshed(library, None, 1, files)

    masked = refreshed(library, index, 2, files[:9])
    assert [block.block.n_chunks for block in masked.blocks] == [index.blocks[0].block.n_chunks]

    shrunk = refreshed(library, masked, 3, files[:3])
    assert sum(block.block.n_chunks for block in shrunk.blocks) * 4 == index.blocks[0].block.n_chunks
    assert all(block.live_chunks is None for block in shrunk.blocks)


def test_a_refresh_leaves_the_earlier_index_as_it_was(library) -> None:
    files = many(library[1], 4)
    index = refreshed(library, None, 1, files)
    before = [(live.files, None if live.live_chunks is None else live.live_chunks.tolist()) for live in index.blocks]

    refreshed(library, index, 2, files[1:])

    after = [(live.files, None if live.live_chunks is None else live.live_chunks.tolist()) for live in index.blocks]
    assert before == after


def test_new_attributes_reach_the_index_without_reading_content(library) -> None:
    files = many(library[1], 3)
    index = refreshed(library, None, 1, files)
    renamed = [IndexedFile(f.file_id, "new", f.content_key, {"year": 2024}) for f in files]

    def read(key: str):
        raise AssertionError(key)

    again = refresh(index, stored(2, renamed), read=read)

    assert [file.file_name for live in again.blocks for file in live.files if file] == ["new"] * 3


def test_content_that_is_gone_or_of_another_embedder_is_named_and_the_rest_is_there(library) -> None:
    root, keys = library
    gone = "ab-cd-ef"
    files = [IndexedFile("f0", "", gone, {}), IndexedFile("f1", "", keys[0], {})]

    index = refreshed(library, None, 1, files)

    assert [key for key, _ in index.missing] == [gone]
    assert "is missing" in index.missing[0][1]
    assert [file.file_id for live in index.blocks for file in live.files if file] == ["f1"]
    read = content_reader(ContentStore(root), embedder_name="other")
    assert "was made with the embedder" in refresh(None, stored(1, files), read=read).missing[1][1]


def test_windows_of_a_block_point_into_its_own_vectors(library) -> None:
    index = refreshed(library, None, 1, many(library[1], 6))

    for live in index.blocks:
        block = live.block
        assert len(block.window_vectors) == len(block.window_slots) == len(block.window_postings.lengths)
        for slot, (first, end) in zip(block.chunk_slots, block.chunk_windows, strict=True):
            assert np.all(block.window_slots[first:end] == slot)
            assert end > first
