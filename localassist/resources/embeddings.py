"""Embeddings: texts to the vectors of the embedding model that is configured, whatever model a request names."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from localassist import tokens
from localassist.errors import BadRequestError, EgressError, ModelError, ModelServerError
from localassist.resources.completions import api_error
from localassist.types.completion import MAX_INPUTS, Embedding, EmbeddingParams, Embeddings, EmbeddingUsage

_ENCODING: Final = "cl100k_base"
"""What the hosted embedding models read; clients that send tokens instead of text mean these."""
_MAX_CHARACTERS: Final = 2_000_000
"""Of all texts of one request together: several times what the hosted service took."""


class Embeds(Protocol):
    """What is asked of `retrieval.retriever.Retriever`."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give a vector of length 1 for each text. Blocking."""
        ...


class EmbeddingsOf:
    """What can be done with embeddings."""

    def __init__(self, *, embedder: Embeds) -> None:
        self._embedder = embedder

    async def create(self, params: EmbeddingParams) -> Embeddings:
        """Give the vectors of the texts, in their order.

        Raises:
            APIError: the texts cannot be embedded, or not with as many numbers as were asked for.
        """
        return await asyncio.to_thread(self._create, params)

    def _create(self, params: EmbeddingParams) -> Embeddings:
        texts = _texts(params)
        try:
            vectors = self._embedder.embed(texts)
        except ModelError as error:
            failure = api_error(error)
            raise failure from error
        except EgressError as error:
            raise ModelServerError(str(error)) from error
        if params.dimensions not in {None, vectors.shape[1]}:
            raise BadRequestError(
                f"This server's embedding model gives vectors of {vectors.shape[1]} numbers and cannot shorten them to "
                f"{params.dimensions}. Leave 'dimensions' out.",
                param="dimensions",
                code="unsupported_value",
            )
        n_tokens = sum(tokens.count(text, _ENCODING) for text in texts)
        return Embeddings(
            data=[
                Embedding(index=n, embedding=_base64(vector) if params.encoding_format == "base64" else vector.tolist())
                for n, vector in enumerate(vectors)
            ],
            model=params.model,
            usage=EmbeddingUsage(prompt_tokens=n_tokens, total_tokens=n_tokens),
        )


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _texts(params: EmbeddingParams) -> list[str]:
    """Give the texts of a request; tokens are written out.

    Raises:
        BadRequestError: there are none, one is empty, or they are too many or too long.
    """
    texts = _written(params.input)
    if not texts or not all(texts):
        n = "" if isinstance(params.input, str) or not texts else f"[{texts.index('')}]"
        raise BadRequestError(f"Invalid 'input{n}': it cannot be empty.", param="input", code="invalid_value")
    if len(texts) > MAX_INPUTS:
        raise BadRequestError(
            f"Invalid 'input': array too long. Expected an array with maximum length {MAX_INPUTS}, "
            f"but got an array with length {len(texts)} instead.",
            param="input",
            code="array_above_max_length",
        )
    if (n_characters := sum(map(len, texts))) > _MAX_CHARACTERS:
        raise BadRequestError(
            f"Invalid 'input': the texts have {n_characters:,} characters together, and one request may have "
            f"{_MAX_CHARACTERS:,}. Send them in several requests.",
            param="input",
        )
    return texts


def _written(given: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    if isinstance(given, str):
        return [given]
    numbers = [each for each in given if isinstance(each, int)]
    if numbers:
        return [_decoded(numbers)]
    return [_decoded(each) if isinstance(each, list) else str(each) for each in given]


def _decoded(numbers: Sequence[int]) -> str:
    try:
        return tokens.tokenizer(_ENCODING).decode(numbers)
    except ValueError as error:
        raise BadRequestError(
            f"Invalid 'input': {error}. Tokens are those of {_ENCODING}, which the hosted embedding models read; "
            "or send the text.",
            param="input",
            code="invalid_value",
        ) from error
