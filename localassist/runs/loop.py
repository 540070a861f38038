"""`RunExecutor.execute`: turns and tools until the run is terminal."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import orjson

from localassist import clock
from localassist.errors import EgressError, ModelError
from localassist.ids import new_id
from localassist.llm.base import ChatModel, ToolCall
from localassist.runs import lifecycle
from localassist.runs.conversation import Conversation, load, question_of
from localassist.runs.events import EventLog
from localassist.runs.live import LiveReply
from localassist.runs.prompt import ImageReader
from localassist.runs.request import LoopLimits, ModelCaller, usage_of
from localassist.runs.steps import MessageEnd, Recorder, StateChangedError
from localassist.runs.turn import stream_turn
from localassist.store.database import Database
from localassist.store.jobs import Fence, LostLease
from localassist.tools.base import Tool, ToolContext, ToolOutput, ToolUnusableError
from localassist.types.assistant import FunctionTool
from localassist.types.common import Usage
from localassist.types.run import (
    FunctionToCall,
    IncompleteDetails,
    LastError,
    RequiredAction,
    RequiredActionToolCall,
    Run,
    RunStatus,
    SubmitToolOutputs,
)
from localassist.types.run_step import FunctionCall, FunctionToolCall, StepToolCall

logger = logging.getLogger(__name__)


class RunExecutor:
    """Carries out runs. Holds no state of any run: what a run has done stands in its recorded steps."""

    def __init__(
        self,
        *,
        db: Database,
        log: EventLog,
        model: ChatModel,
        tools: Sequence[Tool],
        read_image: ImageReader,
        limits: LoopLimits,
    ) -> None:
        self.db = db
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self.caller = ModelCaller(model, self.tools, timeout_s=limits.model_timeout_s)
        self.read_image = read_image
        self.limits = limits
        self._log = log
        self._cancels: dict[str, asyncio.Event] = {}

    async def execute(self, run: Run, fence: Fence, *, last_event: int | None = None) -> None:
        """Carry a claimed run to `requires_action` or a terminal state; `last_event` numbers its newest, if known.

        Cancelling this coroutine leaves the run as its last transaction left it, to be taken over after its lease.
        """
        cancel = self._cancels.setdefault(run.id, asyncio.Event())
        writer = await self._log.writer(run.id, fence, last=last_event)
        try:
            await _Execution(self, Recorder(run, fence, writer), cancel).carry_out()
        except LostLease:
            logger.warning("Run was taken over", extra={"action": "run_lost", "run_id": run.id})
        finally:
            self._cancels.pop(run.id, None)
            await writer.close()

    def cancel(self, run_id: str) -> None:
        """Stop a run whose status has been set to `cancelling`; does nothing if it is not carried out here."""
        if run_id in self._cancels:
            self._cancels[run_id].set()


class _Execution:
    """One run, from its claim to its end."""

    def __init__(self, executor: RunExecutor, recorder: Recorder, cancel: asyncio.Event) -> None:
        self._ex = executor
        self._recorder = recorder
        self._cancel = cancel
        self._reply: LiveReply | None = None
        self._conversation = Conversation()

    async def carry_out(self) -> None:
        """Go on until the run stops, and see to it that it does."""
        run = self._recorder.run
        if run.status == "cancelling":
            await self._end_cancelled()
            return
        work = asyncio.create_task(self._to_the_end())
        cancelled = asyncio.create_task(self._cancel.wait())
        try:
            await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
            if work.cancelled():
                await self._end_cancelled()
            else:
                work.result()
        finally:
            cancelled.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})

    async def _to_the_end(self) -> None:
        run = self._recorder.run
        try:
            async with asyncio.timeout(max(0.0, (run.expires_at or clock.now()) - clock.now())):
                try:
                    await self._turns()
                except TimeoutError as error:  # something inside gave up; the run's own time is not over
                    raise ModelError(f"Something the run needs did not answer in time: {error}") from error
        except TimeoutError:
            await self._abandon("expired", "run_expired")
        except StateChangedError:
            await self._end_cancelled()
        except (ModelError, ToolUnusableError, EgressError) as error:
            code = error.code if isinstance(error, ModelError) else "server_error"
            await self._abandon("failed", "run_failed", LastError(code=code, message=str(error)))
        except LostLease:
            raise
        except Exception:
            logger.exception("Run failed by a fault of localassist", extra={"action": "run_fault", "run_id": run.id})
            message = "localassist failed while it carried out this run; its log has the details."
            await self._abandon("failed", "run_failed", LastError(code="server_error", message=message))

    async def _end_cancelled(self) -> None:
        """End the run as its client asked, unless it has ended otherwise."""
        await self._recorder.reload(self._ex.db)
        if self._recorder.run.status == "cancelling":
            await self._recorder.tell_cancelling()
            await self._abandon("cancelled", "run_cancelled")

    async def _turns(self) -> None:
        """Call the model and its tools until the run stops.

        Raises:
            ModelError: the model cannot be had, or never comes to an end.
        """
        ex, recorder = self._ex, self._recorder
        loading = asyncio.create_task(load(ex.db, recorder.run, recorder.fence, ex.tools, ex.read_image))
        try:
            await recorder.start()
            self._conversation = await loading
        finally:
            loading.cancel()
        for _ in range(ex.limits.max_turns):
            if await self._one_turn():
                return
        raise ModelError(
            f"The model called tools in {ex.limits.max_turns} turns and gave no answer. "
            "The setting max_turns bounds the turns of a run."
        )

    async def _one_turn(self) -> bool:
        """Call the model once and do what it asks for. True when the run stops here.

        Raises:
            ModelError: the call failed for good.
        """
        run, conversation = self._recorder.run, self._conversation
        caller = self._ex.caller
        if caller.needs_search_for_it(run) and not conversation.n_calls:
            await self._search_for_it()
        request = await asyncio.to_thread(caller.request, run, conversation)
        if request is None:
            details = IncompleteDetails(reason="max_prompt_tokens")
            await self._recorder.finish("incomplete", incomplete_details=details, usage=conversation.usage)
            return True
        functions = {tool.function.name for tool in run.tools if isinstance(tool, FunctionTool)}
        reply = self._reply = LiveReply(
            self._recorder, conversation.sources, functions=functions, known_ids=conversation.call_ids
        )
        try:
            async for delta in stream_turn(caller.model, request, retries=self._ex.limits.model_retries):
                await reply.take(delta)
        except ModelError as error:
            if reply.has_shown_something or not caller.learn(error, request):
                raise
            return False
        await reply.end()
        usage = await usage_of(reply, request)
        conversation.usage += usage
        return await self._act(reply, usage)

    async def _search_for_it(self) -> None:
        """Search with the user's own words, as a call of its own, for a model that cannot call tools."""
        arguments = orjson.dumps({"queries": [question_of(self._conversation)]}).decode()
        call = ToolCall(new_id("call"), "file_search", arguments)
        await self._recorder.open_tool_step()
        records, outputs = await self._carry_out_calls([call], first_index=0)
        await self._recorder.close_tool_step(records, Usage())
        self._conversation.add_exchange("", [call], outputs)

    # --- what comes back ---

    async def _act(self, reply: LiveReply, usage: Usage) -> bool:
        """Do what a reply asks for. True when the run stops here.

        Raises:
            ModelError: the reply is empty, or its provider filtered it.
        """
        recorder, run = self._recorder, self._recorder.run
        if reply.finish_reason == "content_filter":
            raise ModelError("The model's provider stopped the answer: its content filter.", code="server_error")
        if reply.finish_reason == "length":
            await self._abandon("incomplete", "max_tokens")
            return True
        if not reply.calls:
            if not recorder.message_is_open:
                raise ModelError(f"The model {run.model!r} gave an empty answer.")
            before = recorder.message_closed(reply.text, reply.annotations, usage)
            await recorder.finish("completed", before=before, usage=self._conversation.usage)
            self._reply = None
            return True
        return await self._act_on_calls(reply, usage)

    async def _act_on_calls(self, reply: LiveReply, usage: Usage) -> bool:
        """Carry out the engine's own tools, then stop at the client's functions, if there are any."""
        recorder = self._recorder
        functions = {tool.function.name for tool in recorder.run.tools if isinstance(tool, FunctionTool)}
        calls = reply.in_step_order()
        known = [c for c in calls if c.name in functions or self._offered(c.name)]
        unknown = [c for c in calls if c not in known]
        records: list[StepToolCall] = [
            FunctionToolCall(id=c.id, function=FunctionCall(name=c.name, arguments=c.arguments))
            for c in known
            if c.name in functions
        ]
        waiting = list(records)
        outputs: list[str] = []
        own = [c for c in known if c.name not in functions]
        if known:
            await reply.open_tool_step()
            own_records, outputs = await self._carry_out_calls(own, first_index=len(records))
            records += own_records
        elif recorder.message_is_open:
            await recorder.close_message(reply.text, reply.annotations, usage)
        self._reply = None
        if waiting:
            action = _required_action([r for r in waiting if isinstance(r, FunctionToolCall)])
            await recorder.require_action(records, usage, action)
            return True
        if known:
            await recorder.close_tool_step(records, usage)
        outputs += [self._no_such_tool(c) for c in unknown]
        self._conversation.add_exchange(reply.raw_text, [*own, *unknown], outputs)
        return False

    async def _carry_out_calls(
        self, calls: Sequence[ToolCall], *, first_index: int
    ) -> tuple[list[StepToolCall], list[str]]:
        """Carry out calls of the engine's own tools, side by side; their records and the texts for the model."""
        run, conversation = self._recorder.run, self._conversation
        contexts = []
        for n, call in enumerate(calls):
            n_earlier = conversation.n_calls.get(call.name, 0)
            conversation.n_calls[call.name] = n_earlier + 1
            contexts.append(ToolContext(run, call.id, n_earlier))
            self._recorder.show_tool_call(first_index + n, self._ex.tools[call.name].announce(contexts[-1]))
        outputs: list[ToolOutput] = await asyncio.gather(
            *(self._ex.tools[c.name].call(c.arguments, x) for c, x in zip(calls, contexts, strict=True))
        )
        for output in outputs:
            conversation.sources += output.sources
            conversation.found.append(output.text)
        return [output.record for output in outputs], [output.text for output in outputs]

    def _offered(self, name: str) -> bool:
        return name in self._ex.tools and any(tool.type == name for tool in self._recorder.run.tools)

    def _no_such_tool(self, call: ToolCall) -> str:
        offered = [schema.name for schema in self._ex.caller.schemas(self._recorder.run)]
        return f"There is no tool {call.name!r}. Tools: {', '.join(offered) or 'none'}. Answer without it if you can."

    async def _abandon(self, status: RunStatus, reason: MessageEnd, last_error: LastError | None = None) -> None:
        """End the run from wherever it stands; once more, if somebody asks to cancel it at this very moment."""
        reply = self._reply
        details = IncompleteDetails(reason="max_completion_tokens") if status == "incomplete" else None
        for _ in range(2):
            try:
                await self._recorder.abandon(
                    status,
                    text=reply.text if reply is not None else "",
                    annotations=reply.annotations if reply is not None else (),
                    reason=reason,
                    usage=self._conversation.usage,
                    last_error=last_error,
                    incomplete_details=details,
                )
            except StateChangedError:
                await self._recorder.reload(self._ex.db)
                if self._recorder.run.status in lifecycle.TERMINAL:
                    return
            else:
                return


def _required_action(calls: Sequence[FunctionToolCall]) -> RequiredAction:
    waiting = [
        RequiredActionToolCall(id=c.id, function=FunctionToCall(name=c.function.name, arguments=c.function.arguments))
        for c in calls
    ]
    return RequiredAction(submit_tool_outputs=SubmitToolOutputs(tool_calls=waiting))
