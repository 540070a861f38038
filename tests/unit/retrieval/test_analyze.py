import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.analyze import analyze_text, has_words, terms

MIXED = st.text(st.sampled_from("aBé1_ .-'漢字仮名かなカナ한글ﬁＡ\U00020000\n"), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Runs, running!", ["run", "run"]),
        ("snake_case 3.14", ["snake", "case", "3", "14"]),
        ("what is it about", []),
        ("図書館は", ["図書", "書館", "館は"]),
        ("猫", ["猫"]),
        ("東京2020大会", ["東京", "2020", "大会"]),
        ("한국어", ["한국", "국어"]),
        ("カタカナ・ひらがな", ["カタ", "タカ", "カナ", "ひら", "らが", "がな"]),
        ("ＡＢＣ１２", ["abc12"]),
        ("Größe İstanbul", ["größe", "i̇stanbul"]),
        ("", []),
        ("?! ___ 🙂", []),
    ],
)
def test_text_becomes_these_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@given(MIXED)
def test_each_term_begins_where_it_says(text: str) -> None:
    analyzed = analyze_text(text)

    assert terms(text) == [analyzed.vocabulary[i] for i in analyzed.terms]
    assert sorted(analyzed.starts.tolist()) == analyzed.starts.tolist()
    for term, start in zip(analyzed.terms.tolist(), analyzed.starts.tolist(), strict=True):
        found = terms(text[start : start + len(analyzed.vocabulary[term]) + 8])
        assert found[0] == analyzed.vocabulary[term] or analyzed.vocabulary[term].startswith(found[0])


@given(MIXED, MIXED)
def test_terms_of_two_lines_are_those_of_each(first: str, second: str) -> None:
    assert terms(first + "\n" + second) == terms(first) + terms(second)


def test_of_a_very_long_word_only_the_beginning_counts() -> None:
    assert terms("q" * 1_000_000) == ["q" * 64]


@pytest.mark.parametrize(("text", "expected"), [("a", True), ("七", True), (" \n", False), ("?!🙂_", False)])
def test_words_are_told_from_signs(text: str, expected: bool) -> None:
    assert has_words(text) is expected
