"""Assistants and what they are made of: tools, their resources, response format, tool choice."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from localassist.types.common import APIObject, EchoedObject, JSONValue, Metadata, Params
from localassist.types.vector_store import ChunkingStrategyParam

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Name = Annotated[str, StringConstraints(max_length=256)]
Description = Annotated[str, StringConstraints(max_length=512)]
Instructions = Annotated[str, StringConstraints(max_length=256_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]


class HybridSearch(EchoedObject):
    """Weights of the two rankings."""

    embedding_weight: float
    text_weight: float


class RankingOptions(EchoedObject):
    """How `file_search` ranks. Defaults as the hosted service echoed them."""

    ranker: Literal["auto", "default_2024_08_21"] = "default_2024_08_21"
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    hybrid_search: HybridSearch | None = None


class FileSearchOptions(EchoedObject):
    """Overrides for `file_search`; `max_num_results` is echoed only if the caller set it."""

    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    ranking_options: RankingOptions = RankingOptions()


class FileSearchTool(EchoedObject):
    """The tool that searches the vector stores of the assistant and the thread."""

    type: Literal["file_search"]
    file_search: FileSearchOptions = FileSearchOptions()


class CodeInterpreterTool(EchoedObject):
    """The tool that runs the model's Python in a sandbox."""

    type: Literal["code_interpreter"]


class FunctionDefinition(APIObject):
    """A function of the client's own. `parameters` and `strict` are filled in on echo."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = Field(default=None, exclude_if=lambda value: value is None)
    parameters: dict[str, JSONValue] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = False

    @field_validator("parameters", mode="before")
    @classmethod
    def _no_parameters(cls, value: JSONValue) -> JSONValue:
        return {"type": "object", "properties": {}} if value is None else value


class FunctionTool(APIObject):
    """A tool that the client runs itself: the run stops at `requires_action`."""

    type: Literal["function"]
    function: FunctionDefinition


Tool = Annotated[CodeInterpreterTool | FileSearchTool | FunctionTool, Field(discriminator="type")]


class CodeInterpreterResources(APIObject):
    """Files of `code_interpreter`."""

    file_ids: Annotated[list[str], Field(max_length=20)] = Field(default_factory=list)


class FileSearchResources(APIObject):
    """The vector store of `file_search`."""

    vector_store_ids: Annotated[list[str], Field(max_length=1)] = Field(default_factory=list)


class ToolResources(APIObject):
    """What the tools may use. A tool without resources is left out of the JSON, as the hosted service did."""

    code_interpreter: CodeInterpreterResources | None = Field(default=None, exclude_if=lambda value: value is None)
    file_search: FileSearchResources | None = Field(default=None, exclude_if=lambda value: value is None)


class NewVectorStore(Params):
    """A vector store made together with an assistant or thread."""

    file_ids: Annotated[list[str], Field(max_length=10_000)] = Field(default_factory=list)
    chunking_strategy: ChunkingStrategyParam | None = None
    metadata: Metadata | None = None


class FileSearchResourcesParams(Params):
    """`vector_store_ids`, or `vector_stores` to be made: one of them, never both."""

    vector_store_ids: Annotated[list[str], Field(max_length=1)] | None = None
    vector_stores: Annotated[list[NewVectorStore], Field(max_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.vector_store_ids and self.vector_stores:
            raise ValueError("give either 'vector_store_ids' or 'vector_stores', not both")
        return self


class ToolResourcesParams(Params):
    """What the tools may use, in a request."""

    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResourcesParams | None = None


class ResponseFormatText(APIObject):
    """Plain text."""

    type: Literal["text"]


class ResponseFormatJSONObject(APIObject):
    """Any JSON object."""

    type: Literal["json_object"]


class JSONSchemaFormat(APIObject):
    """A JSON schema with a name."""

    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = Field(default=None, exclude_if=lambda value: value is None)
    schema_: dict[str, JSONValue] | None = Field(default=None, alias="schema", exclude_if=lambda value: value is None)
    strict: bool | None = None


class ResponseFormatJSONSchema(APIObject):
    """JSON that follows a schema."""

    type: Literal["json_schema"]
    json_schema: JSONSchemaFormat


ResponseFormat = (
    Literal["auto"]
    | Annotated[ResponseFormatText | ResponseFormatJSONObject | ResponseFormatJSONSchema, Field(discriminator="type")]
)


class ToolChoiceFunction(APIObject):
    """The function that must be called."""

    name: str


class NamedToolChoice(APIObject):
    """The one tool that must be called."""

    type: Literal["function", "code_interpreter", "file_search"]
    function: ToolChoiceFunction | None = Field(default=None, exclude_if=lambda value: value is None)


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice


class Assistant(APIObject):
    """An assistant; keys in the order of recorded traffic."""

    id: str
    object: Literal["assistant"] = "assistant"
    created_at: int
    name: str | None = None
    description: str | None = None
    model: str
    instructions: str | None = None
    tools: list[Tool] = Field(default_factory=list)
    top_p: float | None = 1.0
    temperature: float | None = 1.0
    reasoning_effort: ReasoningEffort | None = None
    tool_resources: ToolResources = ToolResources()
    metadata: Metadata = Field(default_factory=dict)
    response_format: ResponseFormat = "auto"


class AssistantCreateParams(Params):
    """The body of `POST /assistants`."""

    model: str
    name: Name | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    reasoning_effort: ReasoningEffort | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_resources: ToolResourcesParams | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None


class AssistantUpdateParams(Params):
    """The body of `POST /assistants/{assistant_id}`: what is not sent stays as it is."""

    model: str | None = None
    name: Name | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    reasoning_effort: ReasoningEffort | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_resources: ToolResourcesParams | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None
