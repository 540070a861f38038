"""Messages: create, retrieve, update, list, delete."""

from collections.abc import Callable, Sequence

from localassist import clock
from localassist.errors import BadRequestError, NotFoundError
from localassist.ids import new_id
from localassist.resources import found, tool_resources
from localassist.store import messages as rows
from localassist.store import runs as run_rows
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.common import Deleted, ListPage
from localassist.types.message import (
    Attachment,
    AttachmentParam,
    ContentBlock,
    ContentPartParam,
    ImageFile,
    ImageFileContentBlock,
    ImageFilePartParam,
    ImageURL,
    ImageURLContentBlock,
    ImageURLPartParam,
    Message,
    MessageCreateParams,
    MessageUpdateParams,
    Text,
    TextContentBlock,
    TextPartParam,
)
from localassist.types.thread import Thread


class Messages:
    """What can be done with the messages of a thread."""

    def __init__(self, *, db: Database, wake_ingest: Callable[[], None]) -> None:
        self._db = db
        self._wake_ingest = wake_ingest

    async def create(self, thread_id: str, params: MessageCreateParams) -> Message:
        """Add a message to a thread; attached files are given to the thread's tools in the same transaction.

        Raises:
            NotFoundError: the thread, or a file, does not exist.
            BadRequestError: a run is active in the thread, or an attachment cannot be used.
        """

        def write(conn: Connection) -> Message:
            thread = found.locked_thread(conn, thread_id)
            active = run_rows.active_of(conn, thread_id)
            if active is not None:
                raise BadRequestError(f"Can't add messages to {thread_id} while a run {active.id} is active.")
            _, (message,) = add_messages(conn, thread, [params])
            return message

        message = await self._db.write(write)
        if message.attachments:
            self._wake_ingest()
        return message

    async def retrieve(self, thread_id: str, message_id: str) -> Message:
        """Read a message.

        Raises:
            NotFoundError: there is no such thread, or no such message in it.
        """
        return await self._db.read(lambda conn: found.message(conn, thread_id, message_id))

    async def update(self, thread_id: str, message_id: str, params: MessageUpdateParams) -> Message:
        """Change a message's metadata; null empties it.

        Raises:
            NotFoundError: there is no such thread, or no such message in it.
        """

        def write(conn: Connection) -> Message:
            message = found.message(conn, thread_id, message_id)
            if "metadata" in params.model_fields_set:
                message = message.model_copy(update={"metadata": params.metadata or {}})
                rows.replace(conn, message)
            return message

        return await self._db.write(write)

    async def list(self, thread_id: str, q: PageQuery, run_id: str | None = None) -> ListPage[Message]:
        """Read a page of a thread's messages, or of those that one run wrote.

        Raises:
            NotFoundError: there is no such thread.
        """

        def read(conn: Connection) -> ListPage[Message]:
            found.thread(conn, thread_id)
            return rows.list_page(conn, thread_id, q, run_id=run_id)

        return await self._db.read(read)

    async def delete(self, thread_id: str, message_id: str) -> Deleted:
        """Delete a message; files that were attached to it stay with the thread's tools.

        Raises:
            NotFoundError: there is no such thread, or no such message in it.
        """

        def write(conn: Connection) -> None:
            found.thread(conn, thread_id)
            if not rows.delete(conn, thread_id, message_id):
                raise NotFoundError("message", message_id)

        await self._db.write(write)
        return Deleted(id=message_id, object="thread.message.deleted")


def add_messages(
    conn: Connection, thread: Thread, given: Sequence[MessageCreateParams], *, param: str = ""
) -> tuple[Thread, list[Message]]:
    """Add messages to a thread in their order; the thread as it is then, and the messages.

    Args:
        conn: a transaction that writes.
        thread: where they are added.
        given: the messages; `param` is where in the request they stand, for errors.
        param: see `given`.

    Raises:
        AbsentError: a file does not exist.
        BadRequestError: an attachment cannot be used.
    """
    messages = [_message(thread.id, one, where=f"{param}[{n}]." if param else "") for n, one in enumerate(given)]
    images = [b.image_file.file_id for m in messages for b in m.content if isinstance(b, ImageFileContentBlock)]
    found.files(conn, images, param="content")
    for message in messages:
        rows.insert(conn, message)
    return tool_resources.attach(conn, thread, messages), messages


def _message(thread_id: str, params: MessageCreateParams, *, where: str) -> Message:
    parts: Sequence[ContentPartParam]
    parts = [TextPartParam(type="text", text=params.content)] if isinstance(params.content, str) else params.content
    return Message(
        id=new_id("msg"),
        created_at=clock.now_s(),
        thread_id=thread_id,
        role=params.role,
        content=[_block(part) for part in parts],
        attachments=[
            _attachment(attachment, where=f"{where}attachments[{n}]")
            for n, attachment in enumerate(params.attachments or ())
        ],
        metadata=params.metadata or {},
    )


def _block(part: ContentPartParam) -> ContentBlock:
    match part:
        case TextPartParam():
            return TextContentBlock(text=Text(value=part.text))
        case ImageFilePartParam():
            image = part.image_file
            return ImageFileContentBlock(image_file=ImageFile(file_id=image.file_id, detail=image.detail))
        case ImageURLPartParam():
            return ImageURLContentBlock(image_url=ImageURL(url=part.image_url.url, detail=part.image_url.detail))


def _attachment(params: AttachmentParam, *, where: str) -> Attachment:
    if params.file_id is None:
        name = f"{where}.file_id"
        raise BadRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    return Attachment(file_id=params.file_id, tools=params.tools or [])
