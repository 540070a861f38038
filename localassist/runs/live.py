"""A reply while it streams: text with its citations and the client's function calls are shown as they come."""

from collections.abc import Collection
from dataclasses import dataclass

from localassist.ids import new_id
from localassist.llm.base import Delta, FinishReason, ModelUsage, ToolCall, ToolCallDelta
from localassist.retrieval.cite import Citations, Cited, Source
from localassist.runs.steps import Recorder
from localassist.types.message import FileCitationAnnotation


@dataclass(slots=True)
class _Call:
    """A call as far as it has come; `shown_at` is its index in the step, once it has been shown."""

    id: str
    name: str
    arguments: str = ""
    shown_at: int | None = None


class LiveReply:
    """One model call's reply, shown through a `Recorder` as it comes."""

    def __init__(
        self,
        recorder: Recorder,
        sources: Collection[Source],
        *,
        functions: Collection[str],
        known_ids: Collection[str],
    ) -> None:
        self._recorder = recorder
        self._citations = Citations(sources)
        self._functions = functions
        self._known_ids = set(known_ids)
        self._calls: list[_Call] = []
        self._leading = ""
        self._n_shown = 0
        self._message_is_over = False
        self.annotations: list[FileCitationAnnotation] = []
        self.finish_reason: FinishReason | None = None
        self.usage: ModelUsage | None = None
        self.raw_text = ""
        """What the model wrote, its marks as it wrote them."""

    @property
    def text(self) -> str:
        """Give the message's text as it is shown."""
        return self._citations.text

    @property
    def calls(self) -> list[ToolCall]:
        """Give the calls, in the model's order."""
        return [ToolCall(call.id, call.name, call.arguments) for call in self._calls]

    @property
    def n_shown(self) -> int:
        """Count the calls that were shown while they came."""
        return self._n_shown

    @property
    def has_shown_something(self) -> bool:
        """Tell whether the client has seen any of this reply."""
        return bool(self.text or self._n_shown)

    async def take(self, delta: Delta) -> None:
        """Take in and show what came just now."""
        if delta.text:
            self.raw_text += delta.text
            if not self._message_is_over:
                await self._show(self._citations.feed(delta.text))
        for fragment in delta.tool_calls:
            await self._take_call(fragment)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage

    async def end(self) -> None:
        """Show what was held back: the text is over."""
        if not self._message_is_over:
            self._message_is_over = True
            await self._show(self._citations.finish())

    async def _show(self, pieces: list[Cited]) -> None:
        if not pieces:
            return
        if not self._recorder.message_is_open:
            if not self.text.strip():
                return  # white space alone makes no message: models write some before they call a tool
            await self._recorder.open_message()
            pieces = [Cited(self._missed(pieces)), *pieces]
        self.annotations += [piece.annotation for piece in pieces if piece.annotation is not None]
        self._recorder.show_text([piece for piece in pieces if piece.text])

    def _missed(self, pieces: list[Cited]) -> str:
        """Give the white space that came before the message was opened."""
        return self.text[: len(self.text) - sum(len(piece.text) for piece in pieces)]

    async def _take_call(self, fragment: ToolCallDelta) -> None:
        while len(self._calls) <= fragment.index:
            self._calls.append(_Call("", ""))
        call = self._calls[fragment.index]
        call.name = call.name or fragment.name or ""
        if not call.id:
            call.id = fragment.id if fragment.id and fragment.id not in self._known_ids else new_id("call")
            self._known_ids.add(call.id)
        call.arguments += fragment.arguments
        if call.name in self._functions:
            await self._show_call(call, fragment.arguments)

    async def _show_call(self, call: _Call, arguments: str) -> None:
        if call.shown_at is None:
            await self.open_tool_step()
            call.shown_at = self._n_shown
            self._n_shown += 1
            function = {"name": call.name, "arguments": "", "output": None}
            self._recorder.show_tool_call(call.shown_at, {"id": call.id, "type": "function", "function": function})
            arguments = call.arguments
        if arguments:
            fragment = {"type": "function", "function": {"arguments": arguments}}
            self._recorder.show_tool_call(call.shown_at, fragment)

    async def open_tool_step(self) -> None:
        """Begin the step of tool calls, if it has not begun; the message that stands before it ends."""
        if self._recorder.tool_step_is_open:
            return
        await self.end()
        before = None
        if self._recorder.message_is_open:
            before = self._recorder.message_closed(self.text, self.annotations, None)
        await self._recorder.open_tool_step(before)

    def in_step_order(self) -> list[ToolCall]:
        """Give the calls as the step lists them: those that were shown while they came, then the others."""
        shown = sorted((c for c in self._calls if c.shown_at is not None), key=lambda c: c.shown_at or 0)
        others = [c for c in self._calls if c.shown_at is None]
        return [ToolCall(c.id, c.name, c.arguments) for c in (*shown, *others)]
