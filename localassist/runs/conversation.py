"""What a run has to go on: the thread before it, and what its own recorded steps say it has done so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from localassist.llm.base import ChatMessage, ToolCall
from localassist.retrieval.cite import Source
from localassist.runs.prompt import ImageReader, Prompt, chat_message, fit, tool_exchange
from localassist.store import messages as message_rows
from localassist.store import runs as run_rows
from localassist.store.database import Connection, Database
from localassist.store.jobs import Fence
from localassist.tools.base import Tool
from localassist.tools.file_search import CITE
from localassist.types.common import Usage
from localassist.types.message import Message
from localassist.types.run import Run
from localassist.types.run_step import (
    CodeInterpreterToolCall,
    FileSearchToolCall,
    FunctionToolCall,
    MessageCreationStepDetails,
    RunStep,
    StepToolCall,
)

_NEWEST_MESSAGES = 1_000
"""How far back a prompt may reach; a context of a million tokens holds about as many."""
_TOOLS_TOKENS = 500
_MOST_RESERVED = 4_096


@dataclass(slots=True)
class Conversation:
    """The prompt's material, which grows with every turn."""

    history: list[ChatMessage] = field(default_factory=list)
    """The thread before this run, the question last."""
    current: list[ChatMessage] = field(default_factory=list)
    """What this run has said, called and been answered."""
    sources: list[Source] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    found: list[str] = field(default_factory=list)
    """The texts of searches, for a model that cannot call tools."""
    n_calls: dict[str, int] = field(default_factory=dict)
    """Calls so far, by tool."""
    call_ids: set[str] = field(default_factory=set)

    @property
    def is_new(self) -> bool:
        """Tell whether the run has done nothing yet."""
        return not self.current

    def add_exchange(self, text: str, calls: Sequence[ToolCall], outputs: Sequence[str]) -> None:
        """Take in the calls of one turn, with the text that stood before them, and their results."""
        last = self.current[-1] if self.current else None
        if last is not None and last.role == "assistant" and not last.tool_calls and not text:
            self.current.pop()
            text = str(last.content)
        self.current += tool_exchange(calls, outputs, text=text)
        self.call_ids.update(call.id for call in calls)


async def load(
    db: Database, run: Run, fence: Fence, tools: Mapping[str, Tool], read_image: ImageReader
) -> Conversation:
    """Read what a run has to go on. What an earlier worker left half done is taken away first.

    Raises:
        LostLease: another worker holds the run by now.
    """
    newest = run.truncation_strategy.last_messages or _NEWEST_MESSAGES

    def read(conn: Connection) -> tuple[Sequence[Message], Sequence[RunStep]]:
        return message_rows.all_of(conn, run.thread_id, newest=newest), run_rows.steps_of(conn, run.id)

    messages, steps = await db.read(read)
    half_done = [step for step in steps if step.status == "in_progress"]
    if half_done:
        await db.write(lambda conn: _take_away(conn, half_done, fence))
    own = {message.id: message for message in messages if message.run_id == run.id}
    conversation = Conversation()
    for message in messages:
        if message.run_id != run.id:
            conversation.history.append(await chat_message(message, read_image))
    for step in steps:
        if step.status == "completed":
            await _replay(step, conversation, tools, own, read_image)
    return conversation


def prompt_for(run: Run, conversation: Conversation, *, context_tokens: int | None, searched_for_it: bool) -> Prompt:
    """Put the prompt of the next turn together.

    `searched_for_it`: the model cannot call tools, so what was found stands in its instructions.
    """
    instructions = [run.instructions] if run.instructions else []
    current: Sequence[ChatMessage] = conversation.current
    if searched_for_it and conversation.found:
        found = "\n\n".join(conversation.found)
        instructions.append(f"Passages from the user's files, each under its mark:\n\n{found}\n\n{CITE}")
        current = [m for m in current if m.role == "assistant" and not m.tool_calls]
    system = [ChatMessage("system", "\n\n".join(instructions))] if instructions else []
    limits = []
    if context_tokens is not None:
        reserved = min(run.max_completion_tokens or _MOST_RESERVED, context_tokens // 4)
        limits.append(context_tokens - reserved - (_TOOLS_TOKENS if run.tools else 0))
    if run.max_prompt_tokens is not None:
        limits.append(run.max_prompt_tokens - conversation.usage.prompt_tokens)
    return fit(system, conversation.history, current, max_tokens=min(limits, default=None))


def question_of(conversation: Conversation) -> str:
    """Give the words of the newest message of the user."""
    for message in reversed(conversation.history):
        if message.role == "user":
            if isinstance(message.content, str):
                return message.content
            return "\n".join(part["text"] for part in message.content if part["type"] == "text")
    return ""


def _take_away(conn: Connection, steps: Sequence[RunStep], fence: Fence) -> None:
    """Delete steps that never completed, and their messages: nobody was told that they had."""
    for step in steps:
        run_rows.delete_step(conn, step.id, fence)
        if isinstance(step.step_details, MessageCreationStepDetails):
            message_rows.delete(conn, step.thread_id, step.step_details.message_creation.message_id)


async def _replay(
    step: RunStep,
    conversation: Conversation,
    tools: Mapping[str, Tool],
    own: Mapping[str, Message],
    read_image: ImageReader,
) -> None:
    if step.usage is not None:
        conversation.usage += step.usage
    if isinstance(step.step_details, MessageCreationStepDetails):
        message = own.get(step.step_details.message_creation.message_id)
        if message is not None:
            conversation.current.append(await chat_message(message, read_image))
        return
    calls, outputs = [], []
    for record in step.step_details.tool_calls:
        call, output = _recorded(record, conversation, tools)
        calls.append(call)
        outputs.append(output)
    conversation.add_exchange("", calls, outputs)


def _recorded(record: StepToolCall, conversation: Conversation, tools: Mapping[str, Tool]) -> tuple[ToolCall, str]:
    """Give a recorded call as the model made it, and the result as it was shown."""
    match record:
        case FunctionToolCall():
            return ToolCall(record.id, record.function.name, record.function.arguments), record.function.output or ""
        case FileSearchToolCall():
            n_earlier = conversation.n_calls.get(record.type, 0)
            conversation.n_calls[record.type] = n_earlier + 1
            arguments = _queries(record.file_search.queries or [])
            output = tools["file_search"].replay(record, n_earlier)
            text = "" if output is None else output.text
            if output is not None:
                conversation.sources += output.sources
                conversation.found.append(text)
            return ToolCall(record.id, "file_search", arguments), text
        case CodeInterpreterToolCall():
            return ToolCall(record.id, record.type, "{}"), ""


def _queries(queries: Sequence[str]) -> str:
    return orjson.dumps({"queries": list(queries)}).decode()
