"""Chat models: one interface, several adapters."""

from localassist.llm.base import (
    ChatMessage,
    ChatModel,
    ChatRequest,
    Delta,
    ModelInfo,
    ModelUsage,
    ToolCall,
    ToolCallDelta,
    ToolSchema,
)

__all__ = [
    "ChatMessage",
    "ChatModel",
    "ChatRequest",
    "Delta",
    "ModelInfo",
    "ModelUsage",
    "ToolCall",
    "ToolCallDelta",
    "ToolSchema",
]
