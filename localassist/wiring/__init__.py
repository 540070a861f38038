"""`Settings` to working parts: the one place that chooses implementations.

What is heavy is loaded when it is first needed: onnxruntime with the first embedding, litellm with the first model call
that goes through it, the parsers with the first file.
"""

from localassist.wiring.engine import Engine

__all__ = ["Engine"]
