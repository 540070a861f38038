"""What a tool is to the run loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import orjson

from localassist.errors import LocalAssistError
from localassist.retrieval.cite import Source
from localassist.types.run import Run
from localassist.types.run_step import StepToolCall

JSONObject = Mapping[str, Any]


class ToolArgumentsError(LocalAssistError):
    """The model wrote arguments that the tool cannot use; the message is what the model reads."""


class ToolUnusableError(LocalAssistError):
    """The tool cannot work in this run at all; the message is the run's `last_error`."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Where a call stands: the run, and how many calls of this tool came before it."""

    run: Run
    call_id: str
    n_earlier_calls: int


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What came of a call: the text for the model, the record for the step, the sources it may cite."""

    text: str
    record: StepToolCall
    sources: Sequence[Source] = ()


class Tool(Protocol):
    """A tool that the engine itself carries out."""

    name: ClassVar[str]
    description: ClassVar[str]
    parameters: ClassVar[JSONObject]

    def announce(self, context: ToolContext) -> dict[str, Any]:
        """Give the call as the stream first shows it, without its index."""
        ...

    async def call(self, arguments: str, context: ToolContext) -> ToolOutput:
        """Carry out one call.

        Raises:
            ToolUnusableError: the tool cannot work in this run at all, and the run must fail.
        """
        ...

    def replay(self, record: StepToolCall, n_earlier_calls: int) -> ToolOutput | None:
        """Give again what a recorded call gave; None when the record is another tool's."""
        ...


def parse_arguments(arguments: str) -> JSONObject:
    """Read the JSON object that a model wrote.

    Raises:
        ToolArgumentsError: it is not a JSON object.
    """
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError as error:
        raise ToolArgumentsError(f"The arguments are not valid JSON ({error}). Call the tool again.") from error
    if not isinstance(parsed, dict):
        raise ToolArgumentsError("The arguments must be a JSON object. Call the tool again.")
    return parsed
