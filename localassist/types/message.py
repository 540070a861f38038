"""Messages: their content blocks, annotations and attachments."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from localassist.types.assistant import CodeInterpreterTool
from localassist.types.common import APIObject, Metadata, Params

Role = Literal["user", "assistant"]
MessageStatus = Literal["in_progress", "incomplete", "completed"]


class FileCitation(APIObject):
    """Where a citation comes from. All but `file_id` is beyond the API.

    `quote` is the passage that the model was shown; `page` the page it begins on; `start_index` and `end_index` are its
    characters in the file's text.
    """

    file_id: str
    quote: str | None = Field(default=None, exclude_if=lambda value: value is None)
    page: int | None = Field(default=None, exclude_if=lambda value: value is None)
    start_index: int | None = Field(default=None, exclude_if=lambda value: value is None)
    end_index: int | None = Field(default=None, exclude_if=lambda value: value is None)
    file_name: str | None = Field(default=None, exclude_if=lambda value: value is None)


class FileCitationAnnotation(APIObject):
    """A mark in the text that names a file. `start_index` and `end_index` count characters; the end is exclusive."""

    type: Literal["file_citation"] = "file_citation"
    text: str
    start_index: int
    end_index: int
    file_citation: FileCitation


class FilePath(APIObject):
    """A file that `code_interpreter` made."""

    file_id: str


class FilePathAnnotation(APIObject):
    """A link in the text to a file that `code_interpreter` made."""

    type: Literal["file_path"] = "file_path"
    text: str
    start_index: int
    end_index: int
    file_path: FilePath


Annotation = Annotated[FileCitationAnnotation | FilePathAnnotation, Field(discriminator="type")]


class Text(APIObject):
    """Text with its annotations."""

    value: str
    annotations: list[Annotation] = Field(default_factory=list)


class TextContentBlock(APIObject):
    """A text part of a message."""

    type: Literal["text"] = "text"
    text: Text


class ImageFile(APIObject):
    """An image among the uploaded files."""

    file_id: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageFileContentBlock(APIObject):
    """An uploaded image in a message."""

    type: Literal["image_file"] = "image_file"
    image_file: ImageFile


class ImageURL(APIObject):
    """An image elsewhere."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageURLContentBlock(APIObject):
    """An image elsewhere, in a message."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageURL


ContentBlock = Annotated[TextContentBlock | ImageFileContentBlock | ImageURLContentBlock, Field(discriminator="type")]


class FileSearchAttachmentTool(APIObject):
    """The attachment is searched."""

    type: Literal["file_search"]


AttachmentTool = Annotated[CodeInterpreterTool | FileSearchAttachmentTool, Field(discriminator="type")]


class Attachment(APIObject):
    """A file of a message and the tools that get it."""

    file_id: str
    tools: list[AttachmentTool] = Field(default_factory=list)


class IncompleteMessageDetails(APIObject):
    """Why a message is incomplete."""

    reason: Literal["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]


class Message(APIObject):
    """A message. Over REST the hosted service left out four fields: see `rest`."""

    id: str
    object: Literal["thread.message"] = "thread.message"
    created_at: int
    assistant_id: str | None = None
    thread_id: str
    run_id: str | None = None
    status: MessageStatus = "completed"
    incomplete_details: IncompleteMessageDetails | None = None
    incomplete_at: int | None = None
    completed_at: int | None = None
    role: Role
    content: list[ContentBlock]
    attachments: list[Attachment] = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)

    def rest(self) -> dict[str, Any]:
        """Give the message as a REST answer carries it.

        Source: recorded traffic of the hosted API: only the copies in an event stream have `status`,
        `incomplete_details`, `completed_at` and `incomplete_at`.
        """
        return self.model_dump(exclude={"status", "incomplete_details", "completed_at", "incomplete_at"})


class TextPartParam(Params):
    """A text part, in a request."""

    type: Literal["text"]
    text: Annotated[str, StringConstraints(max_length=256_000)]


class ImageFileParam(Params):
    """An uploaded image, in a request."""

    file_id: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageFilePartParam(Params):
    """An uploaded image, in a request."""

    type: Literal["image_file"]
    image_file: ImageFileParam


class ImageURLParam(Params):
    """An image elsewhere, in a request."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImageURLPartParam(Params):
    """An image elsewhere, in a request."""

    type: Literal["image_url"]
    image_url: ImageURLParam


ContentPartParam = Annotated[TextPartParam | ImageFilePartParam | ImageURLPartParam, Field(discriminator="type")]


class AttachmentParam(Params):
    """A file of a message, in a request."""

    file_id: str | None = None
    tools: list[AttachmentTool] | None = None


class MessageCreateParams(Params):
    """The body of `POST /threads/{thread_id}/messages`."""

    role: Role
    content: (
        Annotated[str, StringConstraints(max_length=256_000)] | Annotated[list[ContentPartParam], Field(min_length=1)]
    )
    attachments: list[AttachmentParam] | None = None
    metadata: Metadata | None = None


class MessageUpdateParams(Params):
    """The body of `POST /threads/{thread_id}/messages/{message_id}`."""

    metadata: Metadata | None = None
