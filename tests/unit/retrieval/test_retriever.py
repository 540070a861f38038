import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.retrieval.filters import parse_filter
from localassist.retrieval.model import IndexedFile, RankingOptions
from localassist.retrieval.retriever import MemoryLimits
from tests.unit.retrieval.shelf import Shelf

PLUMS = "Plums ripen in August. They are blue and sweet.\fThe plum tree wants much sun and little wind."
PEARS = "Pears ripen in September. Late pears keep until spring, when they lie in a cool cellar."
RULES = "Visitors leave bicycles at the gate. Dogs stay on the lead. The café closes at five o'clock."
UME = "梅の実は六月に熟す。庭園は午前九時に開く。"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    for file_id, text, year in (
        ("plums", PLUMS, 2022),
        ("pears", PEARS, 2023),
        ("rules", RULES, 2024),
        ("ume", UME, 0),
    ):
        shelf.add(file_id, text, attributes={"year": year} if year else {})
    return shelf


@pytest.mark.parametrize(
    ("query", "file_id"),
    [
        ("When do plums ripen?", "plums"),
        ("pear in a cellar", "pears"),
        ("where do I leave my bicycle", "rules"),
        ("梅の実はいつ熟しますか", "ume"),
    ],
)
def test_the_file_that_answers_comes_first(shelf: Shelf, query: str, file_id: str) -> None:
    assert shelf.search(query)[0].file_id == file_id


def test_a_hit_quotes_its_document_and_names_its_pages(shelf: Shelf) -> None:
    hits = [hit for query in ("plum tree sun", "梅", "café closes") for hit in shelf.search(query)]

    assert len({hit.file_id for hit in hits}) == 4
    for hit in hits:
        document = shelf.retriever.text(shelf.file(hit.file_id).content_key)
        assert document.text[hit.start : hit.end] == hit.text
        assert hit.pages == tuple(p for p in document.pages if p.start < hit.end and p.end > hit.start)
    assert {tuple(p.number for p in hit.pages) for hit in hits if hit.file_id == "plums"} >= {(1,), (1, 2)}


def test_scores_lie_in_0_to_1_and_never_increase(shelf: Shelf) -> None:
    for query in ("plums", "plums and pears ripen in cellars", "zebra", "梅の実", "the of"):
        scores = [hit.score for hit in shelf.search(query)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_a_query_that_nothing_answers_scores_far_below_one_that_something_does(shelf: Shelf) -> None:
    assert shelf.search("bicycles at the gate")[0].score > 2 * shelf.search("quantum chromodynamics lattice")[0].score


def test_a_threshold_cuts_where_it_says(shelf: Shelf) -> None:
    hits = shelf.search("when do pears ripen")

    threshold = hits[1].score
    assert shelf.search("when do pears ripen", score_threshold=threshold) == [h for h in hits if h.score >= threshold]


@pytest.mark.parametrize("queries", [(), ("",), (" \n",), ("?!",), ("🙂", "___")])
def test_a_query_without_words_finds_nothing(shelf: Shelf, queries: tuple[str, ...]) -> None:
    assert shelf.search(*queries) == []


@pytest.mark.parametrize("query", ["the of and", "plum " * 20_000, "梅" * 100_000, "\x00plum\ud800", "a" * 100_000])
def test_an_odd_query_is_no_error(shelf: Shelf, query: str) -> None:
    assert isinstance(shelf.search(query), list)


def test_an_empty_or_unknown_store_gives_nothing(shelf: Shelf) -> None:
    assert shelf.search("plums", stores=["vs_2"]) == []
    assert shelf.search("plums", stores=[]) == []
    assert shelf.search("plums", limit=0) == []


def test_several_queries_share_the_places(shelf: Shelf) -> None:
    hits = shelf.search("blue sweet plums", "bicycles at the gate", limit=2)

    assert {hit.file_id for hit in hits} == {"plums", "rules"}
    alone = {q: shelf.search(q)[0].score for q in ("blue sweet plums", "bicycles at the gate")}
    np.testing.assert_allclose([hit.score for hit in hits], sorted(alone.values(), reverse=True))


def test_several_stores_rank_as_one(shelf: Shelf) -> None:
    for i, (file_id, text) in enumerate((("plums", PLUMS), ("pears", PEARS), ("rules", RULES), ("ume", UME))):
        shelf.add(file_id, text, store=f"part_{i % 2}")

    one = shelf.search("late pears ripen", "dogs", limit=20)
    parts = shelf.search("late pears ripen", "dogs", stores=["part_0", "part_1"], limit=20)

    assert [(h.file_id, h.start, h.score) for h in one] == [(h.file_id, h.start, h.score) for h in parts]
    assert {h.store_id for h in parts} == {"part_0", "part_1"}


def test_a_file_in_two_stores_is_found_once_and_two_copies_make_room_for_others(shelf: Shelf) -> None:
    shelf.add("pears", PEARS, store="vs_2")
    for i in range(5):
        shelf.add(f"copy-{i}", PEARS)

    hits = shelf.search("when do pears ripen", stores=["vs_1", "vs_2"], limit=50)

    assert len({(h.file_id, h.start) for h in hits}) == len(hits)
    first = [h.file_id for h in hits].index("plums")
    assert first < [h.file_id for h in hits].index("copy-4")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"type": "gte", "key": "year", "value": 2023}, {"pears", "rules"}),
        ({"type": "ne", "key": "year", "value": 2023}, {"plums", "rules", "ume"}),
        ({"type": "eq", "key": "year", "value": 1999}, set()),
    ],
)
def test_only_files_that_pass_the_filter_are_found(shelf: Shelf, raw: dict[str, Any], expected: set[str]) -> None:
    hits = shelf.search("when do pears and plums ripen", filters=parse_filter(raw), limit=50)

    assert {hit.file_id for hit in hits} == expected


def test_a_filter_is_applied_before_the_best_are_taken(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for i in range(60):
        shelf.add(f"pears-{i}", f"pears pears pears {i}")
    shelf.add("other", "a word about pears and much besides that", attributes={"kind": "other"})

    hits = shelf.search("pears", filters=parse_filter({"type": "eq", "key": "kind", "value": "other"}), limit=5)

    assert [hit.file_id for hit in hits] == ["other"]
    assert hits[0].attributes == {"kind": "other"}


def test_rank_fusion_can_be_asked_for(shelf: Shelf) -> None:
    options = RankingOptions(text_weight=1.0, embedding_weight=0.0)

    hits = shelf.search("plums", options=options, limit=50)

    assert {h.file_id for h in hits if h.score > 0} == {"plums"}


class BackwardsReranker:
    name, depth = "backwards", 3

    def rerank(self, query, passages, scores):
        self.seen = (query, list(passages))
        return np.linspace(0.8, 0.9, len(scores))


def test_a_reranker_reads_the_best_passages_and_has_the_last_word(shelf: Shelf, tmp_path: Path) -> None:
    reranker = BackwardsReranker()
    other = Shelf(tmp_path, reranker=reranker)
    plain = shelf.search("when do plums ripen", options=RankingOptions(rerank=False))

    hits = other.retriever.search([shelf.store()], ["when do plums ripen"], limit=10)

    assert reranker.seen[0] == "when do plums ripen"
    assert len(reranker.seen[1]) == 3
    assert hits[0].text == reranker.seen[1][2]
    assert (
        other.retriever.search([shelf.store()], ["when do plums ripen"], limit=10, options=RankingOptions(rerank=False))
        == plain
    )


def test_a_removed_file_is_not_found_and_leaves_the_disk(shelf: Shelf) -> None:
    assert "rules" in {hit.file_id for hit in shelf.search("bicycles", limit=50)}
    folder = shelf.file("rules").content_key.split("-")[0]

    shelf.remove("rules")

    assert "rules" not in {hit.file_id for hit in shelf.search("bicycles", limit=50)}
    assert shelf.retriever.collect(shelf.live_keys(), older_than_s=-1) == 3
    assert not any(name.startswith(folder) for name in shelf.on_disk())
    assert len(shelf.on_disk()) == 9


def test_a_search_over_files_whose_content_is_gone_gives_the_rest(shelf: Shelf) -> None:
    shelf.search("plums")
    shelf.retriever.collect({shelf.file("pears").content_key}, older_than_s=-1)

    assert {hit.file_id for hit in shelf.search("plums pears gate", limit=50)} == {"pears"}


def test_content_that_comes_back_is_found_again(shelf: Shelf) -> None:
    keep = shelf.live_keys() - {shelf.file("plums").content_key}
    shelf.retriever.collect(keep, older_than_s=-1)
    assert "plums" not in {hit.file_id for hit in shelf.search("plums", limit=50)}
    assert list(shelf.retriever.missing(shelf.store())) == [shelf.file("plums").content_key]

    shelf.prepare(PLUMS)

    assert shelf.search("blue sweet plums")[0].file_id == "plums"
    assert shelf.retriever.missing(shelf.store()) == {}


def test_the_list_of_files_is_read_once_for_each_version(shelf: Shelf) -> None:
    for _ in range(3):
        shelf.search("plums")
    assert shelf.n_loads == 1

    shelf.remove("ume")
    shelf.search("plums")
    shelf.search("pears")
    assert shelf.n_loads == 2


def test_few_stores_stay_open(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, memory=MemoryLimits(max_open_stores=2))
    key = shelf.add("plums", PLUMS)
    for i in range(4):
        shelf.put(IndexedFile("plums", "plums.txt", key, {}), store=f"vs_{i}")
    for name in ("vs_0", "vs_1", "vs_0", "vs_2", "vs_0"):
        assert shelf.search("plums", stores=[name])

    assert shelf.n_loads == 3
    shelf.search("plums", stores=["vs_1"])
    assert shelf.n_loads == 4


@pytest.mark.parametrize("max_code_bytes", [0, 300, 2000])
def test_memory_for_sub_windows_changes_no_score(shelf: Shelf, tmp_path: Path, max_code_bytes: int) -> None:
    tight = Shelf(tmp_path, memory=MemoryLimits(max_code_bytes=max_code_bytes)).retriever

    for query in ("when do plums ripen", "late pears", "梅の実"):
        assert tight.search([shelf.store()], [query], limit=50) == shelf.search(query, limit=50)


def test_threads_search_while_files_come_and_go(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add("always", RULES)
    done = threading.Event()

    def search(_: int) -> int:
        n = 0
        while not done.is_set() or n == 0:
            store = shelf.store()
            listed = {file.file_id for file in store.load()}
            hits = shelf.retriever.search([store], ["bicycles at the gate", "fruit"], limit=50)
            found = {hit.file_id for hit in hits}
            assert "always" in found
            assert found <= listed
            n += 1
        return n

    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(search, i) for i in range(4)]
        try:
            for i in range(12):
                shelf.add(f"fruit-{i}", f"fruit number {i} of many " * (i % 4 + 1))
                if i % 3 == 2:
                    shelf.remove(f"fruit-{i - 1}")
                    shelf.retriever.collect(shelf.live_keys(), older_than_s=3600)
        finally:
            done.set()
        assert all(future.result(timeout=60) > 0 for future in searches)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.sampled_from("plum pear 梅実\n\f"), min_size=1, max_size=80), max_size=4),
    queries=st.lists(st.text(st.sampled_from("plum pear 梅実?"), max_size=20), max_size=3),
    limit=st.integers(1, 6),
)
def test_whatever_is_stored_and_asked_hits_quote_their_documents(tmp_path: Path, texts, queries, limit) -> None:
    shelf = Shelf(tmp_path)
    for i, text in enumerate(texts):
        shelf.add(f"f{i}", text)

    hits = shelf.search(*queries, limit=limit)

    assert len(hits) <= limit
    assert all(texts[int(hit.file_id[1:])][hit.start : hit.end] == hit.text for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_the_words_of_files_that_do_not_pass_lend_no_confidence(shelf: Shelf) -> None:
    others = parse_filter({"type": "ne", "key": "year", "value": 2024})

    everywhere = shelf.search("bicycles at the gate, dogs on the lead")
    elsewhere = shelf.search("bicycles at the gate, dogs on the lead", filters=others)

    assert everywhere[0].file_id == "rules"
    assert elsewhere[0].score < everywhere[0].score / 2
