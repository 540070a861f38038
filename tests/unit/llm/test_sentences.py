"""Text into what can be quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.llm.sentences import sentences


def texts(passage: str) -> list[str]:
    return [sentence.text for sentence in sentences(passage)]


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("One here. Two there! Three? Four…", ["One here.", "Two there!", "Three?", "Four…"]),
        ("Ask Dr. Smith, e.g. on May 3. He knows.", ["Ask Dr. Smith, e.g. on May 3. He knows."]),
        ("Prices rose 3.5 percent. Wages did not.", ["Prices rose 3.5 percent.", "Wages did not."]),
        ("A line that is\nbroken for the page. Next.", ["A line that is broken for the page.", "Next."]),
        ("Er sagte: „Nein.“ Dann ging er.", ["Er sagte: „Nein.“", "Dann ging er."]),
        ("第一句。第二句！“真的吗？”他说。", ["第一句。", "第二句！", "“真的吗？”", "他说。"]),
        ("中文被\n换行。", ["中文被换行。"]),
        ("- first item\n- second item", ["- first item", "- second item"]),
        ("| A | B |\n|---|---|\n| 1 | 2 |", ["| 1 | 2 |"]),
        ("", []),
        ("\n\n---\n", []),
    ],
)
def test_sentences_items_and_rows_are_told_apart(passage: str, expected: list[str]) -> None:
    assert texts(passage) == expected


def test_a_heading_is_no_sentence_but_goes_with_what_stands_below() -> None:
    found = sentences("# Leave\n\nEveryone has 25 days.\n\nSickness\n\nBring a note.")

    assert [(s.text, s.heading) for s in found] == [("Everyone has 25 days.", "Leave"), ("Bring a note.", "Sickness")]


def test_a_heading_with_nothing_below_can_be_quoted() -> None:
    assert texts("It is open.\n\nOffice in Bonn") == ["It is open.", "Office in Bonn"]
    assert texts("Office in Bonn") == ["Office in Bonn"]


@pytest.mark.parametrize(
    "passage",
    [
        "It is meant\nliterally.\nProbation and notice\nThe first four months of work are a probation period.",
        "本馆欢迎您。\n一、开放时间\n博物馆每周二至周日开放，上午九点开馆。",
        "Look it up.\n\nHow wide is it?\n\nThe unit is 1,120 mm wide.",
    ],
)
def test_a_heading_without_an_empty_line_or_with_a_question_mark_is_not_quoted(passage: str) -> None:
    lines = passage.replace("\n\n", "\n").splitlines()

    found = sentences(passage)

    assert [s.text for s in found][1:] == [lines[-1]]
    assert found[-1].heading == lines[-2]


def test_questions_with_nothing_below_are_sentences() -> None:
    assert texts("How wide is it?\n\nHow high is it?") == ["How wide is it?", "How high is it?"]


@pytest.mark.parametrize(
    ("passage", "columns"),
    [
        ("Fees\n\nPlace | Fee | Tax\nOslo | 5 | 1\nBonn | 7 | 2", "Place | Fee | Tax"),
        ("| Place | Fee |\n|---|---|\n| Oslo | 5 |", "Place | Fee"),
        ("Place\tFee\nOslo\t5", ""),  # what the passage begins with may be any row
        ("Fees\n\nOslo | 5 | 3\nBonn | 7 | 2", ""),
    ],
)
def test_the_columns_of_a_row_are_named_where_they_are_known(passage: str, columns: str) -> None:
    assert sentences(passage)[-1].columns == columns


def test_what_the_passage_cut_off_is_known_as_a_part() -> None:
    found = sentences("and ends here. A whole one. This goes on and")

    assert [s.whole for s in found] == [False, True, False]


@given(st.text(st.sampled_from('aB1 .!?\n|-#。！漢か\t"”'), max_size=120))
def test_every_sentence_is_quoted_from_the_passage(passage: str) -> None:
    def bare(text: str) -> str:
        return "".join(text.split())

    rest = bare(passage)
    for sentence in sentences(passage):
        found = bare(sentence.text)
        assert found
        assert found in rest
        rest = rest[rest.index(found) + len(found) :]


def test_what_is_too_long_to_quote_is_cut_at_a_space() -> None:
    found = texts("word " * 400 + "end.")

    assert len(found) > 1
    assert all(len(text) <= 600 and text.startswith(("word", "end")) for text in found)
