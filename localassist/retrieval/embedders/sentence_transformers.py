"""A local sentence-transformers folder through torch: for models without an ONNX graph. An optional dependency.

Importing this module raises `MissingDependencyError` where the library is not installed.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from localassist.errors import ConfigurationError, MissingDependencyError
from localassist.retrieval.embed import Ids
from localassist.retrieval.embedders.wordpieces import Wordpieces
from localassist.retrieval.model import Vectors

try:
    import torch
    from sentence_transformers import SentenceTransformer
except ImportError as error:
    raise MissingDependencyError(
        "sentence-transformers",
        purpose="An embedding model without an ONNX graph",
        install="pip install 'localassist[sentence-transformers]'",
    ) from error


class SentenceTransformersModel:
    """Token outputs from a sentence-transformers folder; implements `retrieval.embed.TokenModel`.

    Args:
        folder: the model; only files inside it are read, nothing is downloaded.
        threads: torch's threads inside one forward pass, at least 1; set for the whole process.
        device: `cpu`, `cuda`, …; None takes the library's choice.

    Raises:
        ConfigurationError: the folder cannot be loaded, or has no fast tokeniser.
    """

    def __init__(self, folder: Path, *, threads: int = 1, device: str | None = None) -> None:
        torch.set_num_threads(threads)
        try:
            model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigurationError(f"{folder} cannot be loaded by sentence-transformers: {error}") from error
        backend = getattr(model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigurationError(f"{folder} has no fast tokeniser (tokenizer.json), which character spans need.")
        self._wordpieces = Wordpieces(backend)
        self._transformer = model[0].auto_model.eval()
        self._device = model.device
        self.dim = int(self._transformer.config.hidden_size)
        self.special_ids = self._wordpieces.special_ids

    def tokenize(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ids `[n]` of a text's wordpieces, without special ones, and their characters `[n, 2]`."""
        return self._wordpieces.tokenize(text)

    def forward(self, ids: Ids) -> Vectors:
        """Give every token's output, `[batch, length, dim]`, for texts of equal length: `ids [batch, length]`."""
        tokens = torch.from_numpy(ids).to(self._device)
        with torch.inference_mode():
            outputs = self._transformer(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        return np.asarray(outputs.float().cpu().numpy(), np.float32)
