"""What only version 1 of the API had: files of assistants and of messages as objects of their own."""

from typing import Literal

from localassist.types.common import APIObject


class AssistantFile(APIObject):
    """A file of an assistant; its `id` is the file's."""

    id: str
    object: Literal["assistant.file"] = "assistant.file"
    created_at: int
    assistant_id: str


class MessageFile(APIObject):
    """A file of a message; its `id` is the file's."""

    id: str
    object: Literal["thread.message.file"] = "thread.message.file"
    created_at: int
    message_id: str
