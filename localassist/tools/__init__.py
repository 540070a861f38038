"""What a model may call."""

from localassist.tools.base import Tool, ToolArgumentsError, ToolContext, ToolOutput, ToolUnusableError

__all__ = ["Tool", "ToolArgumentsError", "ToolContext", "ToolOutput", "ToolUnusableError"]
