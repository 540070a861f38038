"""Any embedding endpoint: an OpenAI-compatible URL directly, every other provider through litellm.

The text leaves for the host that was named, and for no other: each request's host is checked before it is sent.
An endpoint gives one vector for a text, so there are windows and no sub-windows.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from localassist.config import quiet_litellm
from localassist.egress import egress_error_in
from localassist.errors import ConfigurationError, ModelError
from localassist.retrieval.embed import QueryCache, WindowPlan, unit_rows, window_starts, without_surrogates
from localassist.retrieval.model import EmbeddedText, TokenProgress, Vectors

HostCheck = Callable[[str], None]
"""Lets a URL or a host pass, or raises `EgressError`."""
TokenSpans = Callable[[str], NDArray[np.int64]]
"""Gives the characters `[n_tokens, 2]` of a text's tokens, as `tokens.token_spans` does."""

_RETRYABLE: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_ATTEMPTS: Final = 4
_MAX_WAIT_S: Final = 30.0
_MAX_QUERY_CHARACTERS: Final = 8_000
_WORDS_OF_AN_ERROR: Final = 400


class EmbeddingEndpoint(Protocol):
    """Texts to vectors, once, over some wire."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to `[n_texts, dim]`.

        Raises:
            ModelError: the call failed; `retryable` says whether another attempt can help.
            EgressError: the settings do not allow the host.
        """
        ...


class HttpEndpoint:
    """An OpenAI-compatible server at `base_url`, which ends where `/embeddings` begins."""

    def __init__(self, model: str, *, base_url: str, check_host: HostCheck, api_key: str | None = None) -> None:
        self._model = model
        self._url = base_url.rstrip("/").removesuffix("/embeddings") + "/embeddings"
        self._check_host = check_host
        self._client = httpx.Client(
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(120.0, connect=10.0),
            trust_env=False,  # a proxy named in the environment is a host that nobody allowed
        )

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to `[n_texts, dim]`.

        Raises:
            ModelError: no server answers, or it answers with an error or with something else.
            EgressError: the settings do not allow the host.
        """
        self._check_host(self._url)
        body = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        try:
            response = self._client.post(
                self._url, content=orjson.dumps(body), headers={"content-type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if refused := egress_error_in(error):
                raise refused from error
            raise ModelError(f"No embedding server answers at {self._url}: {error}", retryable=True) from error
        if response.status_code != httpx.codes.OK:
            raise ModelError(
                f"The embedding server {self._url} answered {response.status_code}: "
                f"{response.text[:_WORDS_OF_AN_ERROR]}",
                code="rate_limit_exceeded" if response.status_code == httpx.codes.TOO_MANY_REQUESTS else "server_error",
                retryable=response.status_code in _RETRYABLE,
                retry_after_s=_seconds(response.headers.get("retry-after")),
            )
        try:
            return read_vectors(orjson.loads(response.content), n_texts=len(texts))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"The embedding server {self._url} answered with something else: {error}") from error


class LitellmEndpoint:
    """A model of any provider that litellm knows, by litellm's name for it.

    litellm makes the connection itself. Its host is checked here where litellm tells it; behind that stands the guard
    of `egress`, which sees every connection.

    Raises:
        ConfigurationError: litellm does not know the model's provider.
    """

    def __init__(self, model: str, *, check_host: HostCheck, api_key: str | None = None) -> None:
        quiet_litellm()
        import litellm  # noqa: PLC0415 - it takes seconds to import, and must be made quiet before

        litellm.suppress_debug_info = True  # it prints advice to the terminal
        self._litellm: Any = litellm
        self._model, self._api_key, self._check_host = model, api_key, check_host
        try:
            _, self._provider, _, self._base_url = litellm.get_llm_provider(model)
        except litellm.exceptions.BadRequestError as error:
            raise ConfigurationError(
                f"litellm does not know the provider of the embedding model {model!r}. Write it as PROVIDER/MODEL, or "
                "set embedder_base_url to an OpenAI-compatible URL."
            ) from error

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Embed texts to `[n_texts, dim]`.

        Raises:
            ModelError: the provider refused, or answered with something else.
            EgressError: the settings do not allow the host.
        """
        host = self._base_url or {"openai": "api.openai.com"}.get(self._provider)
        if host is not None:
            self._check_host(host)
        try:
            answer = self._litellm.embedding(
                model=self._model, input=list(texts), api_key=self._api_key, num_retries=0, timeout=120
            )
            return read_vectors(answer.model_dump(), n_texts=len(texts))
        except Exception as error:  # litellm has a class for each fault, and lets its providers' own ones through
            if refused := egress_error_in(error):
                raise refused from error
            status = getattr(error, "status_code", None)
            raise ModelError(
                f"The embedding model {self._model!r} failed: {error}",
                code="rate_limit_exceeded" if status == httpx.codes.TOO_MANY_REQUESTS else "server_error",
                retryable=status in _RETRYABLE,
            ) from error


class RemoteEmbedder:
    """Embeds the windows of a text, and queries, at an endpoint; implements `retrieval.model.Embedder`.

    Args:
        endpoint: where vectors come from.
        name: identifies the model and its server.
        spans: cuts texts into tokens; the model's own are not known here.
        languages: ISO 639-1 codes of what the model can read; `*` for every language.
        plan: the windows, in tokens of `spans`; sub-windows are left out.
        batch_size: windows in one request.
        wait: waits for some seconds before another attempt.

    The length of a vector is asked of the endpoint when it is first needed.
    """

    def __init__(
        self,
        endpoint: EmbeddingEndpoint,
        *,
        name: str,
        spans: TokenSpans,
        languages: Sequence[str] = ("*",),
        plan: WindowPlan | None = None,
        batch_size: int = 64,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._spans = spans
        self._languages = tuple(languages)
        self._plan = plan or WindowPlan()
        self._batch_size = batch_size
        self._wait = wait or threading.Event().wait
        self._dim: int | None = None
        self._queries = QueryCache()

    @property
    def name(self) -> str:
        """Identify the model and its settings: vectors of different names are never compared."""
        return f"{self._name} {self._plan.size}/{self._plan.stride}"

    @property
    def dim(self) -> int:
        """Give the length of a vector.

        Raises:
            ModelError: the endpoint had to be asked, and failed.
        """
        if self._dim is None:
            self._embed(["a"])
        return self._dim or 0

    @property
    def languages(self) -> Sequence[str]:
        """Give the ISO 639-1 codes of what the model can read; `*` for every language."""
        return self._languages

    def embed_query(self, queries: Sequence[str]) -> Vectors:
        """Embed queries to `[n_queries, dim] float32`, rows of length 1; the latest ones are remembered.

        Raises:
            ModelError: the endpoint failed, after several attempts if they could help.
        """
        vectors = [self._queries.get(query, self._one_query) for query in queries]
        return np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32)

    def reads_whole(self, query: str) -> bool:
        """Tell whether a query is sent whole; the endpoint may read less of it."""
        return len(query) <= _MAX_QUERY_CHARACTERS

    def embed_text(self, text: str, *, progress: TokenProgress | None = None) -> EmbeddedText:
        """Embed all of a text, each token at least once; `progress` hears how far it is.

        Raises:
            ModelError: the endpoint failed, after several attempts if they could help.
        """
        text = without_surrogates(text)
        spans = self._spans(text)
        starts = window_starts(len(spans), size=self._plan.size, stride=self._plan.stride)
        ends = np.minimum(starts + self._plan.size, len(spans))
        windows = np.stack([spans[starts, 0], spans[ends - 1, 1]], axis=1).astype(np.int64)
        rows: list[Vectors] = []
        for first in range(0, len(windows), self._batch_size):
            batch = windows[first : first + self._batch_size]
            # Servers refuse a text of blanks alone; such a window is sent as a full stop.
            rows.append(self._embed([text[a:b] if text[a:b].strip() else "." for a, b in batch.tolist()]))
            if progress is not None:
                progress(int(ends[first + len(batch) - 1]), len(spans))
        dim = self.dim
        return EmbeddedText(
            window_spans=windows,
            window_vectors=np.concatenate(rows) if rows else np.empty((0, dim), np.float32),
            sub_spans=np.empty((0, 2), np.int64),
            sub_vectors=np.empty((0, dim), np.int8),
            sub_scales=np.empty(0, np.float32),
            sub_window=np.empty(0, np.int64),
        )

    def _one_query(self, query: str) -> Vectors:
        query = without_surrogates(query[:_MAX_QUERY_CHARACTERS])
        vector: Vectors = self._embed([query if query.strip() else "."])[0]
        vector.setflags(write=False)  # it is shared through the cache
        return vector

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """Embed one batch to unit vectors.

        Raises:
            ModelError: the endpoint failed, or its vectors have another length than before.
        """
        vectors = self._attempt(texts)
        if self._dim not in {None, vectors.shape[1]}:
            raise ModelError(f"{self._name} gave vectors of {vectors.shape[1]} numbers, after {self._dim} before.")
        self._dim = vectors.shape[1]
        return unit_rows(vectors)

    def _attempt(self, texts: Sequence[str], *, number: int = 1) -> Vectors:
        """Ask the endpoint, again where it says that this can help.

        Raises:
            ModelError: it failed for good.
        """
        try:
            return self._endpoint(texts)
        except ModelError as error:
            if not error.retryable or number == _ATTEMPTS:
                raise
            self._wait(min(error.retry_after_s or 2.0**number / 2, _MAX_WAIT_S))
        return self._attempt(texts, number=number + 1)


def read_vectors(answer: Mapping[str, Any], *, n_texts: int) -> Vectors:
    """Read the vectors of an embeddings response, in the order of the texts.

    Raises:
        ValueError: there are not `n_texts` vectors of one length with finite numbers.
    """
    entries = sorted(answer["data"], key=lambda entry: entry["index"])
    if [entry["index"] for entry in entries] != list(range(n_texts)):
        raise ValueError(f"{len(entries)} vectors for {n_texts} texts")
    vectors = np.array([entry["embedding"] for entry in entries], np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError("vectors that are not rows of finite numbers")
    return vectors


def _seconds(text: str | None) -> float | None:
    """Read a `retry-after` of seconds; a date is left to the default wait."""
    try:
        return max(float(text), 0.0) if text else None
    except ValueError:
        return None
