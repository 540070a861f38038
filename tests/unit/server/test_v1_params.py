"""Requests of API version 1: what they are in version 2, and how they come back."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import BadRequestError
from localassist.server.decode import parse
from localassist.server.v1.params import (
    V1AssistantCreateParams,
    V1AssistantUpdateParams,
    V1MessageCreateParams,
    V1RunCreateParams,
    V1ThreadAndRunCreateParams,
)
from localassist.server.v1.shapes import shown_assistant, shown_tool
from localassist.types.assistant import (
    Assistant,
    CodeInterpreterTool,
    FileSearchOptions,
    FileSearchTool,
    FunctionDefinition,
    FunctionTool,
    NamedToolChoice,
)
from localassist.types.message import AttachmentParam, FileSearchAttachmentTool

WORDS = st.text(max_size=20).filter(lambda t: "\0" not in t and t.isprintable())
PARAMETERS = st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(WORDS, st.just({}))})
FUNCTION = st.fixed_dictionaries(
    {"name": st.from_regex(r"[a-zA-Z0-9_-]{1,9}", fullmatch=True), "parameters": PARAMETERS},
    optional={"description": WORDS},
)
TOOL = st.one_of(
    st.just({"type": "retrieval"}),
    st.just({"type": "code_interpreter"}),
    FUNCTION.map(lambda function: {"type": "function", "function": function}),
)
ASSISTANT = st.fixed_dictionaries(
    {"model": WORDS, "tools": st.lists(TOOL, max_size=4), "metadata": st.dictionaries(WORDS, WORDS, max_size=3)},
    optional={"name": WORDS, "description": WORDS, "instructions": WORDS},
)


def complaint_about(body, params) -> tuple[str, str | None]:
    with pytest.raises(BadRequestError) as caught:
        parse(orjson.dumps(body), params)
    return caught.value.message, caught.value.param


@given(body=ASSISTANT, file_ids=st.lists(st.from_regex(r"file-[a-z]{3}", fullmatch=True), max_size=20))
def test_an_assistant_comes_back_as_it_was_sent(body, file_ids) -> None:
    params = parse(orjson.dumps({**body, "file_ids": file_ids}), V1AssistantCreateParams)
    v2 = params.v2()
    made = Assistant(id="asst_1", created_at=1, **{name: getattr(v2, name) for name in v2.model_fields_set})

    shown = shown_assistant(made.model_dump(), params.file_ids or ())

    rest = {"id": "asst_1", "object": "assistant", "created_at": 1, "file_ids": file_ids}
    assert shown == {"name": None, "description": None, "instructions": None, **body, **rest}


@given(tools=st.lists(TOOL, max_size=4), strict=st.booleans(), n=st.integers(1, 50))
def test_tools_that_are_sent_back_as_they_were_shown_keep_what_version_1_could_not_show(tools, strict, n) -> None:
    current = [
        FileSearchTool(type="file_search", file_search=FileSearchOptions(max_num_results=n))
        if tool["type"] == "retrieval"
        else CodeInterpreterTool(type="code_interpreter")
        if tool["type"] == "code_interpreter"
        else FunctionTool(type="function", function=FunctionDefinition(**tool["function"], strict=strict))
        for tool in tools
    ]
    seen = [shown_tool(tool.model_dump()) for tool in current]

    sent = parse(orjson.dumps({"tools": seen}), V1AssistantUpdateParams)

    assert sent.v2(current).tools == current


def test_an_update_names_in_version_2_what_it_named_in_version_1_and_nothing_else() -> None:
    params = parse(b'{"name": null, "file_ids": ["file-1"], "instructions": "Be brief."}', V1AssistantUpdateParams)

    v2 = params.v2(())

    assert v2.model_fields_set == {"name", "instructions"}
    assert (v2.name, v2.instructions) == (None, "Be brief.")


@pytest.mark.parametrize(
    ("value", "kept"), [(True, "True"), (None, "None"), (3, "3"), (1.5, "1.5"), ("x", "x"), ("true", "true")]
)
def test_metadata_values_are_made_strings(value, kept) -> None:
    body = {"role": "user", "content": "Hi", "metadata": {"key": value}}

    assert parse(orjson.dumps(body), V1MessageCreateParams).v2(()).metadata == {"key": kept}


def test_metadata_keeps_its_limits() -> None:
    body = {"model": "m", "metadata": {str(n): n for n in range(17)}}

    assert complaint_about(body, V1AssistantCreateParams)[1] == "metadata"


def test_tools_of_version_2_are_unknown_here() -> None:
    message = "Invalid value: 'file_search'. Supported values are: 'code_interpreter', 'retrieval', and 'function'."
    body = {"model": "m", "tools": [{"type": "file_search"}]}

    assert complaint_about(body, V1AssistantCreateParams) == (message, "tools[0].type")
    assert complaint_about({"model": "m", "tool_resources": {}}, V1AssistantCreateParams) == (
        "Unknown parameter: 'tool_resources'.",
        "tool_resources",
    )


def test_an_assistant_has_at_most_20_files_and_a_message_10() -> None:
    ids = [f"file-{n}" for n in range(21)]
    message = {"role": "user", "content": "Hi"}

    assert parse(orjson.dumps({"model": "m", "file_ids": ids[:20]}), V1AssistantCreateParams).file_ids == ids[:20]
    assert complaint_about({"model": "m", "file_ids": ids}, V1AssistantCreateParams)[1] == "file_ids"
    assert parse(orjson.dumps({**message, "file_ids": ids[:10]}), V1MessageCreateParams).file_ids == ids[:10]
    assert complaint_about({**message, "file_ids": ids[:11]}, V1MessageCreateParams)[1] == "file_ids"


@pytest.mark.parametrize("content", ["", [{"type": "text", "text": "Hi"}], None])
def test_the_content_of_a_message_is_a_string_that_says_something(content) -> None:
    assert complaint_about({"role": "user", "content": content}, V1MessageCreateParams)[1] == "content"


def test_a_message_gets_the_attachments_that_stand_for_its_files() -> None:
    params = parse(b'{"role": "user", "content": "Hi", "file_ids": ["file-1"]}', V1MessageCreateParams)
    attachment = AttachmentParam(file_id="file-1", tools=[FileSearchAttachmentTool(type="file_search")])

    assert params.v2([attachment]).attachments == [attachment]
    assert params.v2([]).attachments is None


@pytest.mark.parametrize(
    ("choice", "translated"),
    [
        ("auto", "auto"),
        ({"type": "retrieval"}, NamedToolChoice(type="file_search")),
        ({"type": "code_interpreter"}, NamedToolChoice(type="code_interpreter")),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_the_choice_of_a_tool_is_translated(choice, translated) -> None:
    body = {"assistant_id": "asst_1", "tool_choice": choice, "tools": [{"type": "retrieval"}]}

    run = parse(orjson.dumps(body), V1RunCreateParams).v2(())

    assert run.tool_choice == (
        NamedToolChoice.model_validate(translated) if isinstance(translated, dict) else translated
    )
    assert run.tools == [FileSearchTool(type="file_search")]


def test_a_run_with_its_thread_brings_the_threads_messages_and_metadata() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    body = {"assistant_id": "asst_1", "thread": {"messages": messages, "metadata": {"n": 1}}, "stream": True}
    params = parse(orjson.dumps(body), V1ThreadAndRunCreateParams)
    assert params.thread is not None

    run = params.v2([message.v2(()) for message in params.thread.messages or ()])

    assert run.stream
    assert run.thread is not None
    assert [(m.role, m.content) for m in run.thread.messages or ()] == [("user", "Hi"), ("assistant", "Hello")]
    assert run.thread.metadata == {"n": "1"}
