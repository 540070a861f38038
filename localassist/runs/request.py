"""What a model is asked in one turn, and what is learnt when it refuses."""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localassist import tokens
from localassist.errors import ContextLengthError, ModelError
from localassist.llm.base import ChatModel, ChatRequest, ToolSchema
from localassist.runs.conversation import Conversation, prompt_for
from localassist.runs.live import LiveReply
from localassist.runs.prompt import count_tokens
from localassist.tools.base import Tool
from localassist.types.assistant import FunctionTool, NamedToolChoice
from localassist.types.common import Usage
from localassist.types.run import Run

logger = logging.getLogger(__name__)

_NO_TOOLS = re.compile(
    r"(does not|doesn't|do not|not) support (the )?(tool|function)"
    r"|(tools?|functions?) (calling )?(is|are) not supported",
    re.IGNORECASE,
)
_SHORTEST_CONTEXT = 256


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """Numbers that bound a run."""

    max_turns: int = 32
    model_retries: int = 3
    model_timeout_s: float = 120.0


class ModelCaller:
    """Builds the requests of all runs, and remembers what models' refusals have taught this process."""

    def __init__(self, model: ChatModel, tools: Mapping[str, Tool], *, timeout_s: float) -> None:
        self.model = model
        self._tools = tools
        self._timeout_s = timeout_s
        self._refuses_tools: set[str] = set()
        self._context_tokens: dict[str, int] = {}

    def request(self, run: Run, conversation: Conversation) -> ChatRequest | None:
        """Build the next call; None when the prompt cannot be brought under `max_prompt_tokens`."""
        known = self._context_tokens.get(run.model, self.model.info(run.model).context_tokens)
        prompt = prompt_for(run, conversation, context_tokens=known, searched_for_it=self.needs_search_for_it(run))
        if not prompt.fits and run.max_prompt_tokens is not None:
            return None
        if prompt.n_dropped or prompt.n_shortened:
            left_out = {"n_dropped": prompt.n_dropped, "n_shortened": prompt.n_shortened}
            extra = {"action": "prompt_cut", "run_id": run.id, **left_out}
            logger.info("Prompt was cut to fit: %s", left_out, extra=extra)
        left = run.max_completion_tokens
        if left is not None:
            left = max(1, left - conversation.usage.completion_tokens)
        tools = self.schemas(run)
        return ChatRequest(
            model=run.model,
            messages=prompt.messages,
            tools=tools,
            tool_choice=_tool_choice(run) if tools and conversation.is_new else "auto",
            parallel_tool_calls=None if run.parallel_tool_calls else False,
            temperature=_unless_default(run.temperature),
            top_p=_unless_default(run.top_p),
            max_completion_tokens=left,
            reasoning_effort=run.reasoning_effort,
            response_format=None if run.response_format == "auto" else run.response_format.model_dump(),
            timeout_s=self._timeout_s,
        )

    def schemas(self, run: Run) -> Sequence[ToolSchema]:
        """Give the functions that the model of `run` is shown."""
        if run.tool_choice == "none" or run.model in self._refuses_tools:
            return []
        searched_for_it = self.needs_search_for_it(run)
        schemas = []
        for tool in run.tools:
            if isinstance(tool, FunctionTool):
                f = tool.function
                schemas.append(ToolSchema(f.name, f.description or "", f.parameters, bool(f.strict)))
            elif tool.type in self._tools and not searched_for_it:
                own = self._tools[tool.type]
                schemas.append(ToolSchema(own.name, own.description, own.parameters))
        return schemas

    def needs_search_for_it(self, run: Run) -> bool:
        """Tell whether the run has file_search and a model that cannot call tools."""
        if run.tool_choice == "none" or not any(tool.type == "file_search" for tool in run.tools):
            return False
        return run.model in self._refuses_tools or self.model.info(run.model).supports_tools is False

    def learn(self, error: ModelError, request: ChatRequest) -> bool:
        """Take a lesson from a refusal; True when another try makes sense."""
        if isinstance(error, ContextLengthError):
            before = self._context_tokens.get(request.model)
            refused = sum(count_tokens(message) for message in request.messages)
            stated = error.max_tokens if error.max_tokens != before else None
            now = min(stated or refused, refused * 3 // 4)
            if now < _SHORTEST_CONTEXT or (before is not None and now >= before):
                return False
            self._context_tokens[request.model] = now
            return True
        if request.tools and _NO_TOOLS.search(error.message):
            self._refuses_tools.add(request.model)
            return True
        return False


async def usage_of(reply: LiveReply, request: ChatRequest) -> Usage:
    """Take the tokens that the model's server counted; where it counted none, count them here."""
    counted = reply.usage
    if counted is None:
        return await asyncio.to_thread(_estimated_usage, reply, request)
    return Usage.of(
        prompt=counted.prompt_tokens,
        completion=counted.completion_tokens,
        cached=counted.cached_tokens,
        reasoning=counted.reasoning_tokens,
    )


def _estimated_usage(reply: LiveReply, request: ChatRequest) -> Usage:
    written = tokens.count(reply.raw_text) + sum(tokens.count(c.name + c.arguments) for c in reply.calls)
    return Usage.of(prompt=sum(count_tokens(message) for message in request.messages), completion=written)


def _tool_choice(run: Run) -> str:
    choice = run.tool_choice
    if not isinstance(choice, NamedToolChoice):
        return choice
    return f"function:{choice.function.name if choice.function is not None else choice.type}"


def _unless_default(value: float | None) -> float | None:
    """Leave out 1.0, every server's own default: some models refuse to be told."""
    return None if value == 1.0 else value
