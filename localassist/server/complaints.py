"""What a validation found wrong, in the API's own words.

Source: error bodies of the hosted API, `contract/CONTRACT.md` section 6.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

from localassist.errors import BadRequestError

Path = tuple[str | int, ...]

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_ELSEWHERE: Final[Mapping[str | int, str]] = {
    "file_ids": " Version 2 of the API takes files in 'attachments' of messages, and in vector stores that "
    "'tool_resources' of assistants and threads name; 'file_ids' needs the header 'OpenAI-Beta: assistants=v1'.",
    "vector_store_ids": " Stores stand in 'tool_resources.file_search.vector_store_ids' of an assistant or a thread.",
}
"""Where to put what programs give under names that another version or another API has."""
_KEY: Final = "[key]"


def complain(errors: Sequence[ErrorDetails], body: Any) -> BadRequestError:
    """Make the one error that a client should read of all that pydantic found in `body`.

    Of the branches of a union the one that fits best speaks: the one whose trouble lies deepest.
    """
    placed = [(data_path(error["loc"], body, named=_names_its_field(error)), error) for error in errors]
    path, _ = placed[0]
    while deeper := next(((p, e) for p, e in placed if len(p) > len(path) and p[: len(path)] == path), None):
        path, _ = deeper
    here = [e for p, e in placed if p == path]
    mistyped = [e for e in here if _is_mistyped(e)]
    if len(mistyped) == len(here):
        return _invalid_type(path, mistyped)
    return _in_words(path, next(e for e in here if not _is_mistyped(e)))


def data_path(loc: Sequence[str | int], body: Any, *, named: bool) -> Path:
    """Give the place in the client's own JSON: pydantic's names of union branches are left out.

    With `named`, the last part is a field's name even though the body does not have it.
    """
    path: list[str | int] = []
    here = body
    for n, part in enumerate(loc):
        last = named and n == len(loc) - 1
        if last or part == _KEY:
            path.append(part)
        elif _holds(here, part):
            path.append(part)
            here = here[part]
    return tuple(path)


def written(path: Path) -> str:
    """Write a place as the API does: `tools[0].function.name`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != _KEY:
            text += f".{part}" if text else part
    return text


def supported(value: object, allowed: Sequence[str], *, param: str) -> BadRequestError:
    """Refuse a value that is not among `allowed`."""
    names = [f"'{name}'" for name in allowed]
    if len(names) > 2:
        names = [*names[:-1], f"and {names[-1]}"]
        listed = ", ".join(names)
    else:
        listed = " and ".join(names)
    shown = f"'{value}'" if isinstance(value, str) else repr(value)
    message = f"Invalid value: {shown}. Supported values are: {listed}."
    if value == "retrieval":
        message += " The tool of version 1 'retrieval' is 'file_search' in version 2."
    return BadRequestError(message, param=param, code="invalid_value")


def type_of(value: object) -> str:
    """Name the JSON type of a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case list() | tuple():
            return "an array"
        case _:
            return "an object"


def above(name: str, value: float, limit: float) -> BadRequestError:
    """Refuse a number that is too large; a `limit` that is an integer means that one was expected."""
    kind = "integer" if isinstance(limit, int) else "decimal"
    return BadRequestError(
        f"Invalid '{name}': {kind} above maximum value. "
        f"Expected a value <= {_digits(limit)}, but got {_digits(value)} instead.",
        param=name,
        code=f"{kind}_above_max_value",
    )


def below(name: str, value: float, limit: float) -> BadRequestError:
    """Refuse a number that is too small, as `above` does."""
    kind = "integer" if isinstance(limit, int) else "decimal"
    return BadRequestError(
        f"Invalid '{name}': {kind} below minimum value. "
        f"Expected a value >= {_digits(limit)}, but got {_digits(value)} instead.",
        param=name,
        code=f"{kind}_below_min_value",
    )


def _digits(number: int | float) -> str:
    """Write a number in full, and without digits that say nothing: `2` for 2.0, but `2000001` for 2000001."""
    if isinstance(number, int):
        return str(number)
    short = f"{number:g}"
    return short if float(short) == number else str(number)


def _holds(here: Any, part: str | int) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(here)


def _names_its_field(error: ErrorDetails) -> bool:
    return error["type"] in {"missing", "extra_forbidden"}


def _is_mistyped(error: ErrorDetails) -> bool:
    return error["type"] in _EXPECTED or (error["type"] == "literal_error" and not isinstance(error["input"], str))


def _invalid_type(path: Path, errors: Sequence[ErrorDetails]) -> BadRequestError:
    expected = list(dict.fromkeys(_EXPECTED.get(e["type"], "a string") for e in errors))
    wanted = expected[0] if len(expected) == 1 else f"one of {', '.join(expected[:-1])} or {expected[-1]}"
    name = written(path)
    got = type_of(errors[0]["input"])
    if not name:
        return BadRequestError(
            f"Invalid type for the request body: expected {wanted}, but got {got} instead.", code="invalid_type"
        )
    return BadRequestError(
        f"Invalid type for '{name}': expected {wanted}, but got {got} instead.", param=name, code="invalid_type"
    )


def _in_words(path: Path, error: ErrorDetails) -> BadRequestError:
    describe = _WORDS.get(error["type"])
    if describe is None:
        name = written(path)
        return BadRequestError(
            f"Invalid '{name}': {error['msg']}." if name else f"Invalid request: {error['msg']}.",
            param=name or None,
            code="invalid_value",
        )
    return describe(path, error["input"], error.get("ctx", {}))


Described = Callable[[Path, Any, Mapping[str, Any]], BadRequestError]


def _missing(path: Path, _value: Any, _ctx: Mapping[str, Any]) -> BadRequestError:
    name = written(path)
    return BadRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _no_tag(path: Path, value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    return _missing((*path, _discriminator(ctx)), value, ctx)


def _wrong_tag(path: Path, _value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    name = written((*path, _discriminator(ctx)))
    return supported(ctx["tag"], re.findall(r"'([^']*)'", ctx["expected_tags"]), param=name)


def _wrong_literal(path: Path, value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    return supported(value, re.findall(r"'([^']*)'", ctx["expected"]), param=written(path))


def _unknown(path: Path, _value: Any, _ctx: Mapping[str, Any]) -> BadRequestError:
    name = written(path)
    hint = _ELSEWHERE.get(path[-1], "")
    return BadRequestError(f"Unknown parameter: '{name}'.{hint}", param=name, code="unknown_parameter")


def _long_string(path: Path, value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    expected = (
        f"Expected a string with maximum length {ctx['max_length']}, but got a string with length {len(value)} instead."
    )
    if path[-1:] == (_KEY,):
        name = written(path[:-2])
        return BadRequestError(
            f"Invalid property name in '{name}': '{value[:16]}…' is too long. {expected}",
            param=name,
            code="property_name_above_max_length",
        )
    name = written(path)
    return BadRequestError(f"Invalid '{name}': string too long. {expected}", param=name, code="string_above_max_length")


def _pattern(path: Path, _value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    name = written(path)
    return BadRequestError(
        f"Invalid '{name}': string does not match pattern. "
        f"Expected a string that matches the pattern '{ctx['pattern']}'.",
        param=name,
        code="invalid_value",
    )


def _too_many(path: Path, value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    name, most, n = written(path), ctx["max_length"], len(value)
    if isinstance(value, dict):
        return BadRequestError(
            f"Invalid '{name}': too many properties. Expected an object with at most {most} properties, "
            f"but got an object with {n} properties instead.",
            param=name,
            code="object_above_max_properties",
        )
    return BadRequestError(
        f"Invalid '{name}': array too long. Expected an array with maximum length {most}, "
        f"but got an array with length {n} instead.",
        param=name,
        code="array_above_max_length",
    )


def _too_few(path: Path, value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    name, least = written(path), ctx["min_length"]
    got = f"an array with length {len(value)}" if value else "an empty array"
    return BadRequestError(
        f"Invalid '{name}': array too short. Expected an array with minimum length {least}, but got {got} instead.",
        param=name,
        code="empty_array" if not value else "array_below_min_length",
    )


def _own_rule(path: Path, _value: Any, ctx: Mapping[str, Any]) -> BadRequestError:
    name = written(path)
    subject = f"'{name}'" if name else "request"
    return BadRequestError(f"Invalid {subject}: {ctx['error']}.", param=name or None, code="invalid_value")


def _discriminator(ctx: Mapping[str, Any]) -> str:
    return str(ctx["discriminator"]).strip("'")


_WORDS: Final[Mapping[str, Described]] = {
    "missing": _missing,
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _wrong_tag,
    "literal_error": _wrong_literal,
    "extra_forbidden": _unknown,
    "string_too_long": _long_string,
    "string_pattern_mismatch": _pattern,
    "too_long": _too_many,
    "too_short": _too_few,
    "value_error": _own_rule,
    "less_than_equal": lambda path, value, ctx: above(written(path), value, ctx["le"]),
    "greater_than_equal": lambda path, value, ctx: below(written(path), value, ctx["ge"]),
}
