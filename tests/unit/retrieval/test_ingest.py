import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.errors import IngestionError
from localassist.retrieval.content import ContentKey, ContentStore
from localassist.retrieval.embed import WindowEmbedder
from localassist.retrieval.ingest import IngestLimits
from localassist.retrieval.model import ChunkingStrategy, EmbeddedText, Progress
from tests.unit.retrieval.shelf import SMALL, Shelf, small_embedder

TEXT = "The orchard lies behind the house. Plums ripen in August, pears in September, quinces last of all.\n" * 4


class CountingEmbedder:
    """Counts the texts that it embeds."""

    def __init__(self, name: str = "counting") -> None:
        self._inner: WindowEmbedder = small_embedder()
        self.name, self.dim, self.languages = name, self._inner.dim, self._inner.languages
        self.n_texts = 0

    def embed_query(self, queries):
        return self._inner.embed_query(queries)

    def reads_whole(self, query: str) -> bool:
        return self._inner.reads_whole(query)

    def embed_text(self, text: str, *, progress=None) -> EmbeddedText:
        self.n_texts += 1
        return self._inner.embed_text(text, progress=progress)


def shelf_of(root: Path, embedder: CountingEmbedder, **options) -> Shelf:
    root.mkdir(exist_ok=True)
    return Shelf(root, embedder=embedder, **options)


def test_the_report_counts_what_is_in_the_file(tmp_path: Path) -> None:
    _, report = Shelf(tmp_path).prepare("plums\fpears and quinces", chunking=SMALL)

    assert (report.n_pages, report.n_characters, report.n_chunks) == (2, 23, 1)
    assert 4 <= report.n_tokens <= 12
    assert not report.reused_vectors


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(text=st.text(st.sampled_from("ab é漢字\n\f\U0001f642."), min_size=1, max_size=120))
def test_chunks_quote_the_text(tmp_path: Path, text: str) -> None:
    shelf = Shelf(tmp_path)
    key, report = shelf.prepare(text, chunking=ChunkingStrategy(5, 2))

    chunks = shelf.retriever.chunks(key)

    assert shelf.retriever.text(key).text == text
    assert len(chunks) == report.n_chunks
    assert all(chunk in text for chunk in chunks)
    assert text.startswith(chunks[0])
    assert text.endswith(chunks[-1])


def test_the_same_content_again_is_neither_parsed_nor_embedded(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    shelf = shelf_of(tmp_path, embedder)
    first, _ = shelf.prepare(TEXT, name="a.txt")

    again, report = shelf.prepare(TEXT, name="b.TXT")

    assert (again, report.reused_vectors) == (first, True)
    assert (embedder.n_texts, shelf.parser.n_parsed) == (1, 1)


def test_other_chunks_of_the_same_content_share_its_text_and_vectors(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    shelf = shelf_of(tmp_path, embedder)
    first, _ = shelf.prepare(TEXT, chunking=ChunkingStrategy(12, 6))

    second, report = shelf.prepare(TEXT, chunking=ChunkingStrategy(30, 0))

    assert first != second
    assert report.reused_vectors
    assert (embedder.n_texts, shelf.parser.n_parsed) == (1, 1)
    assert len(shelf.on_disk()) == 4


def test_another_ending_is_read_anew_and_another_embedder_embeds_anew(tmp_path: Path) -> None:
    embedder, other = CountingEmbedder(), CountingEmbedder("other")
    shelf = shelf_of(tmp_path, embedder)
    text_key, _ = shelf.prepare(TEXT, name="a.txt")

    assert shelf.prepare(TEXT, name="a.md")[0] != text_key
    assert shelf.parser.n_parsed == 2
    assert shelf_of(tmp_path, other).prepare(TEXT, name="a.txt")[0] != text_key
    assert other.n_texts == 1


def test_a_file_with_too_many_tokens_is_refused_with_both_numbers_and_leaves_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, limits=IngestLimits(max_file_tokens=50))

    with pytest.raises(IngestionError, match=r"'note.txt' has \d+ tokens; at most 50 are allowed") as caught:
        shelf.prepare(TEXT)

    assert caught.value.code == "invalid_file"
    assert not shelf.on_disk()


def test_progress_goes_from_parsing_to_writing_and_may_end_the_work(tmp_path: Path) -> None:
    shelf, seen = Shelf(tmp_path), []
    path = tmp_path / "note.txt"
    path.write_text(TEXT, encoding="utf-8")

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if progress.stage == "write":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        shelf.retriever.prepare(path, file_name="note.txt", content_hash="1", chunking=SMALL, progress=stop)

    assert list(dict.fromkeys(p.stage for p in seen)) == ["parse", "chunk", "embed", "write"]
    assert all(0 <= p.done <= p.total for p in seen)
    assert not shelf.on_disk()


def test_sub_windows_lie_in_reading_order_each_with_its_own_vector(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key, _ = shelf.prepare(TEXT)
    embedded = small_embedder().embed_text(TEXT)

    segment = ContentStore(tmp_path / "index").open(ContentKey.parse(key).vectors_name)

    stored = [segment.array(name).tolist() for name in ("sub_spans", "sub_vectors", "sub_scales")]
    assert [start + end for start, end in stored[0]] == sorted(start + end for start, end in stored[0])
    given_rows = zip(
        embedded.sub_spans.tolist(), embedded.sub_vectors.tolist(), embedded.sub_scales.tolist(), strict=True
    )
    assert sorted(zip(*stored, strict=True)) == sorted(given_rows)
    assert embedded.sub_spans.tolist() != stored[0]


def test_threads_that_bring_the_same_content_embed_it_once(tmp_path: Path) -> None:
    embedder = CountingEmbedder()
    shelf = shelf_of(tmp_path, embedder)
    start = threading.Barrier(6)

    def prepare(_: int) -> str:
        start.wait()
        return shelf.prepare(TEXT)[0]

    with ThreadPoolExecutor(6) as pool:
        keys = set(pool.map(prepare, range(6)))

    assert len(keys) == 1
    assert embedder.n_texts == 1


def test_a_disk_that_cannot_be_written_to_is_an_error_of_the_server(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "index").write_text("a file where a folder should be", encoding="utf-8")

    with pytest.raises(IngestionError, match="could not be written") as caught:
        shelf.prepare(TEXT)

    assert caught.value.code == "server_error"
