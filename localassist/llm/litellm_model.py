"""Chat through litellm, for providers that do not speak the chat completions API.

Call `config.quiet_litellm` before this module is loaded: litellm reads its settings when it is imported.

litellm takes seconds to import and more time for a chunk than the direct adapter does (`benchmarks/streaming.py`). It
also ends a stream that was cut, and a body that is no stream, as if the reply were complete; both are told apart here.
"""

import re
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import litellm

from localassist.egress import Egress, egress_error_in
from localassist.errors import ContextLengthError, ModelError
from localassist.llm.base import ChatRequest, Delta, ModelInfo
from localassist.llm.failures import Refusal, limit_in, model_error, retry_after_s
from localassist.llm.wire import ReplyReader, request_body

litellm.telemetry = False
litellm.suppress_debug_info = True
litellm.disable_streaming_logging = True
litellm.disable_aiohttp_transport = True  # one HTTP library, one place to check
# A long table rule repeats one chunk rightly; litellm would end the reply after a hundred.
vars(litellm)["REPEATED_STREAMING_CHUNK_LIMIT"] = sys.maxsize

_ROOT: Final[type[Exception]] = vars(litellm.exceptions)["openai"].OpenAIError  # the base of everything it raises
_HOSTS: Final[Mapping[str, str]] = {
    "anthropic": "api.anthropic.com",
    "cohere": "api.cohere.com",
    "cohere_chat": "api.cohere.com",
    "gemini": "generativelanguage.googleapis.com",
    "ollama": "localhost:11434",
    "ollama_chat": "localhost:11434",
    "openai": "api.openai.com",
    "text-completion-openai": "api.openai.com",
}


_OPTIONS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "prediction",
        "presence_penalty",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""Options of a request that go to litellm. It takes others, addresses and keys among them: not a client's to set."""

_NOTHING_CAME: Final = "Error building chunks"
"""What litellm says of a stream in which no chunk held a choice."""

_LACKS_KEY: Final = re.compile(
    r"\bmissing\b.{0,40}\b(?:credentials|key)\b|\bset\b.{0,80}\benvironment\b", re.IGNORECASE | re.DOTALL
)
"""How litellm says that it has no key, or no project, to call a provider with."""


class LiteLLMModel:
    """Any model that litellm knows, by litellm's name for it: `anthropic/…`, `gemini/…`, `ollama/…`.

    Connections belong to litellm, which keeps them for the whole process and closes them itself.
    """

    def __init__(self, *, egress: Egress, base_url: str | None = None, api_key: str | None = None) -> None:
        self._egress = egress
        self._base_url = base_url.rstrip("/") if base_url else None
        self._api_key = api_key

    def info(self, model: str) -> ModelInfo:
        """Give what litellm's own list says of a model; nothing is asked over the network."""
        bare, provider = self._provider(model)[:2]
        for name in (model, f"{provider}/{bare}", bare):
            if found := litellm.model_cost.get(name):
                return ModelInfo(
                    context_tokens=_whole_number(found.get("max_input_tokens") or found.get("max_tokens")),
                    supports_tools=found.get("supports_function_calling"),
                    supports_images=found.get("supports_vision"),
                )
        return ModelInfo()

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Call the model once and yield its reply as it comes.

        Raises:
            ModelError: the call failed, or its reply was cut.
            ContextLengthError: the prompt was longer than the model's context.
            EgressError: the settings do not allow the provider's host.
        """
        if unknown := sorted(set(request.extra) - _OPTIONS):
            raise ModelError(
                f"The model {request.model!r} is called through litellm, which is not given {', '.join(unknown)}. "
                "Leave it out, or name an OpenAI-compatible server by its URL.",
                code="invalid_prompt",
            )
        server = self._server(request.model)
        reader = ReplyReader(model=request.model, server=server)
        try:
            stream = await litellm.acompletion(
                **request_body(request, model=request.model),
                stream=True,
                stream_options={"include_usage": True},
                timeout=request.timeout_s,
                base_url=self._base_url,
                api_key=self._api_key or ("none" if self._base_url else None),
                drop_params=not request.extra,  # what a client asked for by name is refused, not left out
                num_retries=0,
                max_retries=0,
                caching=False,
            )
            async for delta in _deltas(stream, reader):
                yield delta
        except (_ROOT, httpx.HTTPError) as error:
            failure: Exception = _failure(error, request, server)
            raise failure from error
        except BaseExceptionGroup as group:
            raise egress_error_in(group) or group from None

    async def close(self) -> None:
        """Leave the connections to litellm: the program around us may be using them."""

    def _server(self, model: str) -> str:
        """Name the host that serves a model, and refuse it here if it is not allowed.

        Raises:
            EgressError: the settings do not allow it.
            ModelError: the name has no provider.
        """
        _, provider, listed = self._provider(model)
        server = self._base_url or listed or _HOSTS.get(provider)
        if server is None and not provider:
            raise ModelError(
                f"The model {model!r} names no provider that litellm knows: nothing was sent. Put one before the name "
                "(ollama/NAME, openai/NAME), or set the base URL of its server.",
                code="invalid_prompt",
            )
        if server is None:
            return provider  # a host that only litellm knows is left to the guard of the process
        self._egress.check(server)
        return server

    @staticmethod
    def _provider(model: str) -> tuple[str, str, str | None]:
        """Split litellm's name: the provider's name for the model, the provider, and its base URL where listed."""
        try:
            bare, provider, _, base_url = litellm.get_llm_provider(model)
        except litellm.exceptions.BadRequestError:
            return model, "", None
        return bare, provider, base_url


async def _deltas(stream: Any, reader: ReplyReader) -> AsyncIterator[Delta]:
    """Read litellm's chunks; hold its finish back until it is sure that the provider finished too.

    Raises:
        ModelError: the reply is empty, or was cut.
    """
    came = False
    held: list[Delta] = []
    async for chunk in stream:
        delta = reader.read(_plain(chunk))
        if delta is None:
            continue
        came = came or bool(delta.text or delta.tool_calls)
        if held or (delta.finish_reason and not delta.text and not delta.tool_calls):
            held.append(delta)
        else:
            yield delta
    if getattr(stream, "received_finish_reason", "unknown") is None:
        raise reader.cut("the connection was closed") if came else reader.empty()
    if not came and all(delta.finish_reason in {None, "stop"} for delta in held):
        raise reader.empty()
    for delta in held:
        yield delta
    if delta := reader.done():
        yield delta


def _failure(error: Any, request: ChatRequest, server: str) -> Exception:
    """Read litellm's errors: its class decides where it has one for the case, else the status does."""
    if refused := egress_error_in(error):
        return refused
    chain = _chain(error)
    words = next((w for w in (_words(e) for e in reversed(chain)) if w), "")
    if any(isinstance(e, httpx.ConnectError | httpx.ConnectTimeout) for e in chain):
        return ModelError(
            f"No model server answers at {server} ({words}). Start the model server, or set the base URL of one that "
            "runs.",
            retryable=True,
        )
    if any(isinstance(e, litellm.exceptions.Timeout | httpx.TimeoutException) for e in chain):
        return ModelError(
            f"The model {request.model!r} at {server} did not answer within {request.timeout_s:g} seconds.",
            retryable=True,
        )
    if any(_NOTHING_CAME in _words(e) for e in chain):
        return ReplyReader(model=request.model, server=server).empty()
    if any(isinstance(e, litellm.exceptions.MidStreamFallbackError) for e in chain):
        return ModelError(f"The reply of {request.model!r} was cut off before its end: {words}", retryable=True)
    if unsent := _unsent(chain, words, request):
        return unsent
    wait = next((w for w in (retry_after_s(_headers(e)) for e in chain) if w is not None), None)
    refusal = Refusal(
        int(getattr(error, "status_code", None) or 500), _words(error), str(getattr(error, "code", "") or ""), wait
    )
    if isinstance(error, litellm.exceptions.ContextWindowExceededError):
        return ContextLengthError(
            f"The prompt is longer than the context of {request.model!r}: {refusal.words}", max_tokens=limit_in(refusal)
        )
    return model_error(refusal, model=request.model, server=server)


def _unsent(chain: list[BaseException], words: str, request: ChatRequest) -> ModelError | None:
    """Give the error of a call that litellm gave up before it sent anything; it calls that an answer of 400 or 500."""
    if any(isinstance(e, httpx.HTTPStatusError) for e in chain):
        return None
    said = f"The model {request.model!r} could not be called, and nothing was sent: {words}"
    if isinstance(chain[-1], ModuleNotFoundError):
        return ModelError(f"{said}. Install it with: pip install {chain[-1].name}")
    if any(isinstance(e, litellm.exceptions.LiteLLMUnknownProvider) for e in chain):
        return ModelError(f"{said} litellm offers no chat with this provider.", code="invalid_prompt")
    if _LACKS_KEY.search(words):
        return ModelError(
            f"{said} A key is set with --model-api-key or LOCALASSIST_MODEL_API_KEY, or as api_key of the model in the "
            "settings file."
        )
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """List an error and those behind it, the last one the first that happened."""
    chain: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in chain:
        chain.append(found)
        found = found.__cause__ or found.__context__
    return chain


def _words(error: BaseException) -> str:
    """Give the provider's own words, without the names that litellm writes before them."""
    text = str(getattr(error, "message", error)).split(" Original exception:")[0].split("\nTraceback (most recent")[0]
    return re.sub(r"^(?:(?:litellm\.)?\w+(?:Error|Exception)(?:: | - |$))+", "", text).strip()


def _headers(error: BaseException) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    found = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None)
    return {str(name).lower(): str(value) for name, value in dict(found or {}).items()}


def _plain(chunk: Any) -> dict[str, Any]:
    """Write litellm's chunk object as the plain chunk it was made from, without the price of its own dump."""
    plain: dict[str, Any] = {"choices": []}
    if usage := getattr(chunk, "usage", None):
        plain["usage"] = usage.model_dump()
    for choice in chunk.choices[:1]:
        delta = choice.delta
        calls = [_plain_call(call) for call in delta.tool_calls or ()]
        part = {"content": delta.content, "tool_calls": calls}
        plain["choices"] = [{"delta": part, "finish_reason": choice.finish_reason}]
    return plain


def _plain_call(call: Any) -> dict[str, Any]:
    return {
        "index": call.index,
        "id": call.id,
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }


def _whole_number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None
