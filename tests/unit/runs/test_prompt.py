"""A prompt holds what fits, the question always."""

from hypothesis import given
from hypothesis import strategies as st

from localassist import tokens
from localassist.llm.base import ChatMessage, ToolCall
from localassist.runs.prompt import chat_message, count_tokens, fit, tool_exchange
from localassist.types.message import (
    FileCitation,
    FileCitationAnnotation,
    ImageFile,
    ImageFileContentBlock,
    Message,
    Text,
    TextContentBlock,
)

tokens.count("the vocabulary is read once, before anything is timed")
SYSTEM = [ChatMessage("system", "Be brief.")]


async def read_image(file_id: str) -> str | None:
    return "data:image/png;base64,AAAA" if file_id == "file-there" else None


def message(*content: TextContentBlock | ImageFileContentBlock) -> Message:
    return Message(id="msg_1", created_at=1, thread_id="thread_1", role="user", content=list(content))


def test_without_a_limit_everything_is_there() -> None:
    history = [ChatMessage("user", "word " * 500), ChatMessage("user", "question")]

    assert fit(SYSTEM, history, [], max_tokens=None).messages == [*SYSTEM, *history]


@given(lengths=st.lists(st.integers(1, 80), min_size=1, max_size=12), max_tokens=st.integers(20, 500))
def test_the_oldest_messages_leave_first_and_the_question_stays(lengths: list[int], max_tokens: int) -> None:
    history = [ChatMessage("user", f"{n} " + "word " * length) for n, length in enumerate(lengths)]

    prompt = fit(SYSTEM, history, [], max_tokens=max_tokens)

    kept = list(prompt.messages[1:])
    assert kept == history[len(history) - len(kept) :]
    assert kept
    assert prompt.n_dropped == len(history) - len(kept)
    used = sum(map(count_tokens, prompt.messages))
    assert prompt.fits == (used <= max_tokens)
    assert prompt.fits or len(kept) == 1
    if prompt.n_dropped:
        assert used + count_tokens(history[len(history) - len(kept) - 1]) > max_tokens


def test_results_of_tools_are_shortened_before_messages_leave() -> None:
    passages = "\n\n".join(f"【4:{n}†a.md】\n" + "word " * 200 for n in range(10))
    current = tool_exchange([ToolCall("call_1", "file_search", "{}")], [passages])
    history = [ChatMessage("user", "an early remark"), ChatMessage("user", "the question")]

    prompt = fit(SYSTEM, history, current, max_tokens=900)

    assert (prompt.n_dropped, prompt.n_shortened, prompt.fits) == (0, 1, True)
    shortened = str(prompt.messages[-1].content)
    assert passages.startswith(shortened)
    assert shortened.endswith("word ")  # whole passages, the best of them


async def test_earlier_answers_lose_their_marks() -> None:
    value = "28 days【4:0†handbook.pdf】."
    mark = FileCitationAnnotation(
        text="【4:0†handbook.pdf】", start_index=7, end_index=25, file_citation=FileCitation(file_id="file-a")
    )
    assert value[7:25] == mark.text

    written = await chat_message(message(TextContentBlock(text=Text(value=value, annotations=[mark]))), read_image)

    assert written.content == "28 days."


async def test_an_image_is_shown_and_one_that_is_gone_is_said_to_be() -> None:
    there = ImageFileContentBlock(image_file=ImageFile(file_id="file-there"))
    gone = ImageFileContentBlock(image_file=ImageFile(file_id="file-gone"))

    written = await chat_message(message(there, gone), read_image)

    assert [part["type"] for part in written.content if not isinstance(part, str)] == ["image_url", "text"]
