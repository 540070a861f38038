import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import BadRequestError
from localassist.retrieval.filters import matches, parse_filter

FILE = {"year": 2024, "share": 0.5, "team": "legal", "final": True}
NUMBERS = st.integers(-3, 3) | st.floats(-3, 3)


def passes(raw: dict[str, Any], attributes: dict[str, Any] = FILE) -> bool:
    return matches(parse_filter(raw), attributes)


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        ("eq", "year", 2024.0, True),
        ("eq", "year", "2024", False),
        ("eq", "final", True, True),
        ("eq", "final", 1, False),
        ("eq", "none", "x", False),
        ("ne", "team", "sales", True),
        ("ne", "team", "legal", False),
        ("ne", "none", "x", True),
        ("gt", "year", 2023, True),
        ("gt", "year", 2024, False),
        ("gte", "year", 2024, True),
        ("lt", "share", 0.6, True),
        ("lte", "share", 0.4, False),
        ("gt", "team", "kiosk", True),
        ("gt", "team", 3, False),
        ("lt", "team", 3, False),
        ("lt", "final", 2, False),
        ("lt", "none", 3, False),
        ("in", "team", ["legal", "sales"], True),
        ("in", "team", [], False),
        ("in", "none", ["x"], False),
        ("nin", "team", ["legal"], False),
        ("nin", "none", ["x"], True),
    ],
)
def test_a_condition_holds_as_the_table_says(kind: str, key: str, value: object, expected: bool) -> None:
    assert passes({"type": kind, "key": key, "value": value}) is expected


@given(found=NUMBERS, bound=NUMBERS)
def test_numbers_compare_as_in_python(found: float, bound: float) -> None:
    for kind in ("eq", "ne", "gt", "lt"):
        assert passes({"type": kind, "key": "a", "value": bound}, {"a": found}) is getattr(operator, kind)(found, bound)
    for kind, compare in (("gte", operator.ge), ("lte", operator.le)):
        assert passes({"type": kind, "key": "a", "value": bound}, {"a": found}) is compare(found, bound)


def test_and_wants_all_and_or_wants_one() -> None:
    yes, no = {"type": "eq", "key": "year", "value": 2024}, {"type": "eq", "key": "year", "value": 1}

    assert passes({"type": "and", "filters": [yes, {"type": "or", "filters": [no, yes]}]})
    assert not passes({"type": "and", "filters": [yes, no]})
    assert not passes({"type": "or", "filters": [no, no]})


def nested(depth: int) -> dict[str, Any]:
    raw: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(depth - 1):
        raw = {"type": "and", "filters": [raw]}
    return raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("x", "filters must be an object, not 'x'"),
        ({"type": "like", "key": "a", "value": 1}, "filters.type is 'like'; it must be one of eq, ne"),
        ({"type": ["eq"], "key": "a", "value": 1}, r"filters.type is \['eq'\]"),
        ({"type": "eq", "value": 1}, "filters.key must be the name"),
        ({"type": "eq", "key": "a"}, "filters.value is None; 'eq' takes a string, a number or a boolean"),
        ({"type": "eq", "key": "a", "value": [1]}, r"filters.value is \[1\]"),
        ({"type": "gt", "key": "a", "value": True}, "'gt' takes a number or a string"),
        ({"type": "in", "key": "a", "value": "b"}, "'in' takes a list"),
        ({"type": "in", "key": "a", "value": [{}]}, "'in' takes a list"),
        ({"type": "in", "key": "a", "value": ["b"] * 1001}, "1001 values; at most 1000"),
        ({"type": "and", "filters": []}, "filters.filters must be a list"),
        ({"type": "or", "filters": [nested(1), 3]}, r"filters.filters\[1\] must be an object"),
        ({"type": "or", "filters": [nested(1)] * 1001}, "1001 conditions in filters; at most 1000"),
        (nested(11), "nested deeper than 10"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(raw: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=message) as caught:
        parse_filter(raw)

    assert caught.value.param == "filters"


def test_ten_levels_are_allowed() -> None:
    assert passes(nested(10), {"a": 1})
