"""A local model folder through onnxruntime: the default embedder. Loads neither torch nor anything from a network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from localassist.config import quiet_onnxruntime
from localassist.errors import ConfigurationError
from localassist.retrieval.embed import Ids
from localassist.retrieval.embedders.wordpieces import Wordpieces
from localassist.retrieval.model import Vectors

quiet_onnxruntime()
import onnxruntime  # noqa: E402 - its import alone would start to send telemetry

_ERRORS_ONLY = 3
_FILLED = {"attention_mask": 1, "token_type_ids": 0}
"""What other inputs of a graph are filled with: texts of equal length have nothing to mask, and are one segment."""


class OnnxModel:
    """Token outputs from a `model.onnx` with its `tokenizer.json`; implements `retrieval.embed.TokenModel`.

    One call uses one core and starts no thread, so an idle server costs nothing; several calls at once scale better
    than several threads inside one (`WindowEmbedder(workers=…)`).

    Args:
        model: the graph: `input_ids [batch, length]`, optionally `attention_mask` and `token_type_ids`, to
            `[batch, length, dim]` as `last_hidden_state`, `token_embeddings` or its first output.
        tokenizer: the `tokenizer.json` it was trained with.

    Raises:
        ConfigurationError: one of them cannot be read, or the graph is of another form.
    """

    def __init__(self, model: Path, tokenizer: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen exceptions without a common class
            raise ConfigurationError(f"{model} is not an ONNX model that can be used: {error}") from error
        self._wordpieces = Wordpieces.from_file(tokenizer)
        self._filled = {i.name: _FILLED[i.name] for i in self._session.get_inputs() if i.name in _FILLED}
        self._output = self._find_output(model)
        self.dim = self._find_dim(model)
        self.special_ids = self._wordpieces.special_ids

    def tokenize(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ids `[n]` of a text's wordpieces, without special ones, and their characters `[n, 2]`."""
        return self._wordpieces.tokenize(text)

    def forward(self, ids: Ids) -> Vectors:
        """Give every token's output, `[batch, length, dim]`, for texts of equal length: `ids [batch, length]`."""
        feed = {"input_ids": ids, **{name: np.full_like(ids, value) for name, value in self._filled.items()}}
        (outputs,) = self._session.run([self._output], feed)
        return np.asarray(outputs, np.float32)

    def _find_output(self, model: Path) -> str:
        names = [output.name for output in self._session.get_outputs()]
        inputs = {i.name for i in self._session.get_inputs()}
        if "input_ids" not in inputs or inputs - {"input_ids", *_FILLED}:
            raise ConfigurationError(
                f"{model} takes {sorted(inputs)}; a text model takes input_ids, attention_mask, token_type_ids."
            )
        return next((n for n in ("last_hidden_state", "token_embeddings") if n in names), names[0])

    def _find_dim(self, model: Path) -> int:
        before, after = self._wordpieces.special_ids
        outputs = self.forward(np.array([[*before, *self.tokenize("a")[0], *after]], np.int64))
        if outputs.ndim != 3:
            raise ConfigurationError(
                f"{model} gives {list(outputs.shape)}, not the outputs of every token [batch, length, dim]; "
                "export it for feature extraction."
            )
        return int(outputs.shape[2])
