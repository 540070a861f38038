"""Requests of API version 1, and what they are in version 2.

Source: published OpenAPI document of version 1 (openai/openai-openapi, commit a20659d).
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from localassist.server.v1.shapes import shown_tool
from localassist.types.assistant import (
    AssistantCreateParams,
    AssistantUpdateParams,
    CodeInterpreterTool,
    Description,
    FileSearchTool,
    FunctionTool,
    Instructions,
    Name,
    NamedToolChoice,
    ResponseFormat,
    Temperature,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    TopP,
)
from localassist.types.common import Metadata, Params
from localassist.types.message import AttachmentParam, MessageCreateParams, Role
from localassist.types.run import RunCreateParams, ThreadAndRunCreateParams, TruncationStrategy
from localassist.types.thread import ThreadCreateParams


def _stringified(given: Any) -> Any:
    return {k: v if isinstance(v, str) else str(v) for k, v in given.items()} if isinstance(given, dict) else given


V1Metadata = Annotated[Metadata, BeforeValidator(_stringified)]
"""Values that are no strings are made strings. Source: recorded traffic: `true` came back as `"True"`."""


class RetrievalTool(Params):
    """The tool that version 2 calls `file_search`."""

    type: Literal["retrieval"]


V1Tool = Annotated[CodeInterpreterTool | RetrievalTool | FunctionTool, Field(discriminator="type")]


class V1NamedToolChoice(Params):
    """The one tool that must be called."""

    type: Literal["function", "code_interpreter", "retrieval"]
    function: ToolChoiceFunction | None = None


V1ToolChoice = Literal["none", "auto", "required"] | V1NamedToolChoice
FileIds = Annotated[list[str], Field(max_length=20)]


class V1AssistantParams(Params):
    """What an assistant is made of."""

    name: Name | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    tools: Annotated[list[V1Tool], Field(max_length=128)] | None = None
    file_ids: FileIds | None = None
    metadata: V1Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None


class V1AssistantCreateParams(V1AssistantParams):
    """The body of `POST /assistants`."""

    model: str

    def v2(self) -> AssistantCreateParams:
        """Give what version 2 would be asked, without the files."""
        return AssistantCreateParams.model_validate(_given(self, "file_ids"))


class V1AssistantUpdateParams(V1AssistantParams):
    """The body of `POST /assistants/{assistant_id}`: what is not sent stays as it is."""

    model: str | None = None

    def v2(self, current: Sequence[Tool]) -> AssistantUpdateParams:
        """Give what version 2 would be asked, without the files; tools that do not change keep their options."""
        return AssistantUpdateParams.model_validate(_given(self, "file_ids", current=current))


class V1AssistantFileCreateParams(Params):
    """The body of `POST /assistants/{assistant_id}/files`."""

    file_id: str


class V1MessageCreateParams(Params):
    """The body of `POST /threads/{thread_id}/messages`. No `file_ids` at all are taken for an empty list of them."""

    role: Role
    content: Annotated[str, StringConstraints(min_length=1, max_length=256_000)]
    file_ids: Annotated[list[str], Field(max_length=10)] | None = None
    metadata: V1Metadata | None = None

    def v2(self, attachments: Sequence[AttachmentParam]) -> MessageCreateParams:
        """Give what version 2 would be asked, with the attachments that stand for the files."""
        return MessageCreateParams.model_validate(
            _given(self, "file_ids") | ({"attachments": list(attachments)} if attachments else {})
        )


class V1ThreadCreateParams(Params):
    """The body of `POST /threads`, which may be absent."""

    messages: list[V1MessageCreateParams] | None = None
    metadata: V1Metadata | None = None

    def v2(self, messages: Sequence[MessageCreateParams]) -> ThreadCreateParams:
        """Give what version 2 would be asked, with its messages."""
        return ThreadCreateParams.model_validate(_given(self) | {"messages": list(messages)})


class V1MetadataParams(Params):
    """The body of requests that change an object's metadata and nothing else."""

    metadata: V1Metadata | None = None


class V1RunOverrides(Params):
    """What a run may set for itself instead of taking it from the assistant."""

    assistant_id: str
    model: str | None = None
    instructions: Instructions | None = None
    tools: Annotated[list[V1Tool], Field(max_length=20)] | None = None
    metadata: V1Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    max_prompt_tokens: Annotated[int, Field(ge=256)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=256)] | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: V1ToolChoice | None = None
    response_format: ResponseFormat | None = None


class V1RunCreateParams(V1RunOverrides):
    """The body of `POST /threads/{thread_id}/runs`."""

    additional_instructions: str | None = None
    additional_messages: list[V1MessageCreateParams] | None = None

    def v2(self, messages: Sequence[MessageCreateParams]) -> RunCreateParams:
        """Give what version 2 would be asked, with the additional messages."""
        return RunCreateParams.model_validate(_given(self) | {"additional_messages": list(messages)})


class V1ThreadAndRunCreateParams(V1RunOverrides):
    """The body of `POST /threads/runs`."""

    thread: V1ThreadCreateParams | None = None

    def v2(self, messages: Sequence[MessageCreateParams]) -> ThreadAndRunCreateParams:
        """Give what version 2 would be asked, with the thread's messages."""
        thread = (self.thread or V1ThreadCreateParams()).v2(messages)
        return ThreadAndRunCreateParams.model_validate(_given(self) | {"thread": thread})


def v2_tools(
    tools: Iterable[CodeInterpreterTool | RetrievalTool | FunctionTool], current: Sequence[Tool]
) -> list[Tool]:
    """Translate tools; one that reads in version 1 as one of `current` is that one, with the options it has there."""
    return [_v2_tool(tool, current) for tool in tools]


def _v2_tool(tool: CodeInterpreterTool | RetrievalTool | FunctionTool, current: Sequence[Tool]) -> Tool:
    translated: Tool = FileSearchTool(type="file_search") if isinstance(tool, RetrievalTool) else tool
    shown = shown_tool(translated.model_dump())
    return next((known for known in current if shown_tool(known.model_dump()) == shown), translated)


def _v2_choice(choice: V1ToolChoice) -> ToolChoice:
    if not isinstance(choice, V1NamedToolChoice):
        return choice
    return NamedToolChoice(type="file_search" if choice.type == "retrieval" else choice.type, function=choice.function)


def _given(params: BaseModel, *without: str, current: Sequence[Tool] = ()) -> dict[str, Any]:
    """Give the fields that the request names, those that version 2 has too in its form."""
    given = {name: getattr(params, name) for name in params.model_fields_set if name not in without}
    if given.get("tools") is not None:
        given["tools"] = v2_tools(given["tools"], current)
    if given.get("tool_choice") is not None:
        given["tool_choice"] = _v2_choice(given["tool_choice"])
    return given
