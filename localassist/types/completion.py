"""Chat completions and embeddings: what programs send to the same server beside the Assistants API."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from localassist.types.common import APIObject, JSONValue, Params

MAX_INPUTS: Final = 2048
"""Source: published OpenAPI document, `CreateEmbeddingRequest.input`: at most 2048 texts in one request."""

Content = str | list[dict[str, JSONValue]]


class OpenParams(Params):
    """Parameters of which some are another server's to understand: unknown names are kept, and passed on."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    @property
    def others(self) -> dict[str, Any]:
        """Give what is not ours to understand, without what was left empty."""
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}


class CalledFunction(Params):
    """A function that a model called, as a client sends it back."""

    name: str
    arguments: str


class ToolCallParam(OpenParams):
    """A call of a model, as a client sends it back."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class ChatMessageParam(OpenParams):
    """A message of a chat prompt."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: Content | None = None
    tool_calls: list[ToolCallParam] | None = None
    tool_call_id: str | None = None


class FunctionParam(Params):
    """A function that the model may call."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, JSONValue] | None = None
    strict: bool | None = None


class ToolParam(Params):
    """A tool that the model may call: a function, the only kind that every model's server knows."""

    type: Literal["function"]
    function: FunctionParam


class NamedFunction(Params):
    """The name of a function."""

    name: str


class ToolChoiceParam(Params):
    """The one function that the model must call."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(Params):
    """What else a stream carries."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatCompletionParams(OpenParams):
    """`POST /chat/completions`."""

    model: str
    messages: Annotated[list[ChatMessageParam], Field(min_length=1)]
    tools: list[ToolParam] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoiceParam | None = None
    parallel_tool_calls: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, JSONValue] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class EmbeddingParams(Params):
    """`POST /embeddings`."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None


class EmbeddingUsage(APIObject):
    """Tokens of the texts, as the hosted models counted them."""

    prompt_tokens: int
    total_tokens: int


class Embedding(APIObject):
    """One vector: its numbers, or in base64 the bytes of its little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Embeddings(APIObject):
    """The vectors of all texts of a request."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
