"""What every chat model looks like to the run loop."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
JSONObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asked for; `arguments` is the text it wrote, which may not be JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat prompt, in the shape that every chat API shares.

    `content` is text, or content parts as the chat completions API writes them (`{"type": "text", …}`,
    `{"type": "image_url", …}`). `tool_calls` belong to an assistant's message, `tool_call_id` to a tool's. `extra` is
    what else a chat completions request says of it (`name` …), and goes to the model's server as it stands.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Sequence[JSONObject]
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None
    extra: JSONObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: JSONObject
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Everything a model call needs. `None` leaves a choice to the model's server.

    `tool_choice` is `auto`, `none`, `required`, or the name of one function behind `function:`.
    `response_format` is the chat completions API's own object. `extra` holds further options of that API (`stop`,
    `seed` …), which go to the model's server as they stand.
    """

    model: str
    messages: Sequence[ChatMessage]
    tools: Sequence[ToolSchema] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    response_format: JSONObject | None = None
    timeout_s: float = 600.0
    extra: JSONObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A fragment of a tool call. `index` tells calls apart; `id` and `name` come once, with the first fragment."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of one model call, as its server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """What came from the model just now. The last one carries `finish_reason`; usage may come with or after it."""

    text: str = ""
    tool_calls: Sequence[ToolCallDelta] = ()
    finish_reason: FinishReason | None = None
    usage: ModelUsage | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model before it is called. `None`: not known, to be learnt from its answers or errors."""

    context_tokens: int | None = None
    supports_tools: bool | None = None
    supports_images: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class ChatModel(Protocol):
    """A chat model behind any provider."""

    def info(self, model: str) -> ModelInfo:
        """Give what is known of `model` without contacting anything."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Call the model once and yield its reply as it comes; closing the iterator ends the call.

        Raises:
            ModelError: the call failed; `retryable` says whether another attempt can help. A stream that was cut before
                its finish reason is such an error, never a short reply.
            ContextLengthError: the prompt was longer than the model's context.
            EgressError: the settings do not allow the model's host.
        """
        ...

    async def close(self) -> None:
        """Close the connections that are kept open."""
        ...
