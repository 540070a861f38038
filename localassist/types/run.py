"""Runs."""

from typing import Annotated, Literal

from pydantic import Field

from localassist.types.assistant import (
    Instructions,
    ReasoningEffort,
    ResponseFormat,
    Temperature,
    Tool,
    ToolChoice,
    ToolResources,
    ToolResourcesParams,
    TopP,
)
from localassist.types.common import APIObject, Metadata, Params, Usage
from localassist.types.message import MessageCreateParams
from localassist.types.thread import ThreadCreateParams

RunStatus = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]


class LastError(APIObject):
    """Why a run or step failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(APIObject):
    """Why a run is incomplete."""

    reason: Literal["max_prompt_tokens", "max_completion_tokens", "content_filter"]


class TruncationStrategy(APIObject):
    """Which messages of the thread the model sees."""

    type: Literal["auto", "last_messages"] = "auto"
    last_messages: Annotated[int, Field(ge=1)] | None = None


class FunctionToCall(APIObject):
    """What the model wants called; `arguments` is JSON text."""

    name: str
    arguments: str


class RequiredActionToolCall(APIObject):
    """A call that the client must answer."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionToCall


class SubmitToolOutputs(APIObject):
    """The calls that wait for their outputs."""

    tool_calls: list[RequiredActionToolCall]


class RequiredAction(APIObject):
    """What the client must do before the run goes on."""

    type: Literal["submit_tool_outputs"] = "submit_tool_outputs"
    submit_tool_outputs: SubmitToolOutputs


class Run(APIObject):
    """A run; keys in the order of recorded traffic."""

    id: str
    object: Literal["thread.run"] = "thread.run"
    created_at: int
    assistant_id: str
    thread_id: str
    status: RunStatus = "queued"
    started_at: int | None = None
    expires_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    required_action: RequiredAction | None = None
    last_error: LastError | None = None
    model: str
    instructions: str | None = None
    tools: list[Tool] = Field(default_factory=list)
    tool_resources: ToolResources = ToolResources()
    metadata: Metadata = Field(default_factory=dict)
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    reasoning_effort: ReasoningEffort | None = None
    max_completion_tokens: int | None = None
    max_prompt_tokens: int | None = None
    truncation_strategy: TruncationStrategy = TruncationStrategy()
    incomplete_details: IncompleteDetails | None = None
    usage: Usage | None = None
    response_format: ResponseFormat = "auto"
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True


class RunOverrides(Params):
    """What a run may set for itself instead of taking it from the assistant."""

    assistant_id: str
    model: str | None = None
    instructions: Instructions | None = None
    tools: Annotated[list[Tool], Field(max_length=20)] | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    max_prompt_tokens: Annotated[int, Field(ge=256)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=256)] | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None


class RunCreateParams(RunOverrides):
    """The body of `POST /threads/{thread_id}/runs`."""

    additional_instructions: str | None = None
    additional_messages: list[MessageCreateParams] | None = None


class ThreadAndRunCreateParams(RunOverrides):
    """The body of `POST /threads/runs`."""

    thread: ThreadCreateParams | None = None
    tool_resources: ToolResourcesParams | None = None


class RunUpdateParams(Params):
    """The body of `POST /threads/{thread_id}/runs/{run_id}`."""

    metadata: Metadata | None = None


class ToolOutputParam(Params):
    """The output of one call."""

    tool_call_id: str | None = None
    output: str | None = None


class SubmitToolOutputsParams(Params):
    """The body of `POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs`."""

    tool_outputs: list[ToolOutputParam]
    stream: bool | None = None
