"""Threads."""

from typing import Literal

from pydantic import Field

from localassist.types.assistant import ToolResources, ToolResourcesParams
from localassist.types.common import APIObject, Metadata, Params
from localassist.types.message import MessageCreateParams


class Thread(APIObject):
    """A conversation."""

    id: str
    object: Literal["thread"] = "thread"
    created_at: int
    metadata: Metadata = Field(default_factory=dict)
    tool_resources: ToolResources = ToolResources()


class ThreadCreateParams(Params):
    """The body of `POST /threads`, which may be absent."""

    messages: list[MessageCreateParams] | None = None
    tool_resources: ToolResourcesParams | None = None
    metadata: Metadata | None = None


class ThreadUpdateParams(Params):
    """The body of `POST /threads/{thread_id}`: what is not sent stays as it is."""

    tool_resources: ToolResourcesParams | None = None
    metadata: Metadata | None = None
