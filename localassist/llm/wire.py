"""The chat completions API: our request as its JSON, its chunks as our deltas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from localassist.errors import ModelError
from localassist.ids import new_id
from localassist.llm.base import ChatMessage, ChatRequest, Delta, FinishReason, ModelUsage, ToolCallDelta, ToolSchema
from localassist.llm.failures import Refusal, model_error, words_of

_FINISH: Final[Mapping[str, FinishReason]] = {
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
}


def request_body(request: ChatRequest, *, model: str) -> dict[str, Any]:
    """Write a request as the chat completions API does, without the options of the transport."""
    body: dict[str, Any] = {
        **request.extra,
        "model": model,
        "messages": [_message(message) for message in request.messages],
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request.tool_choice)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    for name in ("temperature", "top_p", "max_completion_tokens", "reasoning_effort", "response_format"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    return body


def _message(message: ChatMessage) -> dict[str, Any]:
    content = message.content if isinstance(message.content, str) else [dict(part) for part in message.content]
    written: dict[str, Any] = {**message.extra, "role": message.role, "content": content}
    if message.tool_calls:
        written["content"] = content or None
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return written


def _arguments(text: str) -> str:
    """Give arguments that a server can read: some fail on a history that holds what a model wrote amiss."""
    try:
        if isinstance(orjson.loads(text), dict):
            return text
    except orjson.JSONDecodeError:
        pass
    return orjson.dumps({"not_valid_json": text.encode("utf-8", "replace").decode()}).decode() if text else "{}"


def _tool(tool: ToolSchema) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> str | dict[str, Any]:
    if choice.startswith("function:"):
        return {"type": "function", "function": {"name": choice.removeprefix("function:")}}
    return choice


@dataclass(slots=True)
class _Call:
    """A tool call on its way: what has come, and whether its name is known and was passed on."""

    index: int
    id: str
    name: str = ""
    arguments: str = ""
    given: bool = False


@dataclass(slots=True)
class ToolCallFragments:
    """Fragments as servers send them, into fragments as the run loop wants them.

    Servers differ: some send whole calls, some leave out the index or the id, some number every call 0, some repeat id
    and name in each fragment. Here each call has its own index, counted from 0, and an id; both id and name come once,
    first.
    """

    _calls: list[_Call] = field(default_factory=list)
    _by_index: dict[int, _Call] = field(default_factory=dict)
    _n_made: int = 0

    @property
    def any(self) -> bool:
        """Whether a call was asked for."""
        return bool(self._calls)

    def accept(self, fragment: Mapping[str, Any]) -> ToolCallDelta | None:
        """Take one fragment; None when nothing can be passed on before its name has come."""
        function = fragment.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()  # whole calls may carry an object
        arguments = without_halves(arguments)
        call = self._call_of(fragment.get("index"), fragment.get("id") or "", name)
        call.name = call.name or name
        call.arguments += arguments
        if call.given:
            return ToolCallDelta(call.index, arguments=arguments)
        return self._give(call) if call.name else None

    def rest(self) -> list[ToolCallDelta]:
        """Give the calls whose name never came, so that the run loop can tell the model."""
        return [self._give(call) for call in self._calls if not call.given]

    @staticmethod
    def _give(call: _Call) -> ToolCallDelta:
        call.given = True
        return ToolCallDelta(call.index, call.id, call.name, call.arguments)

    def _call_of(self, index: Any, call_id: str, name: str) -> _Call:
        known = self._by_index.get(index) if isinstance(index, int) else self._without_index(call_id, name)
        if known is None or _is_another(known, call_id, name):
            known = _Call(len(self._calls), call_id or new_id("call"))
            self._calls.append(known)
            if isinstance(index, int):
                self._by_index[index] = known
        return known

    def _without_index(self, call_id: str, name: str) -> _Call | None:
        for call in self._calls:
            if call_id and call.id == call_id:
                return call
        return self._calls[-1] if self._calls and not (call_id and name) else None


def _is_another(call: _Call, call_id: str, name: str) -> bool:
    """Tell whether a fragment that names a call's place begins another call.

    It does when it brings a name and another id, or a name and no id once the arguments so far are complete.
    """
    if not name or not call.name:
        return False
    if call_id:
        return call_id != call.id
    try:
        return isinstance(orjson.loads(call.arguments), dict)
    except orjson.JSONDecodeError:
        return False


def without_halves(text: str) -> str:
    """Join surrogates that stand in pairs, and replace those that do not: no database and no JSON holds them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class ReplyReader:
    """Turns the chunks of one reply, streamed or whole, into deltas, and knows whether the reply is complete."""

    def __init__(self, *, model: str, server: str) -> None:
        self._model = model
        self._server = server
        self._calls = ToolCallFragments()
        self._something = False
        self._half = ""
        self.finished = False
        """Whether the finish reason has come."""

    def read(self, chunk: Any) -> Delta | None:
        """Read one chunk; None when it brings nothing.

        Raises:
            ModelError: the chunk is an error, or no chunk at all.
        """
        if not isinstance(chunk, dict) or chunk.get("error"):
            raise self._failure(chunk)
        usage = chunk.get("usage")
        choices = chunk.get("choices")
        if not choices:
            return Delta(usage=read_usage(usage)) if usage else None
        choice = choices[0]
        part = choice.get("delta") or choice.get("message") or {}
        text = part.get("content") or ""
        if not isinstance(text, str):
            text = "".join(piece.get("text") or "" for piece in text if isinstance(piece, dict))
        text = self._whole_characters(text or part.get("refusal") or "")
        fragments = part.get("tool_calls")
        calls = self._accept(fragments) if fragments else ()
        reason = choice.get("finish_reason")
        finish: FinishReason | None = None
        if reason and not self.finished:
            calls = (*calls, *self._calls.rest())
            finish = self._finish(reason)
        if not (text or calls or finish or usage):
            return None
        self._something = True
        return Delta(text, calls, finish, read_usage(usage) if usage else None)

    def done(self) -> Delta | None:
        """Close a reply whose server said that it is complete, although it may have named no finish reason.

        Raises:
            ModelError: nothing came at all.
        """
        if self.finished:
            return None
        if not self._something:
            raise self.empty()
        return Delta("", tuple(self._calls.rest()), self._finish("stop"))

    def empty(self) -> ModelError:
        """Give the error of a reply in which nothing came."""
        return ModelError(
            f"The model server at {self._server} answered with no choice: an empty reply from {self._model!r}.",
            retryable=True,
        )

    def cut(self, why: str) -> ModelError:
        """Give the error of a stream that ended before its reply was complete."""
        return ModelError(
            f"The reply of {self._model!r} from {self._server} was cut off before its end: {why}.", retryable=True
        )

    def _whole_characters(self, text: str) -> str:
        """Join a character whose halves came in two chunks; a half that stays alone is replaced."""
        if not text:
            return ""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return without_halves(text)

    def _accept(self, fragments: Sequence[Any]) -> tuple[ToolCallDelta, ...]:
        accepted = (self._calls.accept(fragment) for fragment in fragments if isinstance(fragment, dict))
        return tuple(delta for delta in accepted if delta is not None)

    def _finish(self, reason: Any) -> FinishReason:
        self.finished = True
        finish = _FINISH.get(str(reason).lower(), "stop")
        return "tool_calls" if finish == "stop" and self._calls.any else finish

    def _failure(self, chunk: Any) -> ModelError:
        """Read an error that came in place of a chunk: the status was 200 already, so the body names it, or 500."""
        words, code = words_of(chunk)
        error = chunk.get("error") if isinstance(chunk, dict) else None
        named = error.get("code") if isinstance(error, dict) else None
        status = int(str(named)) if str(named).isdigit() else 429 if "rate_limit" in code else 500
        return model_error(Refusal(status, words, code), model=self._model, server=self._server)


def read_usage(usage: Mapping[str, Any]) -> ModelUsage:
    """Read the tokens that a server counted; what it leaves out is 0."""
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    return ModelUsage(
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=prompt.get("cached_tokens") or 0,
        reasoning_tokens=completion.get("reasoning_tokens") or 0,
    )
