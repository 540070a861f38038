"""`localassist/extractive`: answers with no language model, by quoting the files.

It goes through the same run loop and tools as any model: it asks for `file_search`, reads the numbered sources that
come back, and quotes the sentences that answer best, each with the mark of its source. It writes nothing of its own but
the line that says so.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson

from localassist import tokens
from localassist.ids import new_id
from localassist.llm.base import ChatMessage, ChatRequest, Delta, ModelInfo, ModelUsage, ToolCallDelta, ToolSchema
from localassist.llm.languages import WORDINGS, Wording, is_cjk, language
from localassist.llm.quoting import Passage, Quotation, choose, opening, read_passages, terms

MODEL_NAME: Final = "localassist/extractive"
_TOOL: Final = "file_search"
_CONTEXT_TOKENS: Final = 128_000  # it reads what it is given; this keeps prompts within reason
_FEW_TERMS: Final = 2
_PIECE: Final = re.compile(r"\s*\S{1,12}")


class ExtractiveModel:
    """Quotes the best sentences of the files that a search found. Needs no weights, no network and no settings."""

    def info(self, model: str) -> ModelInfo:  # noqa: ARG002  it is the same under every name
        """Describe it: it calls tools, and sees no images."""
        return ModelInfo(context_tokens=_CONTEXT_TOKENS, supports_tools=True, supports_images=False)

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Ask for a search first, then quote from what it found."""
        question = _question(request.messages)
        passages = _passages(request.messages)
        tool = _search_tool(request)
        if tool is not None and passages is None and question:
            arguments = orjson.dumps(_arguments(tool, question)).decode()
            call = ToolCallDelta(0, new_id("call"), _TOOL, arguments)
            yield Delta(tool_calls=(call,))
            yield Delta(finish_reason="tool_calls", usage=_usage(request, arguments))
            return
        answer = _answer(question, passages)
        for piece in _pieces(answer):
            await asyncio.sleep(0)
            yield Delta(piece)
        yield Delta(finish_reason="stop", usage=_usage(request, answer))

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def _question(messages: Sequence[ChatMessage]) -> str:
    """Give the last question; with the one before it when it says too little alone ("And in Spain?")."""
    asked = [text for message in messages if message.role == "user" and (text := _text(message).strip())]
    if not asked:
        return ""
    if len(asked) > 1 and len(terms(asked[-1])) < _FEW_TERMS:
        return f"{asked[-2]}\n{asked[-1]}"
    return asked[-1]


def _passages(messages: Sequence[ChatMessage]) -> list[Passage] | None:
    """Read the sources found for the last question, or those in the instructions; None: nothing was searched."""
    asked = [i for i, message in enumerate(messages) if message.role == "user"]
    results = [_text(message) for message in messages[(asked or [-1])[-1] + 1 :] if message.role == "tool"]
    if results:
        return [passage for text in results for passage in read_passages(text)]
    carried = [p for message in messages if message.role == "system" for p in read_passages(_text(message))]
    return carried or None


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(str(part.get("text", "")) for part in message.content if part.get("type") == "text")


def _search_tool(request: ChatRequest) -> ToolSchema | None:
    if request.tool_choice not in {"auto", "required", f"function:{_TOOL}"}:
        return None
    return next((tool for tool in request.tools if tool.name == _TOOL), None)


def _arguments(tool: ToolSchema, question: str) -> dict[str, object]:
    """Write the search as the tool's schema wants it: one query, or a list of them."""
    if "queries" in tool.parameters.get("properties", {}):
        return {"queries": [question]}
    return {"query": question}


def _answer(question: str, passages: Sequence[Passage] | None) -> str:
    if passages is None:
        return WORDINGS[language(question)].no_search
    quotations = choose(question, passages)
    spoken = [*(q.text for q in quotations), *(p.text for p in passages)]
    wording = WORDINGS[language(question, *(text for text in spoken if is_cjk(text) == is_cjk(question)))]
    if quotations:
        return "\n\n".join([*(_quoted(q, wording) for q in quotations), wording.quoted])
    nearest = opening(passages)
    if nearest is None:
        return wording.nothing
    return "\n\n".join([wording.nearest, _quoted(nearest, wording), wording.quoted])


def _quoted(quotation: Quotation, wording: Wording) -> str:
    """Write a quotation with its mark; the names of a table's columns stand behind them, outside of what is quoted."""
    names = f" ({quotation.columns})" if quotation.columns else ""
    return f"{wording.open_quote}{quotation.text}{wording.close_quote}{quotation.mark}{names}"


def _pieces(text: str) -> list[str]:
    """Cut a text into the small pieces it is streamed in; together they are the text."""
    return _PIECE.findall(text)


def _usage(request: ChatRequest, written: str) -> ModelUsage:
    """Count as a language model would be billed: the prompt's text, and what was written."""
    prompt = sum(tokens.count(_text(message)) for message in request.messages)
    return ModelUsage(prompt_tokens=prompt, completion_tokens=tokens.count(written))
