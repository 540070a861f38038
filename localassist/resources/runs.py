"""Runs: create, retrieve, list, update, cancel, submit tool outputs, create thread and run."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from localassist import clock
from localassist.errors import BadRequestError, InternalServerError
from localassist.ids import new_id
from localassist.resources import endings, found, tool_outputs, tool_resources
from localassist.resources.messages import add_messages
from localassist.resources.threads import create_thread
from localassist.runs import lifecycle
from localassist.runs.events import Event, EventLog, event
from localassist.store import events as event_rows
from localassist.store import jobs as job_rows
from localassist.store import messages as message_rows
from localassist.store import runs as rows
from localassist.store import vector_stores as store_rows
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.assistant import (
    Assistant,
    CodeInterpreterTool,
    FunctionTool,
    NamedToolChoice,
    Tool,
    ToolResources,
)
from localassist.types.common import ListPage
from localassist.types.run import (
    Run,
    RunCreateParams,
    RunOverrides,
    RunStatus,
    RunUpdateParams,
    SubmitToolOutputsParams,
    ThreadAndRunCreateParams,
    TruncationStrategy,
)
from localassist.types.thread import Thread, ThreadCreateParams

_A_FEW: Final = 20
_IN_PROGRESS: Final[frozenset[RunStatus]] = frozenset({"in_progress"})
_REQUIRES_ACTION: Final[frozenset[RunStatus]] = frozenset({"requires_action"})


class Runs:
    """What can be done with runs. They are carried out elsewhere: a run that is queued here is claimed by a worker."""

    def __init__(
        self,
        *,
        db: Database,
        log: EventLog,
        wake_runs: Callable[[], None],
        wake_ingest: Callable[[], None],
        run_timeout_s: int,
        stop_run: Callable[[str], None] | None = None,
    ) -> None:
        """Bring the parts together.

        Args:
            db: where everything is kept.
            log: the runs' events.
            wake_runs: tells the workers of this process that a run was queued.
            wake_ingest: tells them that a file was queued.
            run_timeout_s: seconds after which a run expires.
            stop_run: stops a run that this process carries out and that has been set to `cancelling`; without it, its
                heartbeat does so a little later.
        """
        self._db = db
        self._log = log
        self._wake_runs = wake_runs
        self._wake_ingest = wake_ingest
        self._run_timeout_s = run_timeout_s
        self._stop_run = stop_run

    async def create(self, thread_id: str, params: RunCreateParams) -> Run:
        """Queue a run on a thread, after its additional messages.

        Args:
            thread_id: the thread, which may have no active run.
            params: what the run does otherwise than its assistant.

        Raises:
            NotFoundError: the thread, the assistant or an attached file does not exist.
            BadRequestError: the thread has an active run or nothing to answer, or the run cannot be carried out.
        """

        def write(conn: Connection) -> Run:
            thread = found.locked_thread(conn, thread_id)
            assistant = found.assistant(conn, params.assistant_id)
            additional = params.additional_messages or ()
            thread, _ = add_messages(conn, thread, additional, param="additional_messages")
            run = self._new_run(assistant, thread, params, additional_instructions=params.additional_instructions)
            self._queue(conn, run, assistant, thread)
            return run

        run = await self._db.write(write)
        self._announce(run)
        if any(message.attachments for message in params.additional_messages or ()):
            self._wake_ingest()
        return run

    async def create_thread_and_run(self, params: ThreadAndRunCreateParams) -> tuple[Thread, Run]:
        """Make a thread and queue a run on it, all or nothing; the thread is the first event.

        Raises:
            NotFoundError: the assistant, a vector store or a file does not exist.
            BadRequestError: the thread has nothing to answer, or the run cannot be carried out.
        """

        def write(conn: Connection) -> tuple[Thread, Run]:
            assistant = found.assistant(conn, params.assistant_id)
            thread = create_thread(conn, params.thread or ThreadCreateParams(), param="thread.")
            resources = tool_resources.settle(conn, params.tool_resources)
            run = self._new_run(assistant, thread, params, resources=resources)
            self._queue(conn, run, assistant, thread, first=[event("thread.created", thread.model_dump())])
            return thread, run

        thread, run = await self._db.write(write)
        self._announce(run)
        self._wake_ingest()
        return thread, run

    async def retrieve(self, thread_id: str, run_id: str) -> Run:
        """Read a run.

        Raises:
            NotFoundError: there is no such thread, or no such run of it.
        """
        return await self._db.read(lambda conn: found.run(conn, thread_id, run_id))

    async def list(self, thread_id: str, q: PageQuery) -> ListPage[Run]:
        """Read a page of a thread's runs.

        Raises:
            NotFoundError: there is no such thread.
        """

        def read(conn: Connection) -> ListPage[Run]:
            found.thread(conn, thread_id)
            return rows.list_page(conn, thread_id, q)

        return await self._db.read(read)

    async def update(self, thread_id: str, run_id: str, params: RunUpdateParams) -> Run:
        """Change a run's metadata, also while it is carried out; null empties it.

        Raises:
            NotFoundError: there is no such thread, or no such run of it.
        """

        def write(conn: Connection) -> Run:
            run = found.run(conn, thread_id, run_id)
            if "metadata" not in params.model_fields_set:
                return run
            rows.replace_metadata(conn, run_id, params.metadata or {})
            return run.model_copy(update={"metadata": params.metadata or {}})

        return await self._db.write(write)

    async def cancel(self, thread_id: str, run_id: str) -> Run:
        """Cancel a run: at once while it waits, else it is `cancelling` until its worker has let go of it.

        A run that is cancelling already is given as it is.

        Raises:
            NotFoundError: there is no such thread, or no such run of it.
            BadRequestError: the run has ended.
        """

        def write(conn: Connection) -> Run:
            run = found.run(conn, thread_id, run_id)
            if run.status in lifecycle.TERMINAL:
                raise BadRequestError(f"Cannot cancel run with status '{run.status}'.")
            if run.status == "cancelling":
                return run
            if run.status in endings.IDLE:
                cancelled = endings.end(conn, run, "cancelled")
                if cancelled is not None:
                    return cancelled
                run = found.run(conn, thread_id, run_id)
            cancelling = lifecycle.move(run, "cancelling", at=clock.now_s())
            rows.change(conn, cancelling, expected=_IN_PROGRESS)
            return found.run(conn, thread_id, run_id)

        run = await self._db.write(write)
        if run.status == "cancelling" and self._stop_run is not None:
            self._stop_run(run.id)
        self._log.notify(run.id)
        return run

    async def submit_tool_outputs(
        self, thread_id: str, run_id: str, params: SubmitToolOutputsParams
    ) -> tuple[Run, int]:
        """Take the outputs of the functions that a run waits for, and queue it again.

        Returns:
            The run, and the number of the newest event before: a stream of what follows begins behind it.

        Raises:
            NotFoundError: there is no such thread, or no such run of it.
            BadRequestError: the run does not wait for outputs, or for others.
            InternalServerError: the run has lost the step that waits.
        """

        def write(conn: Connection) -> tuple[Run, int]:
            run = found.run(conn, thread_id, run_id)
            if run.expires_at is not None and run.expires_at <= clock.now():
                run = run.model_copy(update={"status": "expired"})  # the watch has not come round to it yet
            outputs = tool_outputs.outputs_by_call(run, params.tool_outputs)
            queued = lifecycle.move(run, "queued", at=clock.now_s())
            if not rows.change(conn, queued, expected=_REQUIRES_ACTION):
                current = found.run(conn, thread_id, run_id)
                raise BadRequestError(f'Runs in status "{current.status}" do not accept tool outputs.')
            step = tool_outputs.filled(rows.steps_of(conn, run_id), outputs)
            if step is None:
                raise InternalServerError(f"Run {run_id} waits for outputs but has no open step of tool calls.")
            rows.replace_step(conn, step)
            shown = step.model_copy(update={"expires_at": run.expires_at})
            told = [
                event("thread.run.step.completed", shown.model_dump()),
                event("thread.run.queued", queued.model_dump()),
            ]
            return queued, endings.tell(conn, run_id, told)

        run, before = await self._db.write(write)
        self._announce(run)
        return run, before

    def follow(self, run: Run, after_seq: int) -> AsyncIterator[Sequence[Event]]:
        """Give the run's events behind number `after_seq` as they come, several at once where several are ready."""
        return self._log.follow(run.id, after=after_seq)

    async def expire_overdue(self) -> int:
        """Expire the runs whose time is over while they wait; give their number. Call it every few seconds.

        Runs that are being carried out are expired by their workers, or by whoever takes them over.
        """

        def write(conn: Connection) -> Sequence[Run]:
            overdue = [run for run in job_rows.expired_runs(conn, clock.now()) if run.status in endings.IDLE]
            return [ended for run in overdue if (ended := endings.end(conn, run, "expired")) is not None]

        if not await self._db.read(lambda conn: job_rows.expired_runs(conn, clock.now())):
            return 0
        ended = await self._db.write(write)
        for run in ended:
            self._log.notify(run.id)
        return len(ended)

    def _new_run(
        self,
        assistant: Assistant,
        thread: Thread,
        params: RunOverrides,
        *,
        additional_instructions: str | None = None,
        resources: ToolResources | None = None,
    ) -> Run:
        """Take down what the run will do: later changes of the assistant do not reach it."""
        now = clock.now_s()
        instructions = params.instructions if params.instructions is not None else assistant.instructions
        if additional_instructions:
            instructions = f"{instructions}\n{additional_instructions}" if instructions else additional_instructions
        return Run(
            id=new_id("run"),
            created_at=now,
            assistant_id=assistant.id,
            thread_id=thread.id,
            expires_at=now + self._run_timeout_s,
            model=params.model if params.model is not None else assistant.model,
            instructions=instructions,
            tools=params.tools if params.tools is not None else assistant.tools,
            tool_resources=resources or ToolResources(),
            metadata=params.metadata or {},
            temperature=params.temperature if params.temperature is not None else assistant.temperature,
            top_p=params.top_p if params.top_p is not None else assistant.top_p,
            reasoning_effort=params.reasoning_effort or assistant.reasoning_effort,
            max_completion_tokens=params.max_completion_tokens,
            max_prompt_tokens=params.max_prompt_tokens,
            truncation_strategy=params.truncation_strategy or TruncationStrategy(),
            response_format=params.response_format or assistant.response_format,
            tool_choice=params.tool_choice or "auto",
            parallel_tool_calls=params.parallel_tool_calls if params.parallel_tool_calls is not None else True,
        )

    def _queue(
        self,
        conn: Connection,
        run: Run,
        assistant: Assistant,
        thread: Thread,
        *,
        first: Sequence[tuple[str, str]] = (),
    ) -> None:
        _check_tools(run)
        if not run.instructions and not _has_question(conn, thread.id):
            raise BadRequestError(
                "Run creation requires a Thread with a user message or an assistant with instructions.",
                code="invalid_thread",
            )
        try:
            rows.insert(conn, run)
        except rows.ActiveRun as active:
            raise _is_active(thread.id, active.run_id) from active
        shown = run.model_dump()
        told = [*first, event("thread.run.created", shown), event("thread.run.queued", shown)]
        event_rows.append(conn, run.id, 1, told, attempt=0, fence=None)
        used = tool_resources.store_ids(assistant.tool_resources, thread.tool_resources, run.tool_resources)
        for store_id in used:
            store_rows.touch(conn, store_id, clock.now_s())

    def _announce(self, run: Run) -> None:
        self._log.notify(run.id)
        self._wake_runs()


def _is_active(thread_id: str, run_id: str) -> BadRequestError:
    return BadRequestError(f"Thread {thread_id} already has an active run {run_id}.")


def _check_tools(run: Run) -> None:
    """Refuse what this version cannot carry out.

    Raises:
        BadRequestError: a tool that does not exist here, or a choice of one that the run does not have.
    """
    if any(isinstance(tool, CodeInterpreterTool) for tool in run.tools):
        raise BadRequestError(
            "This version of localassist has no code interpreter, so a run cannot have the tool 'code_interpreter'. "
            "Take it from the assistant, or give this run its own 'tools' without it.",
            param="tools",
        )
    choice = run.tool_choice
    if isinstance(choice, NamedToolChoice) and not any(_is_chosen(tool, choice) for tool in run.tools):
        name = choice.function.name if choice.function is not None else choice.type
        raise BadRequestError(f"'tool_choice' names {name!r}, which is not among the run's tools.", param="tool_choice")


def _is_chosen(tool: Tool, choice: NamedToolChoice) -> bool:
    if isinstance(tool, FunctionTool):
        return choice.function is not None and tool.function.name == choice.function.name
    return tool.type == choice.type


def _has_question(conn: Connection, thread_id: str) -> bool:
    """Tell whether a user has said something; most threads say so in their newest messages."""
    newest = message_rows.all_of(conn, thread_id, newest=_A_FEW)
    if len(newest) == _A_FEW and all(message.role != "user" for message in newest):
        newest = message_rows.all_of(conn, thread_id)
    return any(message.role == "user" for message in newest)
