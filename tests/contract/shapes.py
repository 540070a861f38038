"""The shapes of objects: which keys they have, in which order, with which JSON types.

`python -m tests.contract.shapes FOLDER` reads recorded traffic of the hosted API (`SessionRecords` of the openai-dotnet
repository, commit b3b4bbb) and writes `recorded_shapes.json` beside this file: only names and types, no contents.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHAPES = Path(__file__).with_name("recorded_shapes.json")

FREE = {"metadata", "attributes", "parameters", "schema"}
"""Objects whose keys are the client's own."""

KINDS = {
    "assistant", "assistant.deleted", "thread", "thread.deleted", "thread.message", "thread.message.deleted",
    "thread.message.delta", "thread.run", "thread.run.step", "thread.run.step.delta", "file", "vector_store",
    "vector_store.deleted", "vector_store.file", "vector_store.file.deleted", "vector_store.file_batch", "list",
}  # fmt: skip


def type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names[type(value)]


def places(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every object inside `value`, with its place; an element of an array is `[]`, told apart by its `type`."""
    if isinstance(value, dict):
        kind = value.get("type")
        yield (f"{at}<{kind}>" if at.endswith("[]") and isinstance(kind, str) else at), value
        for key, inner in value.items():
            if key not in FREE:
                yield from places(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from places(inner, f"{at}[]")


def objects(value: Any, *, streamed: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the API inside `value`, by its kind; a copy in a stream may have more keys than one over REST."""
    if isinstance(value, dict):
        kind = value.get("object")
        if kind in KINDS:
            yield (
                (f"{kind} (stream)" if streamed else kind),
                {k: [] if kind == "list" and k == "data" else v for k, v in value.items()},
            )
        for inner in value.values():
            yield from objects(inner, streamed=streamed)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner, streamed=streamed)


def shapes_of(found: Iterator[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    shapes: dict[str, dict[str, Any]] = {}
    for kind, value in found:
        for place, inner in places(value):
            shape = shapes.setdefault(kind, {}).setdefault(place, {"always": None, "types": {}})
            always = shape["always"]
            shape["always"] = list(inner) if always is None else [key for key in always if key in inner]
            for key, held in inner.items():
                types = shape["types"].setdefault(key, [])
                if type_of(held) not in types:
                    types.append(type_of(held))
    return shapes


def recorded(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.rglob("*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8-sig"))["Entries"]:
            body = entry["ResponseBody"] if entry["StatusCode"] == 200 else None
            if isinstance(body, dict):
                yield from objects(body, streamed=False)
            elif body is not None:
                yield from streamed_objects("".join(body) if isinstance(body, list) else str(body))


def streamed_objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in text.splitlines():
        if line.startswith("data: {"):
            yield from objects(json.loads(line.removeprefix("data: ")), streamed=True)


def _one_place_a_line(shapes: dict[str, Any]) -> str:
    lines = []
    for kind, by_place in shapes.items():
        inner = ",\n".join(f"  {json.dumps(place)}: {json.dumps(shape)}" for place, shape in by_place.items())
        lines.append(f" {json.dumps(kind)}: {{\n{inner}\n }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    shapes = shapes_of(recorded(Path(sys.argv[1])))
    SHAPES.write_text(_one_place_a_line(shapes), encoding="utf-8")


if __name__ == "__main__":
    main()
