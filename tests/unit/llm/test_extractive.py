"""The answerer without a language model: it searches, quotes, cites, and says what it is."""

import json
from collections.abc import Sequence

import pytest

from localassist.llm.base import ChatMessage, ChatRequest, Delta, ToolCall, ToolSchema
from localassist.llm.extractive import ExtractiveModel
from localassist.llm.languages import WORDINGS, language
from localassist.llm.quoting import Passage, choose, read_passages

SEARCH = ToolSchema("file_search", "", {"type": "object", "properties": {"queries": {"type": "array"}}})
HANDBOOK = """【4:0†handbook.pdf】 (page 3)
# Leave

Employees are entitled to 25 days of paid
vacation per calendar year. Unused days may be carried over until March 31.

【4:1†guide.md】
The office opens at 8 a.m. and closes at 6 p.m. Parking is free.

| Item | Limit |
|---|---|
| Hotel | 150 EUR per night |
| Meals | 40 EUR per day |
"""


async def deltas_of(
    *messages: ChatMessage, tools: Sequence[ToolSchema] = (SEARCH,), choice: str = "auto"
) -> list[Delta]:
    request = ChatRequest("localassist/extractive", messages, tools, tool_choice=choice)
    return [delta async for delta in ExtractiveModel().stream(request)]


def found(text: str) -> list[ChatMessage]:
    return [
        ChatMessage("assistant", "", [ToolCall("call_1", "file_search", "{}")]),
        ChatMessage("tool", text, tool_call_id="call_1"),
    ]


async def answer(question: str, sources: str) -> str:
    return "".join(d.text for d in await deltas_of(ChatMessage("user", question), *found(sources)))


async def test_it_asks_for_a_search_first_and_streams_no_text_before() -> None:
    deltas = await deltas_of(ChatMessage("user", "How many vacation days are there?"))

    (call,) = [call for delta in deltas for call in delta.tool_calls]
    assert (call.index, call.name) == (0, "file_search")
    assert json.loads(call.arguments) == {"queries": ["How many vacation days are there?"]}
    assert deltas[-1].finish_reason == "tool_calls"
    assert not any(d.text for d in deltas)


async def test_a_question_that_says_little_takes_the_one_before_with_it() -> None:
    deltas = await deltas_of(
        ChatMessage("user", "How many vacation days are there?"),
        *found(HANDBOOK),
        ChatMessage("assistant", "25【4:0†handbook.pdf】"),
        ChatMessage("user", "And in March?"),
    )

    (call,) = [call for delta in deltas for call in delta.tool_calls]
    assert json.loads(call.arguments) == {"queries": ["How many vacation days are there?\nAnd in March?"]}


@pytest.mark.parametrize(
    ("question", "sources", "quotation", "lang"),
    [
        (
            "How many vacation days do employees get?",
            HANDBOOK,
            "“Employees are entitled to 25 days of paid vacation per calendar year.”【4:0†handbook.pdf】",
            "en",
        ),
        (
            "What is the hotel limit per night?",
            HANDBOOK,
            "“| Hotel | 150 EUR per night |”【4:1†guide.md】 (Item | Limit)",
            "en",
        ),
        (
            "员工每年有多少天年假？",
            "【4:0†手册.txt】\n员工每年享有十五天带薪年假。病假需要提供医生证明。\n\n【4:1†b.txt】\n办公室早上八点开门。",
            "“员工每年享有十五天带薪年假。”【4:0†手册.txt】",
            "zh",
        ),
        (
            "有給休暇は何日ですか？",
            "【7:3†規則.txt】\n申請は人事部に提出してください。従業員は年間二十日の有給休暇を取得できます。",
            "「従業員は年間二十日の有給休暇を取得できます。」【7:3†規則.txt】",
            "ja",
        ),
        (
            "Wie lang ist die Kündigungsfrist?",
            "【4:0†h.md】\nDer Urlaub beträgt 30 Tage. Die Kündigungsfrist beträgt drei Monate zum Quartalsende.",
            "„Die Kündigungsfrist beträgt drei Monate zum Quartalsende.“【4:0†h.md】",
            "de",
        ),
        (
            "¿Cuántos días de vacaciones hay?",
            "【4:0†m.md】\nLa oficina abre a las ocho. Hay 22 días de vacaciones al año.",
            "«Hay 22 días de vacaciones al año.»【4:0†m.md】",
            "es",
        ),
        (
            "Quelle est la durée du préavis ?",
            "【4:0†c.md】\nLe bureau ouvre à huit heures. Le préavis a une durée de deux mois.",
            "« Le préavis a une durée de deux mois. »【4:0†c.md】",
            "fr",
        ),
    ],
)
async def test_the_best_sentence_is_quoted_with_the_mark_of_its_source(
    question: str, sources: str, quotation: str, lang: str
) -> None:
    text = await answer(question, sources)

    assert text.startswith(quotation)
    assert text.endswith(WORDINGS[lang].quoted)


async def test_a_question_in_latin_script_is_never_answered_in_chinese() -> None:
    chinese = "【4:0†指南.txt】\n博物馆每周二至周日开放。\n\n"

    assert (await answer("xyzzy quux", chinese)).startswith(WORDINGS["en"].nearest)
    german = f"{chinese}【4:1†h.md】\nDer Urlaub beträgt 30 Tage und wird mit dem Leiter der Werft besprochen."
    assert (await answer("xyzzy quux", german)).startswith(WORDINGS["de"].nearest)
    assert (await answer("天气", chinese)).startswith(WORDINGS["zh"].nearest)


async def test_the_names_of_columns_stand_outside_of_the_quotation() -> None:
    table = "Hotels\n\nPlace | Hotel, per night | Meals\nSweden | 160 euros | 58 euros\nSpain | 120 euros | 40 euros"

    text = await answer("How much is a hotel in Spain?", f"【4:0†t.docx】\n{table}")

    assert text.startswith("“Spain | 120 euros | 40 euros”【4:0†t.docx】 (Place | Hotel, per night | Meals)")


async def test_a_question_word_alone_brings_no_second_quotation() -> None:
    text = await answer(
        "How much does parking cost?",
        "【4:0†a.md】\nParking costs nothing.\n\n【4:1†b.md】\nThere is much to see. Much of it is old.",
    )

    assert text.count("【") == 1


async def test_with_no_passage_it_says_so_and_cites_nothing() -> None:
    text = await answer("How many vacation days are there?", "No passage matches.")

    assert text == WORDINGS["en"].nothing


async def test_without_shared_words_it_shows_the_nearest_passage_as_no_more_than_that() -> None:
    text = await answer("Who was president of Peru?", HANDBOOK)

    assert text.startswith(WORDINGS["en"].nearest)
    assert text.count("【") == 1


async def test_without_a_search_tool_it_says_what_it_can_do() -> None:
    deltas = await deltas_of(ChatMessage("user", "Hello, who are you?"), tools=())

    assert "".join(d.text for d in deltas) == WORDINGS["en"].no_search


async def test_tools_that_are_forbidden_are_not_called() -> None:
    deltas = await deltas_of(ChatMessage("user", "How many days?"), choice="none")

    assert not any(d.tool_calls for d in deltas)


async def test_sources_in_the_instructions_are_used_as_they_are() -> None:
    deltas = await deltas_of(
        ChatMessage("system", f"Answer from these.\n\n{HANDBOOK}"), ChatMessage("user", "When does the office open?")
    )

    assert "".join(d.text for d in deltas).startswith(
        "“The office opens at 8 a.m. and closes at 6 p.m.”【4:1†guide.md】"
    )


async def test_the_text_comes_in_small_pieces_and_usage_with_the_end() -> None:
    deltas = await deltas_of(ChatMessage("user", "When does the office open?"), *found(HANDBOOK))

    assert max(len(d.text) for d in deltas) <= 30
    assert len([d for d in deltas if d.text]) > 5
    usage = deltas[-1].usage
    assert usage is not None
    assert usage.prompt_tokens > usage.completion_tokens > 0


def test_the_same_sentence_in_two_passages_is_quoted_once() -> None:
    passages = [
        Passage("【4:0†a】", "The fee is 5 EUR. Bring cash."),
        Passage("【4:1†a】", "Please note. The fee is 5 EUR."),
    ]

    assert [(q.text, q.mark) for q in choose("What is the fee?", passages)] == [("The fee is 5 EUR.", "【4:0†a】")]


def test_a_rare_word_of_the_question_counts_more_than_common_ones() -> None:
    text = (
        "Every employee of the company gets a badge. Every employee of the company gets a desk. "
        "Every employee of the company gets a locker. Sabbaticals last six months."
    )

    best = choose("Does an employee of the company get a sabbatical?", [Passage("【4:0†a】", text)])[0]

    assert best.text == "Sabbaticals last six months."


def test_passages_are_read_with_their_marks_and_without_what_stands_beside_them() -> None:
    assert read_passages("Results:\n" + HANDBOOK)[0].text.startswith("# Leave")
    assert [p.mark for p in read_passages(HANDBOOK)] == ["【4:0†handbook.pdf】", "【4:1†guide.md】"]
    assert read_passages("See 【4:0†x】 in passing.") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("What is the notice period?", "en"),
        ("Wie lange ist die Frist?", "de"),
        ("¿Cuál es el plazo?", "es"),
        ("Quel est le délai pour cela ?", "fr"),
        ("期限是多久？", "zh"),
        ("期限はいつですか", "ja"),
        ("12345", "en"),
    ],
)
def test_the_language_of_a_question_is_known(text: str, name: str) -> None:
    assert language(text) == name


def chosen(question: str, text: str) -> list[str]:
    return [quotation.text for quotation in choose(question, [Passage("【4:0†a】", text)])]


def test_the_row_that_answers_is_quoted_and_not_the_names_of_its_columns() -> None:
    table = "Place | Hotel, per night, at most | Meals\nSweden | 160 euros | 58 euros\nSpain | 120 euros | 40 euros"

    assert chosen("How much is a hotel night in Spain?", table) == ["Spain | 120 euros | 40 euros"]


def test_a_code_in_the_question_outweighs_its_other_words() -> None:
    text = (
        "The heat pump warms a house. The heat pump is quiet.\n\nE31 | Propane was found in the housing | Leave at once"
    )

    assert chosen("What does error E31 of the heat pump mean?", text)[0].startswith("E31 |")


def test_two_questions_in_one_are_both_answered() -> None:
    text = "The bowl is the treasure of the house. Parking is free. It was found in 1978 at White Rock."

    assert chosen("What is the treasure? Where was it found?", text) == [
        "The bowl is the treasure of the house.",
        "It was found in 1978 at White Rock.",
    ]


def test_a_heading_that_holds_all_that_is_found_leads_to_what_stands_below() -> None:
    text = "一、开放时间\n博物馆每周二至周日开放，上午九点开馆。\n二、门票\n成人四十元，学生凭学生证二十元。"

    assert chosen("门票多少钱？", text) == ["成人四十元，学生凭学生证二十元。"]
