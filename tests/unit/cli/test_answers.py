"""A run's events to what a person reads."""

from typing import Any

import pytest
from openai.types.beta import AssistantStreamEvent
from pydantic import TypeAdapter

from localassist.cli.answers import Reader, RunFailedError, Said, clipped

EVENTS: TypeAdapter[Any] = TypeAdapter(AssistantStreamEvent)


def delta(text: str, citation: dict[str, Any] | None = None) -> Any:
    """Make an event as the SDK hands it over."""
    part: dict[str, Any] = {"value": text}
    if citation is not None:
        annotation = {"index": 0, "type": "file_citation", "text": text, "start_index": 0, "end_index": len(text)}
        part["annotations"] = [{**annotation, "file_citation": citation}]
    content = [{"index": 0, "type": "text", "text": part}]
    data = {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": content}}
    return EVENTS.validate_python({"event": "thread.message.delta", "data": data})


def cite(quote: str, *, file_id: str = "file-1", start: int = 0, page: int | None = 3) -> dict[str, Any]:
    return {"file_id": file_id, "quote": quote, "start_index": start, "end_index": start + len(quote), "page": page}


class _Run:
    """An event of a run with only the fields that are read."""

    def __init__(self, status: str, data: dict[str, Any]) -> None:
        self.event = f"thread.run.{status}"
        self.data = type("Data", (), {"last_error": None, "incomplete_details": None, **data})()


def test_marks_become_numbers_in_the_order_of_their_first_use() -> None:
    reader = Reader({"file-1": "/docs/a.pdf"})
    first, second = cite("One.", start=0), cite("Two.", start=9)

    said = list(reader.read([delta("A "), delta("【4:0†a】", first), delta(" B "), delta("【4:1†a】", second),
                             delta(" C "), delta("【4:0†a】", first)]))  # fmt: skip

    assert reader.answer.text == "A [1] B [2] C [1]"
    assert [piece.is_mark for piece in said if isinstance(piece, Said)] == [False, True, False, True, False, True]
    assert [(c.number, c.quote, c.page) for c in reader.answer.citations] == [(1, "One.", 3), (2, "Two.", 3)]


def test_a_mark_that_repeats_the_one_before_it_is_shown_once() -> None:
    reader = Reader({})

    list(reader.read([delta("A"), delta("【4:0†a】", cite("One.")), delta("【4:0†a】", cite("One."))]))

    assert reader.answer.text == "A[1]"
    assert len(reader.answer.citations) == 1


def test_a_citation_has_the_path_and_the_name_of_its_file() -> None:
    reader = Reader({"file-1": "/docs/deep/a.pdf"})

    list(reader.read([delta("【4:0†a】", cite("One.")), delta("【4:1†b】", cite("Two.", file_id="file-2", page=None))]))

    known, unknown = reader.answer.citations
    assert (known.file, known.path) == ("a.pdf", "/docs/deep/a.pdf")
    assert (unknown.file, unknown.path, unknown.page) == ("file-2", None, None)


def test_brackets_that_are_no_citation_stay_text() -> None:
    reader = Reader({})

    list(reader.read([delta("see 【4:0†a】")]))

    assert reader.answer.text == "see 【4:0†a】"
    assert reader.answer.citations == []


def test_a_failed_run_is_an_error_with_the_runs_own_words() -> None:
    error = type("LastError", (), {"message": "No model server answers."})()

    with pytest.raises(RunFailedError, match="The run failed: No model server answers"):
        list(Reader({}).read([delta("A"), _Run("failed", {"status": "failed", "last_error": error})]))


def test_an_incomplete_run_says_why() -> None:
    details = type("Details", (), {"reason": "max_completion_tokens"})()

    with pytest.raises(RunFailedError, match="The run ended as incomplete: max_completion_tokens"):
        list(Reader({}).read([_Run("incomplete", {"status": "incomplete", "incomplete_details": details})]))


def test_a_clipped_text_is_one_line_and_no_longer_than_asked() -> None:
    assert clipped("a\n  b\tc") == "a b c"
    assert clipped("x" * 50, 10) == "x" * 9 + "…"
