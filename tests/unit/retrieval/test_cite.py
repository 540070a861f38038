"""Marks become annotations, whatever pieces they come in."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.cite import Citations, Cited, Source, best_sentence, numbered, without_marks
from localassist.retrieval.model import Page

PASSAGE = "Staff get 28 days of leave. Unused days lapse on 31 March. Ask Human Resources by e-mail."
SOURCES = [
    Source("4:0", "file-a", "handbook.pdf", PASSAGE, 100, (Page(3, 0, 130), Page(4, 130, 400))),
    Source("4:1", "file-b", "指南.md", "退款需要七天。请保留收据。", 0),
]


def cite(text: str, cuts: list[int] | None = None, sources: list[Source] | None = None) -> tuple[str, list[Cited]]:
    """Feed `text` in the pieces that `cuts` make; the text as shown, and the pieces."""
    citations = Citations(SOURCES if sources is None else sources)
    borders = [0, *sorted(c % (len(text) + 1) for c in cuts or []), len(text)]
    pieces = [p for a, b in itertools.pairwise(borders) for p in citations.feed(text[a:b])]
    pieces += citations.finish()
    assert citations.text == "".join(piece.text for piece in pieces)
    return citations.text, pieces


def test_a_mark_becomes_an_annotation_with_its_exact_place() -> None:
    text, pieces = cite("You get 28 days【4:0†source】.")

    (annotation,) = [p.annotation for p in pieces if p.annotation]
    assert text == "You get 28 days【4:0†source】."
    assert text[annotation.start_index : annotation.end_index] == annotation.text == "【4:0†source】"
    assert annotation.file_citation.file_id == "file-a"


def test_places_count_characters_behind_cjk_and_emoji() -> None:
    text, pieces = cite("答案👩‍🚀：需要七天【4:1†指南.md】。")

    (annotation,) = [p.annotation for p in pieces if p.annotation]
    assert text[annotation.start_index : annotation.end_index] == "【4:1†指南.md】"
    assert annotation.file_citation.quote == "退款需要七天。"


def test_the_quote_is_the_sentence_that_bears_out_the_claim_with_its_page_and_characters() -> None:
    _, pieces = cite("Unused leave days lapse at the end of March 【4:0†source】")

    citation = next(p.annotation for p in pieces if p.annotation).file_citation
    assert citation.quote == "Unused days lapse on 31 March."
    assert (citation.start_index, citation.end_index) == (128, 158)
    assert PASSAGE[28:58] == citation.quote
    assert citation.page == 3


def test_a_sentence_on_a_later_page_has_that_page() -> None:
    _, pieces = cite("Write to Human Resources by e-mail【4:0†source】")

    citation = next(p.annotation for p in pieces if p.annotation).file_citation
    assert (citation.quote, citation.page) == ("Ask Human Resources by e-mail.", 4)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("A fact 【9:9†source】.", "A fact."),
        ("A fact【4:7†x】 and more", "A fact and more"),
        ("A fact 【4:7†x】 and more", "A fact and more"),
        ("A fact 【4:7†x】and more", "A fact and more"),
        ("【9†source】", ""),
        ("half a mark 【4:0†sour", "half a mark"),
        ("注意【重要】事项", "注意【重要】事项"),
        ("于【2024】年", "于【2024】年"),
        ("open 【 bracket", "open 【 bracket"),
        ("spaces at the end  ", "spaces at the end  "),
        ("line\n\n【4:9†x】\nline", "line\n\n\nline"),
    ],
)
def test_marks_that_name_no_source_go_and_other_brackets_stay(written: str, shown: str) -> None:
    assert cite(written)[0] == shown


@pytest.mark.parametrize("mark", ["【4:0†source】", "【4:0】", "【0†source】", "【4:0†handbook.pdf】", "【04:00†x】"])
def test_the_forms_that_models_write_are_understood(mark: str) -> None:
    _, pieces = cite(f"28 days{mark}")

    assert [p.annotation.file_citation.file_id for p in pieces if p.annotation] == ["file-a"]


def test_a_half_written_mark_is_never_shown() -> None:
    citations = Citations(SOURCES)

    shown = ["".join(p.text for p in citations.feed(c)) for c in "ok 【4:0†source】 then"]

    assert "".join(shown[:3]) == "ok"
    assert shown[3:14] == [""] * 11
    assert shown[14:16] == [" 【4:0†source】", ""]


@given(
    pieces=st.lists(
        st.sampled_from(["a ", "漢", "👩‍🚀", "【", "】", "【4:0†source】", "【4:5†x】", "4:", "†", "\n", ". "])
    ),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_how_the_stream_is_cut_changes_nothing(pieces: list[str], cuts: list[int]) -> None:
    written = "".join(pieces)

    whole, whole_pieces = cite(written)
    cut, cut_pieces = cite(written, cuts)

    assert cut == whole
    annotations = [p.annotation for p in cut_pieces if p.annotation]
    assert annotations == [p.annotation for p in whole_pieces if p.annotation]
    assert all(cut[a.start_index : a.end_index] == a.text for a in annotations)
    assert "【4:5†x】" not in cut


def test_the_model_sees_each_source_under_its_mark() -> None:
    assert numbered(SOURCES) == (
        f"【4:0†handbook.pdf】 (pages 3 to 4)\n{PASSAGE}\n\n【4:1†指南.md】\n退款需要七天。请保留收据。"
    )


def test_a_file_name_cannot_break_its_mark() -> None:
    assert numbered([Source("4:0", "f", "a】\n【9:9†b.md", "text", 0)]).startswith("【4:0†a___9:9_b.md】\n")


def test_a_sentence_quoted_word_for_word_wins() -> None:
    passage = "Leave is leave. Unused days lapse on 31 March. Days of leave are leave days."

    start, end = best_sentence("leave leave days «Unused days lapse on 31 March.» leave", passage)

    assert passage[start:end] == "Unused days lapse on 31 March."


def test_decimal_points_and_urls_do_not_end_a_sentence() -> None:
    passage = "The fee is 3.50 euros at www.example.org today. It was 2.00."

    start, end = best_sentence("fee 3.50 euros", passage)

    assert passage[start:end] == "The fee is 3.50 euros at www.example.org today."


def test_marks_of_earlier_answers_are_taken_out() -> None:
    text = "A【4:0†x】B【4:1†y】C"

    assert without_marks(text, [(9, 16), (1, 8)]) == "ABC"


def test_lines_broken_for_the_page_belong_to_one_sentence_and_headings_and_rows_stand_alone() -> None:
    passage = (
        "Leave\nEveryone has thirty working days of leave in\neach year, full stop.\n\n"
        "Place | Hotel | Meals\nSweden | 160 euros | 58 euros\nSpain | 120 euros | 40 euros\n- Ask first\n- Pay later"
    )

    def quoted(claim: str) -> str:
        start, end = best_sentence(claim, passage)
        return passage[start:end]

    assert quoted("thirty working days each year") == (
        "Everyone has thirty working days of leave in\neach year, full stop."
    )
    assert quoted("hotels in Sweden: 160 euros") == "Sweden | 160 euros | 58 euros"
    assert quoted("one must pay later") == "- Pay later"
