"""What every resource of the API shares: base classes, metadata, list pages, usage, errors."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class APIObject(BaseModel):
    """An object as the API returns it. Every field of the published reference is there, nulls included."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EchoedObject(APIObject):
    """An object of the client's that the API echoes, a tool for example. Unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Params(BaseModel):
    """The body of a request. Wrong types are refused, not converted; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
"""At most 16 pairs; keys up to 64 characters, values up to 512. Source: published OpenAPI document, `Metadata`."""

AttributeValue = MetadataValue | float | bool
Attributes = Annotated[dict[MetadataKey, AttributeValue], Field(max_length=16)]
"""As `Metadata`, but a value may be a number or a boolean. Source: the same, `VectorStoreFileAttributes`."""

ObjectT = TypeVar("ObjectT")


class ListPage(APIObject, Generic[ObjectT]):
    """One page of a list. `first_id` and `last_id` are null when it is empty."""

    object: Literal["list"] = "list"
    data: list[ObjectT]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(APIObject):
    """The mark of a deleted object."""

    id: str
    object: str
    deleted: bool = True


class PromptTokenDetails(APIObject):
    """How many of the prompt's tokens the provider took from its cache."""

    cached_tokens: int = 0


class CompletionTokensDetails(APIObject):
    """How many of the completion's tokens were reasoning."""

    reasoning_tokens: int = 0


class Usage(APIObject):
    """Tokens of a run or a step.

    Source: recorded traffic of the hosted API, which spells `prompt_token_details` in the singular.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_token_details: PromptTokenDetails = PromptTokenDetails()
    completion_tokens_details: CompletionTokensDetails = CompletionTokensDetails()

    @classmethod
    def of(cls, *, prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> "Usage":
        """Count one model call."""
        return cls(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            prompt_token_details=PromptTokenDetails(cached_tokens=cached),
            completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning),
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage.of(
            prompt=self.prompt_tokens + other.prompt_tokens,
            completion=self.completion_tokens + other.completion_tokens,
            cached=self.prompt_token_details.cached_tokens + other.prompt_token_details.cached_tokens,
            reasoning=self.completion_tokens_details.reasoning_tokens
            + other.completion_tokens_details.reasoning_tokens,
        )


class ErrorObject(APIObject):
    """What stands under `error` in the API's error body."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


JSONValue = Any
"""JSON that is not ours: JSON schemas of functions, of response formats."""
