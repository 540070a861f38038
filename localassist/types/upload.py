"""Uploads: files that are sent in parts."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from localassist.types.common import APIObject, Params
from localassist.types.file import FileExpiresAfter, FileObject, FilePurpose

MAX_UPLOAD_BYTES: Final = 8 * 1024**3
"""Source: published reference, "Uploads": an upload can be at most 8 GB."""

MAX_PART_BYTES: Final = 64 * 1024**2
"""Source: the same: each part can be at most 64 MB."""

UPLOAD_EXPIRY_S: Final = 3600
"""Source: the same, and recorded uploads: they expire an hour after they were made."""

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


class Upload(APIObject):
    """A file on its way, in parts."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    filename: str
    purpose: FilePurpose
    status: UploadStatus = "pending"
    expires_at: int
    file: FileObject | None = None
    mime_type: str = ""
    file_expires_after_s: int | None = None

    def shown(self) -> dict[str, Any]:
        """Give the upload as the hosted service showed it: `file` is there once there is one."""
        hidden = {"mime_type", "file_expires_after_s"} | ({"file"} if self.file is None else set())
        return self.model_dump(mode="json", exclude=hidden)


class UploadPart(APIObject):
    """A part of an upload, received."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


class UploadCreateParams(Params):
    """`POST /uploads`. The purpose is checked where files check theirs, in the same words."""

    filename: str
    purpose: str
    bytes: Annotated[int, Field(ge=0, le=MAX_UPLOAD_BYTES)]
    mime_type: str
    expires_after: FileExpiresAfter | None = None


class UploadCompleteParams(Params):
    """`POST /uploads/{upload_id}/complete`."""

    part_ids: list[str]
    md5: str | None = None
