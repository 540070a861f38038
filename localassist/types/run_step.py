"""Run steps."""

from typing import Annotated, Any, Literal

from pydantic import Field

from localassist.types.common import APIObject, AttributeValue, Usage
from localassist.types.run import LastError
from localassist.types.vector_store import TextContent

RunStepStatus = Literal["in_progress", "cancelled", "failed", "completed", "expired"]


class MessageCreation(APIObject):
    """The message that a step made."""

    message_id: str


class MessageCreationStepDetails(APIObject):
    """A step that made a message."""

    type: Literal["message_creation"] = "message_creation"
    message_creation: MessageCreation


class CodeInterpreterLogs(APIObject):
    """Text that the code printed."""

    type: Literal["logs"] = "logs"
    logs: str


class CodeInterpreterImageFile(APIObject):
    """The file of an image."""

    file_id: str


class CodeInterpreterImage(APIObject):
    """An image that the code made."""

    type: Literal["image"] = "image"
    image: CodeInterpreterImageFile


class CodeInterpreter(APIObject):
    """Code and what came of it."""

    input: str
    outputs: list[Annotated[CodeInterpreterLogs | CodeInterpreterImage, Field(discriminator="type")]] = Field(
        default_factory=list
    )


class CodeInterpreterToolCall(APIObject):
    """A call of `code_interpreter`."""

    id: str
    type: Literal["code_interpreter"] = "code_interpreter"
    code_interpreter: CodeInterpreter


class FileSearchRankingOptions(APIObject):
    """The ranking options that a search used."""

    ranker: str = "default_2024_08_21"
    score_threshold: float = 0.0


class FileSearchResult(APIObject):
    """One result. `content` is shown only on request; `start_index` and `pages` are beyond the API, and stand with it.

    `start_index` is the passage's first character in the file's text; `pages` are the pages it touches, each with its
    number and its characters in the file's text.
    """

    file_id: str
    file_name: str
    score: float
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    content: list[TextContent] | None = Field(default=None, exclude_if=lambda value: value is None)
    start_index: int | None = Field(default=None, exclude_if=lambda value: value is None)
    pages: list[tuple[int, int, int]] | None = Field(default=None, exclude_if=lambda value: value is None)


class FileSearch(APIObject):
    """A search and its results. `queries` is beyond the API: what the model asked for."""

    ranking_options: FileSearchRankingOptions = FileSearchRankingOptions()
    results: list[FileSearchResult] = Field(default_factory=list)
    queries: list[str] | None = Field(default=None, exclude_if=lambda value: value is None)


class FileSearchToolCall(APIObject):
    """A call of `file_search`."""

    id: str
    type: Literal["file_search"] = "file_search"
    file_search: FileSearch


class FunctionCall(APIObject):
    """A call of one of the client's functions; `output` is null until the client has answered."""

    name: str
    arguments: str
    output: str | None = None


class FunctionToolCall(APIObject):
    """A call of one of the client's functions."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


StepToolCall = Annotated[CodeInterpreterToolCall | FileSearchToolCall | FunctionToolCall, Field(discriminator="type")]


class ToolCallsStepDetails(APIObject):
    """A step that called tools."""

    type: Literal["tool_calls"] = "tool_calls"
    tool_calls: list[StepToolCall] = Field(default_factory=list)


StepDetails = Annotated[MessageCreationStepDetails | ToolCallsStepDetails, Field(discriminator="type")]


class RunStep(APIObject):
    """A step of a run; keys in the order of recorded traffic."""

    id: str
    object: Literal["thread.run.step"] = "thread.run.step"
    created_at: int
    run_id: str
    assistant_id: str
    thread_id: str
    type: Literal["message_creation", "tool_calls"]
    status: RunStepStatus = "in_progress"
    cancelled_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    failed_at: int | None = None
    last_error: LastError | None = None
    step_details: StepDetails
    usage: Usage | None = None

    def shown(self, *, with_content: bool) -> dict[str, Any]:
        """Give the step as the API shows it: the text of search results only `with_content`."""
        step = self.model_dump()
        return step if with_content else without_contents(step)


def without_contents(step: dict[str, Any]) -> dict[str, Any]:
    """Take the texts of search results out of a step, with what stands beside them; changes and gives `step`."""
    for call in step["step_details"].get("tool_calls", ()):
        for result in call.get("file_search", {}).get("results", ()):
            for extra in ("content", "start_index", "pages"):
                result.pop(extra, None)
    return step
