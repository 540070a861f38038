"""Chat completions: a request to the model that serves its name, and the reply in the API's shapes.

Options that every adapter knows have fields of `ChatRequest`; all others go to the model's server as they stand, which
accepts or refuses them. What the answer could not show is refused here.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, cast

from localassist import clock, tokens
from localassist.errors import (
    APIError,
    BadRequestError,
    ContextLengthError,
    EgressError,
    ModelError,
    ModelServerError,
    RateLimitError,
    UnavailableError,
)
from localassist.ids import new_id
from localassist.llm.base import (
    ChatMessage,
    ChatModel,
    ChatRequest,
    Delta,
    ModelUsage,
    ToolCall,
    ToolCallDelta,
    ToolSchema,
)
from localassist.types.completion import ChatCompletionParams, ChatMessageParam, Content, ToolChoiceParam, ToolParam

JSONObject = dict[str, Any]

_NOT_SHOWN: Final[Mapping[str, tuple[Sequence[object], str]]] = {
    "n": ((1,), "this server gives one choice for a request; ask again for another"),
    "logprobs": ((False,), "this server passes on no probabilities of tokens"),
    "top_logprobs": ((0,), "this server passes on no probabilities of tokens"),
    "modalities": ((["text"],), "this server passes on text alone"),
    "audio": ((), "this server passes on text alone"),
    "functions": (([],), 'functions are given in \'tools\': {"type": "function", "function": {…}}'),
    "function_call": ((), "the choice of a function is given in 'tool_choice'"),
}
"""Options that change the answer in a way it could not show, with the values that do not."""


class Completions:
    """What can be done with chat completions."""

    def __init__(self, *, model: ChatModel, timeout_s: float) -> None:
        self._model = model
        self._timeout_s = timeout_s

    async def create(self, params: ChatCompletionParams) -> JSONObject:
        """Give the whole reply of the model.

        Raises:
            APIError: the request cannot be carried out, or the model's server failed.
        """
        reply = _Reply(params)
        async for delta in self._deltas(_request(params, self._timeout_s)):
            reply.add(delta)
        return reply.completion()

    async def stream(self, params: ChatCompletionParams) -> AsyncGenerator[JSONObject, None]:
        """Give the reply chunk by chunk, once its first piece is there: before, an error is an answer of its own.

        Raises:
            APIError: the request cannot be carried out, or the model's server failed before it said anything.
        """
        deltas = self._deltas(_request(params, self._timeout_s))
        try:
            first = await anext(deltas, None)
        except BaseException:
            await deltas.aclose()
            raise
        return self._chunks(params, first, deltas)

    @staticmethod
    async def _chunks(
        params: ChatCompletionParams, first: Delta | None, deltas: AsyncGenerator[Delta, None]
    ) -> AsyncGenerator[JSONObject, None]:
        reply = _Reply(params)
        with_usage = bool(params.stream_options and params.stream_options.include_usage)
        shown: JSONObject = {"usage": None} if with_usage else {}
        async with aclosing(deltas):
            yield reply.chunk({"role": "assistant", "content": "", "refusal": None}) | shown
            if first is not None:
                async for delta in _with(first, deltas):
                    reply.add(delta)
                    if delta.text or delta.tool_calls:
                        yield reply.chunk(_shown(delta)) | shown
            yield reply.chunk({}, finish_reason=reply.finish_reason) | shown
            if with_usage:
                yield reply.chunk({}) | {"choices": [], "usage": reply.usage()}

    async def _deltas(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Call the model, and turn its failure into an error of the API.

        Raises:
            APIError: the model's server failed, or refused the request.
            ModelServerError: the settings do not allow the model's server.
        """
        deltas = cast("AsyncGenerator[Delta, None]", self._model.stream(request))
        try:
            async with aclosing(deltas):
                async for delta in deltas:
                    yield delta
        except ModelError as error:
            failure: APIError = api_error(error)
            raise failure from error
        except EgressError as error:
            raise ModelServerError(str(error)) from error


def api_error(error: ModelError) -> APIError:
    """Give the API's error for a failed model call, with the words of the model's server."""
    if isinstance(error, ContextLengthError):
        return BadRequestError(error.message, param="messages", code="context_length_exceeded")
    if error.code == "invalid_prompt":
        return BadRequestError(error.message)
    if error.code == "rate_limit_exceeded":
        return RateLimitError(error.message, retry_after_s=error.retry_after_s, retryable=error.retryable)
    if error.retryable:
        return UnavailableError(error.message, retry_after_s=error.retry_after_s)
    return ModelServerError(error.message)


@dataclass
class _Reply:
    """A reply as it grows."""

    params: ChatCompletionParams
    id: str = field(default_factory=lambda: new_id("chatcmpl"))
    created: int = field(default_factory=clock.now_s)
    finish_reason: str = "stop"
    _text: list[str] = field(default_factory=list)
    _calls: dict[int, JSONObject] = field(default_factory=dict)
    _usage: ModelUsage | None = None

    def add(self, delta: Delta) -> None:
        self._text.append(delta.text)
        for call in delta.tool_calls:
            known = self._calls.setdefault(call.index, _call(call))
            known["function"]["arguments"] += call.arguments
        self.finish_reason = delta.finish_reason or self.finish_reason
        self._usage = delta.usage or self._usage

    def completion(self) -> JSONObject:
        text = "".join(self._text)
        message: JSONObject = {"role": "assistant", "content": text or None if self._calls else text, "refusal": None}
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        message["annotations"] = []
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return self._object("chat.completion", [choice]) | {"usage": self.usage()}

    def chunk(self, delta: JSONObject, *, finish_reason: str | None = None) -> JSONObject:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._object("chat.completion.chunk", [choice])

    def usage(self) -> JSONObject:
        """Give the tokens as the server counted them; where it did not, those of the texts."""
        used = self._usage
        if used is None:
            prompt = sum(tokens.count(_text_of(message.content)) for message in self.params.messages)
            written = "".join([*self._text, *(call["function"]["arguments"] for call in self._calls.values())])
            used = ModelUsage(prompt, tokens.count(written))
        return {
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "total_tokens": used.prompt_tokens + used.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": used.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": used.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def _object(self, kind: str, choices: list[JSONObject]) -> JSONObject:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.params.model}
        return {**head, "choices": choices}


async def _with(first: Delta, rest: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    yield first
    async for delta in rest:
        yield delta


def _call(call: ToolCallDelta) -> JSONObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}


def _shown(delta: Delta) -> JSONObject:
    shown: JSONObject = {"content": delta.text} if delta.text else {}
    if delta.tool_calls:
        shown["tool_calls"] = [
            {"index": call.index, **_call(call), "function": {"name": call.name, "arguments": call.arguments}}
            if call.id is not None
            else {"index": call.index, "function": {"arguments": call.arguments}}
            for call in delta.tool_calls
        ]
    return shown


def _request(params: ChatCompletionParams, timeout_s: float) -> ChatRequest:
    """Give the request to the model.

    Raises:
        BadRequestError: it asks for what the answer could not show.
    """
    extra = params.others
    for name, (harmless, why) in _NOT_SHOWN.items():
        if name in extra and extra.pop(name) not in harmless:
            raise BadRequestError(f"Unsupported parameter: '{name}': {why}.", param=name, code="unsupported_parameter")
    if params.stream_options is not None and not params.stream:
        raise BadRequestError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return ChatRequest(
        model=params.model,
        messages=[_message(message, n) for n, message in enumerate(params.messages)],
        tools=[_tool(tool) for tool in params.tools or ()],
        tool_choice=_tool_choice(params),
        parallel_tool_calls=params.parallel_tool_calls,
        temperature=params.temperature,
        top_p=params.top_p,
        max_completion_tokens=params.max_completion_tokens or params.max_tokens,
        reasoning_effort=params.reasoning_effort,
        response_format=params.response_format,
        timeout_s=timeout_s,
        extra=extra,
    )


def _message(message: ChatMessageParam, n: int) -> ChatMessage:
    if message.content is None and not message.tool_calls:
        raise BadRequestError(
            f"Invalid value for 'messages[{n}].content': it is missing.", param=f"messages[{n}].content"
        )
    if message.role == "tool" and message.tool_call_id is None:
        name = f"messages[{n}].tool_call_id"
        raise BadRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    return ChatMessage(
        role="system" if message.role == "developer" else message.role,  # the older name is known to every server
        content=message.content or "",
        tool_calls=[ToolCall(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()],
        tool_call_id=message.tool_call_id,
        extra=message.others,
    )


def _tool(tool: ToolParam) -> ToolSchema:
    function = tool.function
    parameters = function.parameters or {"type": "object", "properties": {}}
    return ToolSchema(function.name, function.description or "", parameters, strict=bool(function.strict))


def _tool_choice(params: ChatCompletionParams) -> str:
    choice = params.tool_choice
    if choice not in {None, "none", "auto"} and not params.tools:
        raise BadRequestError("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, ToolChoiceParam):
        return f"function:{choice.function.name}"
    return choice or "auto"


def _text_of(content: Content | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(part.get("text", "")) for part in content)
