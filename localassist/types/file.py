"""Files."""

from typing import Annotated, Literal

from pydantic import Field

from localassist.types.common import APIObject, Params

FilePurpose = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]
UPLOAD_PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
"""What a client may give, in the order of the hosted service's own error message."""

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Source: published reference, "Files": individual files can be up to 512 MB."""


class FileExpiresAfter(Params):
    """When an uploaded file expires: seconds after it was created."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class FileObject(APIObject):
    """An uploaded file."""

    object: Literal["file"] = "file"
    id: str
    purpose: FilePurpose
    filename: str
    bytes: int
    created_at: int
    expires_at: int | None = None
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None
