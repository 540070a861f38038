import os
from pathlib import Path

import numpy as np
import pytest

from localassist import clock
from localassist.retrieval.content import ContentKey, ContentStore, byte_spans, digest, read_document, text_arrays
from localassist.retrieval.model import Document, Heading, Page
from localassist.retrieval.segment import DamagedContentError
from tests.unit.retrieval.shelf import SMALL, Shelf

KEY = ContentKey("aa", "bb", "cc")


class SetClock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def filled(root: Path, *keys: ContentKey) -> ContentStore:
    content = ContentStore(root)
    for key in keys:
        for name in key.names:
            content.write(name, meta={"name": name}, arrays={"a": np.arange(9)})
    return content


def n_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def on_disk(root: Path) -> set[str]:
    return {p.relative_to(root / "content").as_posix() for p in root.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_key_reads_as_it_was_written() -> None:
    assert ContentKey.parse(str(KEY)) == KEY
    for wrong in ("", "a-b", "a-b-c-d", "../x-b-c", "a--c"):
        with pytest.raises(ValueError, match="is not a content key"):
            ContentKey.parse(wrong)


def test_parts_of_a_digest_cannot_run_into_each_other() -> None:
    assert digest("ab", "c", characters=8) != digest("a", "bc", characters=8)


def test_a_document_survives_the_disk(tmp_path: Path) -> None:
    document = Document("é漢\U0001f642", (Page(1, 0, 2), Page(2, 2, 3)), (Heading(1, 0, 1),), 3, 1, "pdf")
    meta, arrays = text_arrays(document)
    content = ContentStore(tmp_path)
    content.write("aa/text", meta=meta, arrays=arrays)

    assert read_document(content.open("aa/text")) == document


def test_spans_of_characters_become_spans_of_bytes() -> None:
    text = "aé漢\U0001f642b"
    spans = np.array([(i, j) for i in range(6) for j in range(i, 6)])

    found = byte_spans(text, spans)

    encoded = text.encode("utf-8")
    assert [encoded[a:b].decode("utf-8") for a, b in found] == [text[a:b] for a, b in spans]


def test_what_no_key_names_is_removed_when_it_is_old(tmp_path: Path) -> None:
    time = SetClock()
    with clock.frozen(time):
        content = filled(tmp_path, KEY, ContentKey("aa", "bb", "dd"), ContentKey("ee", "bb", "cc"))
        time.now += 100

        assert content.collect({str(KEY)}, older_than_s=101) == 0
        assert content.collect({str(KEY)}, older_than_s=100) == 4

    assert on_disk(tmp_path) == set(KEY.names)
    assert not (tmp_path / "content/ee").exists()


def test_what_was_kept_is_young_again(tmp_path: Path) -> None:
    time = SetClock()
    with clock.frozen(time):
        content = filled(tmp_path, KEY)
        time.now += 100
        assert content.keep(KEY.text_name)

        content.collect(set(), older_than_s=50)

    assert on_disk(tmp_path) == {KEY.text_name}


def test_a_half_written_file_of_a_dead_process_is_ignored_and_collected(tmp_path: Path) -> None:
    content = filled(tmp_path, KEY)
    left_over = tmp_path / "content/tmp/123-abc"
    left_over.write_bytes(b"LASEG half")
    os.utime(left_over, (0, 0))

    assert content.keep(KEY.text_name)
    assert content.collect({str(KEY)}, older_than_s=3600) == 1
    assert on_disk(tmp_path) == set(KEY.names)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)

    with pytest.raises(TypeError):
        content.write("aa/text", meta={"not JSON": object()}, arrays={})

    assert on_disk(tmp_path) == set()


def test_removed_content_is_missing_and_not_read_from_memory(tmp_path: Path) -> None:
    content = filled(tmp_path, KEY)
    content.open(KEY.text_name)

    content.collect(set(), older_than_s=-1)

    assert not content.keep(KEY.text_name)
    with pytest.raises(DamagedContentError, match="is missing"):
        content.open(KEY.text_name)


def test_few_files_stay_open_however_many_are_read(tmp_path: Path) -> None:
    content = ContentStore(tmp_path, max_open=3)
    for i in range(20):
        content.write(f"aa/{i}", meta={}, arrays={"a": np.array([i])})
    before = n_open_files()

    values = [content.open(f"aa/{i}").array("a").tolist() for i in range(20)]

    assert values == [[i] for i in range(20)]
    assert n_open_files() - before <= 3


def test_damaged_content_is_made_again_from_the_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key = shelf.add("file-1", "plums and pears grow here")
    names = ContentKey.parse(key).names
    for name in names:
        path = tmp_path / "index/content" / name
        data = path.read_bytes()
        path.write_bytes(data[:-200] + bytes(byte ^ 255 for byte in data[-200:]))
        shelf.retriever.close()

        reason = shelf.retriever.damage(key)
        assert reason is not None
        assert path.name in reason

        assert shelf.prepare("plums and pears grow here", chunking=SMALL)[0] == key
        assert shelf.retriever.damage(key) is None
