"""What happens in a run, written down: steps, the message, the run's state, and the events that tell of them."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

from localassist import clock
from localassist.ids import new_id
from localassist.retrieval.cite import Cited
from localassist.runs import lifecycle
from localassist.runs.events import EventWriter, event
from localassist.store import messages as message_rows
from localassist.store import runs as run_rows
from localassist.store.database import Connection, Database
from localassist.store.jobs import Fence, LostLease
from localassist.types.common import Usage
from localassist.types.event import EventName, message_delta, step_delta
from localassist.types.message import (
    FileCitationAnnotation,
    IncompleteMessageDetails,
    Message,
    Text,
    TextContentBlock,
)
from localassist.types.run import IncompleteDetails, LastError, RequiredAction, Run, RunStatus
from localassist.types.run_step import (
    MessageCreation,
    MessageCreationStepDetails,
    RunStep,
    RunStepStatus,
    StepToolCall,
    ToolCallsStepDetails,
)

MessageEnd = Literal["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]
Change = Callable[[Connection], None]

_STEP_EVENT: dict[RunStepStatus, EventName] = {
    "completed": "thread.run.step.completed",
    "failed": "thread.run.step.failed",
    "cancelled": "thread.run.step.cancelled",
    "expired": "thread.run.step.expired",
}
_STEP_END: dict[RunStatus, RunStepStatus] = {
    "cancelled": "cancelled",
    "expired": "expired",
    "failed": "failed",
    "incomplete": "completed",  # as recorded: the message is incomplete, its step completed
}
_STEP_STAMP: dict[RunStepStatus, str] = {
    "completed": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}


class StateChangedError(Exception):
    """The run is no longer in the state its worker left it in: somebody is cancelling it."""


P = ParamSpec("P")
T = TypeVar("T")


def uninterrupted(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a transaction come to its end when the run is cancelled meanwhile, so that memory and rows agree."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(method(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # the caller is told that it was cancelled; whoever ends the run looks at its rows
            raise

    return call


class Recorder:
    """Writes down one run while it is carried out. Each method is one transaction."""

    def __init__(self, run: Run, fence: Fence, writer: EventWriter) -> None:
        self.run = run
        self.fence = fence
        self._writer = writer
        self._message: tuple[Message, RunStep] | None = None
        self._tool_step: RunStep | None = None
        self._n_annotations = 0
        self._n_text_deltas = 0

    @uninterrupted
    async def start(self) -> None:
        """Queued to in progress."""
        if self.run.status == "queued":
            await self._commit_run(lifecycle.move(self.run, "in_progress", at=clock.now_s()))

    async def reload(self, db: Database) -> None:
        """Read the run's state again: somebody else has changed it.

        Raises:
            LostLease: the run is gone.
        """
        run = await db.read(lambda conn: run_rows.by_id(conn, self.run.id))
        if run is None:
            raise LostLease(self.run.id)  # the thread was deleted, and the run with it
        self.run = run

    @uninterrupted
    async def tell_cancelling(self) -> None:
        """Tell that the client asked to cancel the run; the client's request changed the state, not the log."""
        await self._writer.commit([event("thread.run.cancelling", self.run.model_dump())])

    # --- the message ---

    @property
    def message_is_open(self) -> bool:
        """Tell whether a message is being written."""
        return self._message is not None

    @uninterrupted
    async def open_message(self) -> None:
        """Begin a message and the step that makes it."""
        message = Message(
            id=new_id("msg"),
            created_at=clock.now_s(),
            assistant_id=self.run.assistant_id,
            thread_id=self.run.thread_id,
            run_id=self.run.id,
            status="in_progress",
            role="assistant",
            content=[],
        )
        step = self._new_step(
            "message_creation", MessageCreationStepDetails(message_creation=MessageCreation(message_id=message.id))
        )

        def change(conn: Connection) -> None:
            message_rows.insert(conn, message)
            run_rows.insert_step(conn, step, self.fence)

        await self._writer.commit(
            [
                *self._step_opened(step),
                event("thread.message.created", message.model_dump()),
                event("thread.message.in_progress", message.model_dump()),
            ],
            change,
        )
        self._message = message, step
        self._n_annotations = self._n_text_deltas = 0

    def show_text(self, pieces: Sequence[Cited]) -> None:
        """Show pieces of the message's text, with the annotations they carry."""
        message, _ = self._open_message()
        for piece in pieces:
            text: dict[str, Any] = {"value": piece.text}
            if piece.annotation is not None:
                annotation = {"index": self._n_annotations, **piece.annotation.model_dump()}
                text["annotations"] = [annotation]
                self._n_annotations += 1
            elif self._n_text_deltas == 0:
                text["annotations"] = []
            self._n_text_deltas += 1
            delta = message_delta(message.id, [{"index": 0, "type": "text", "text": text}])
            self._writer.show("thread.message.delta", delta)

    def message_closed(
        self,
        text: str,
        annotations: Sequence[FileCitationAnnotation],
        usage: Usage | None,
        *,
        why_incomplete: MessageEnd | None = None,
        step_status: RunStepStatus = "completed",
        last_error: LastError | None = None,
    ) -> tuple[list[tuple[str, str]], Change]:
        """Give the events and the change that end the message and its step; they take effect when committed."""
        (message, step), now = self._open_message(), clock.now_s()
        content = [TextContentBlock(text=Text(value=text, annotations=list(annotations)))]
        ended: dict[str, Any] = {"status": "completed", "completed_at": now}
        if why_incomplete is not None:
            details = IncompleteMessageDetails(reason=why_incomplete)
            ended = {"status": "incomplete", "incomplete_at": now, "incomplete_details": details}
        message = message.model_copy(update={"content": content if text else [], **ended})
        step = _ended(step, step_status, at=now, usage=usage, last_error=last_error)

        def change(conn: Connection) -> None:
            message_rows.replace(conn, message)
            run_rows.replace_step(conn, step, self.fence)

        name: EventName = "thread.message.completed" if why_incomplete is None else "thread.message.incomplete"
        return [event(name, message.model_dump()), self._step_event(step)], change

    @uninterrupted
    async def close_message(
        self, text: str, annotations: Sequence[FileCitationAnnotation], usage: Usage | None
    ) -> None:
        """End the message while the run goes on."""
        events, change = self.message_closed(text, annotations, usage)
        await self._writer.commit(events, change)
        self._message = None

    # --- tool calls ---

    @property
    def tool_step_is_open(self) -> bool:
        """Tell whether a step of tool calls is under way."""
        return self._tool_step is not None

    @uninterrupted
    async def open_tool_step(self, before: tuple[list[tuple[str, str]], Change] | None = None) -> None:
        """Begin a step of tool calls; `before` ends the message that stands before it, in the same transaction."""
        step = self._new_step("tool_calls", ToolCallsStepDetails())
        events, earlier = before if before is not None else ([], None)

        def change(conn: Connection) -> None:
            if earlier is not None:
                earlier(conn)
            run_rows.insert_step(conn, step, self.fence)

        await self._writer.commit([*events, *self._step_opened(step)], change)
        self._message, self._tool_step = None, step

    def show_tool_call(self, index: int, delta: dict[str, Any]) -> None:
        """Show a fragment of a call; `delta` is the call without its index."""
        step = self._open_tool_step()
        self._writer.show("thread.run.step.delta", step_delta(step.id, [{"index": index, **delta}]))

    @uninterrupted
    async def close_tool_step(self, calls: Sequence[StepToolCall], usage: Usage) -> None:
        """End a step of tool calls that the engine carried out itself."""
        step = self._open_tool_step().model_copy(update={"step_details": ToolCallsStepDetails(tool_calls=list(calls))})
        step = _ended(step, "completed", at=clock.now_s(), usage=usage)
        await self._writer.commit([self._step_event(step)], lambda conn: _replace_step(conn, step, self.fence))
        self._tool_step = None

    @uninterrupted
    async def require_action(self, calls: Sequence[StepToolCall], usage: Usage, action: RequiredAction) -> None:
        """Stop at the client's functions. The step stays open: it ends when their outputs have come."""
        step = self._open_tool_step().model_copy(
            update={"step_details": ToolCallsStepDetails(tool_calls=list(calls)), "usage": usage}
        )
        run = lifecycle.move(self.run, "requires_action", at=clock.now_s(), required_action=action)
        await self._commit_run(run, change=lambda conn: _replace_step(conn, step, self.fence))

    # --- the end ---

    @uninterrupted
    async def finish(
        self,
        status: RunStatus,
        *,
        before: tuple[list[tuple[str, str]], Change] | None = None,
        **changes: Any,
    ) -> None:
        """Bring the run to a terminal state; `before` ends its message in the same transaction."""
        run = lifecycle.move(self.run, status, at=clock.now_s(), **changes)
        events, earlier = before if before is not None else ([], None)
        await self._commit_run(run, events=events, change=earlier)

    @uninterrupted
    async def abandon(
        self,
        status: RunStatus,
        *,
        text: str,
        annotations: Sequence[FileCitationAnnotation],
        reason: MessageEnd,
        usage: Usage | None,
        last_error: LastError | None = None,
        incomplete_details: IncompleteDetails | None = None,
    ) -> None:
        """Bring the run to a terminal state from wherever it stands; open steps and the message end with it."""
        step_status = _STEP_END[status]
        events: list[tuple[str, str]] = []
        changes: list[Change] = []
        if self._message is not None:
            more, change = self.message_closed(
                text, annotations, None, why_incomplete=reason, step_status=step_status, last_error=last_error
            )
            events += more
            changes.append(change)
        if self._tool_step is not None:
            unfinished: RunStepStatus = "failed" if step_status == "completed" else step_status
            step = _ended(self._tool_step, unfinished, at=clock.now_s(), last_error=last_error)
            events.append(self._step_event(step))
            changes.append(lambda conn: _replace_step(conn, step, self.fence))
        run = lifecycle.move(
            self.run,
            status,
            at=clock.now_s(),
            last_error=last_error,
            usage=usage,
            incomplete_details=incomplete_details,
        )

        def apply(conn: Connection) -> None:
            for change in changes:
                change(conn)

        await self._commit_run(run, events=events, change=apply)

    # --- inside ---

    async def _commit_run(
        self, run: Run, *, events: Sequence[tuple[str, str]] = (), change: Change | None = None
    ) -> None:
        expected = (self.run.status,)

        def apply(conn: Connection) -> None:
            if change is not None:
                change(conn)
            if not run_rows.change(conn, run, expected=expected, fence=self.fence):
                raise StateChangedError

        told = event(lifecycle.event_name(run.status), run.model_dump())
        await self._writer.commit([*events, told], apply)
        self.run = run
        if run.status != "in_progress":
            self._message = self._tool_step = None

    def _new_step(
        self,
        kind: Literal["message_creation", "tool_calls"],
        details: MessageCreationStepDetails | ToolCallsStepDetails,
    ) -> RunStep:
        return RunStep(
            id=new_id("step"),
            created_at=clock.now_s(),
            run_id=self.run.id,
            assistant_id=self.run.assistant_id,
            thread_id=self.run.thread_id,
            type=kind,
            expires_at=self.run.expires_at,
            step_details=details,
        )

    def _step_opened(self, step: RunStep) -> list[tuple[str, str]]:
        shown = step.model_dump()
        return [event("thread.run.step.created", shown), event("thread.run.step.in_progress", shown)]

    def _step_event(self, step: RunStep) -> tuple[str, str]:
        shown = step.model_copy(update={"expires_at": self.run.expires_at})
        return event(_STEP_EVENT[step.status], shown.model_dump())

    def _open_message(self) -> tuple[Message, RunStep]:
        if self._message is None:
            raise RuntimeError("no message is open")
        return self._message

    def _open_tool_step(self) -> RunStep:
        if self._tool_step is None:
            raise RuntimeError("no step of tool calls is open")
        return self._tool_step


def _ended(
    step: RunStep,
    status: RunStepStatus,
    *,
    at: int,
    usage: Usage | None = None,
    last_error: LastError | None = None,
) -> RunStep:
    """Give a step in its last state; over REST its `expires_at` is null from then on, as in recorded traffic."""
    update: dict[str, Any] = {"status": status, "expires_at": None, "usage": usage or step.usage}
    if status in _STEP_STAMP:
        update[_STEP_STAMP[status]] = at
    if last_error is not None:
        update["last_error"] = last_error
    return step.model_copy(update=update)


def _replace_step(conn: Connection, step: RunStep, fence: Fence) -> None:
    if not run_rows.replace_step(conn, step, fence):
        raise LostLease(step.run_id)
