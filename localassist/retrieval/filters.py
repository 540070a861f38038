"""Attribute filters: which files of a vector store a search may look into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from localassist.errors import BadRequestError
from localassist.retrieval.model import AttributeValue

Comparison = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
_COMPARISONS: Final = get_args(Comparison)
_LISTED: Final = ("in", "nin")
_MAX_DEPTH: Final = 10
_MAX_CONDITIONS: Final = 1000
_MAX_LISTED_VALUES: Final = 1000


@dataclass(frozen=True, slots=True)
class AttributeFilter:
    """A condition on one attribute; `values` holds one value, or those of `in` and `nin`."""

    type: Comparison
    key: str
    values: tuple[AttributeValue, ...]


@dataclass(frozen=True, slots=True)
class CompoundFilter:
    """All (`and`) or at least one (`or`) of some filters."""

    type: Literal["and", "or"]
    filters: "tuple[Filter, ...]"


Filter = AttributeFilter | CompoundFilter


def parse_filter(raw: Mapping[str, Any]) -> Filter:
    """Read a filter in the API's form, `{"type": "eq", "key": …, "value": …}` or `{"type": "and", "filters": […]}`.

    Raises:
        BadRequestError: it is not a filter, or nested or long beyond measure; the message says where.
    """
    parsed = _parse(raw, where="filters", depth=1)
    n_conditions = _count(parsed)
    if n_conditions > _MAX_CONDITIONS:
        raise BadRequestError(f"{n_conditions} conditions in filters; at most {_MAX_CONDITIONS}.", param="filters")
    return parsed


def matches(condition: Filter, attributes: Mapping[str, AttributeValue]) -> bool:
    """Tell whether a file with these attributes passes.

    Numbers compare with numbers, strings with strings (by code point), booleans only for equality; values of different
    kinds are not equal, and neither is greater. A file without the attribute passes `ne` and `nin` and nothing else.
    """
    if isinstance(condition, CompoundFilter):
        results = (matches(inner, attributes) for inner in condition.filters)
        return all(results) if condition.type == "and" else any(results)
    found = attributes.get(condition.key)
    match condition.type:
        case "eq" | "in":
            return found is not None and any(_equal(found, value) for value in condition.values)
        case "ne" | "nin":
            return found is None or not any(_equal(found, value) for value in condition.values)
        case ordering:
            return found is not None and _ordered(found, condition.values[0], ordering)


def _parse(raw: Any, *, where: str, depth: int) -> Filter:
    if not isinstance(raw, Mapping):
        raise BadRequestError(f"{where} must be an object, not {raw!r}.", param="filters")
    if depth > _MAX_DEPTH:
        raise BadRequestError(f"filters are nested deeper than {_MAX_DEPTH} levels.", param="filters")
    kind: Any = raw.get("type")
    if kind in ("and", "or"):  # a tuple, since a client may send what cannot be hashed
        return _parse_compound(raw, where=where, depth=depth)
    if kind not in _COMPARISONS:
        allowed = ", ".join((*_COMPARISONS, "and", "or"))
        raise BadRequestError(f"{where}.type is {kind!r}; it must be one of {allowed}.", param="filters")
    key = raw.get("key")
    if not isinstance(key, str) or not key:
        raise BadRequestError(f"{where}.key must be the name of an attribute, not {key!r}.", param="filters")
    return AttributeFilter(kind, key, _parse_values(raw.get("value"), kind=kind, where=f"{where}.value"))


def _parse_compound(raw: Mapping[str, Any], *, where: str, depth: int) -> CompoundFilter:
    inner = raw.get("filters")
    if not _is_list(inner) or not inner:
        raise BadRequestError(f"{where}.filters must be a list of filters, not {inner!r}.", param="filters")
    parsed = tuple(_parse(item, where=f"{where}.filters[{i}]", depth=depth + 1) for i, item in enumerate(inner))
    return CompoundFilter(raw["type"], parsed)


def _parse_values(value: Any, *, kind: Comparison, where: str) -> tuple[AttributeValue, ...]:
    if kind not in _LISTED:
        if not _is_value(value) or (isinstance(value, bool) and kind not in {"eq", "ne"}):
            allowed = "a string, a number or a boolean" if kind in {"eq", "ne"} else "a number or a string"
            raise BadRequestError(f"{where} is {value!r}; {kind!r} takes {allowed}.", param="filters")
        return (value,)
    if not _is_list(value) or not all(map(_is_value, value)):
        raise BadRequestError(
            f"{where} is {value!r}; {kind!r} takes a list of strings, numbers or booleans.", param="filters"
        )
    if len(value) > _MAX_LISTED_VALUES:
        raise BadRequestError(f"{where} has {len(value)} values; at most {_MAX_LISTED_VALUES}.", param="filters")
    return tuple(value)


def _count(condition: Filter) -> int:
    return sum(map(_count, condition.filters)) if isinstance(condition, CompoundFilter) else 1


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_value(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _equal(a: AttributeValue, b: AttributeValue) -> bool:
    return _kind(a) is _kind(b) and a == b


def _ordered(found: AttributeValue, bound: AttributeValue, ordering: Literal["gt", "gte", "lt", "lte"]) -> bool:
    if _kind(found) is not _kind(bound) or isinstance(found, bool):
        return False
    a: Any = found
    match ordering:
        case "gt":
            return bool(a > bound)
        case "gte":
            return bool(a >= bound)
        case "lt":
            return bool(a < bound)
        case "lte":
            return bool(a <= bound)


def _kind(value: AttributeValue) -> type:
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float
