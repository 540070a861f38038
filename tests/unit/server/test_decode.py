import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from localassist.errors import BadRequestError
from localassist.server.complaints import data_path, written
from localassist.server.decode import includes_content, page_of, parse, status_filter_of
from localassist.types.assistant import AssistantCreateParams
from localassist.types.file import FileExpiresAfter
from localassist.types.message import MessageCreateParams
from localassist.types.run import RunCreateParams
from localassist.types.vector_store import (
    FileBatchCreateParams,
    VectorStoreCreateParams,
    VectorStoreFileCreateParams,
    VectorStoreSearchParams,
)

FUNCTION = {"type": "function", "function": {"name": "f"}}


def complaint_about(body, params=AssistantCreateParams) -> tuple[str, str | None, str | None]:
    with pytest.raises(BadRequestError) as caught:
        parse(orjson.dumps(body), params)
    return caught.value.message, caught.value.param, caught.value.code


def asked(query: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": []})


def test_a_missing_parameter_is_named() -> None:
    assert complaint_about({"name": "n"}) == (
        "Missing required parameter: 'model'.",
        "model",
        "missing_required_parameter",
    )


def test_an_unknown_parameter_is_named() -> None:
    assert complaint_about({"model": "m", "modle": 1}) == ("Unknown parameter: 'modle'.", "modle", "unknown_parameter")


def test_files_of_version_1_are_told_where_version_2_takes_them() -> None:
    message, param, code = complaint_about({"model": "m", "file_ids": ["file-1"]})

    assert message.startswith("Unknown parameter: 'file_ids'. Version 2 of the API takes files in 'attachments'")
    assert (param, code) == ("file_ids", "unknown_parameter")


def test_vector_stores_inside_a_tool_are_told_their_place() -> None:
    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}

    assert complaint_about({"model": "m", "tools": [tool]}) == (
        "Unknown parameter: 'tools[0].vector_store_ids'. "
        "Stores stand in 'tool_resources.file_search.vector_store_ids' of an assistant or a thread.",
        "tools[0].vector_store_ids",
        "unknown_parameter",
    )


def test_the_tool_of_version_1_is_told_its_new_name() -> None:
    message, param, _ = complaint_about({"model": "m", "tools": [{"type": "retrieval"}]})

    assert param == "tools[0].type"
    assert message.endswith("The tool of version 1 'retrieval' is 'file_search' in version 2.")


def test_a_metadata_value_that_is_no_string_is_refused_in_recorded_words() -> None:
    assert complaint_about({"model": "m", "metadata": {"modified": True}}) == (
        "Invalid type for 'metadata.modified': expected a string, but got a boolean instead.",
        "metadata.modified",
        "invalid_type",
    )


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (None, "null"),
        (1, "an integer"),
        (1.5, "a decimal number"),
        (False, "a boolean"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_the_type_that_came_is_said(value, got: str) -> None:
    assert (
        complaint_about({"model": value})[0] == f"Invalid type for 'model': expected a string, but got {got} instead."
    )


def test_numbers_are_not_made_from_strings() -> None:
    assert complaint_about({"model": "m", "temperature": "1"})[0] == (
        "Invalid type for 'temperature': expected a decimal, but got a string instead."
    )
    assert complaint_about({"query": "q", "max_num_results": "5"}, VectorStoreSearchParams)[2] == "invalid_type"
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": "800", "chunk_overlap_tokens": 0}}
    assert complaint_about({"chunking_strategy": strategy}, VectorStoreCreateParams)[1] == (
        "chunking_strategy.static.max_chunk_size_tokens"
    )


def test_too_many_properties_are_counted() -> None:
    assert complaint_about({"model": "m", "metadata": {str(n): "" for n in range(17)}}) == (
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
        "metadata",
        "object_above_max_properties",
    )


def test_a_long_key_is_a_long_property_name() -> None:
    message, param, code = complaint_about({"model": "m", "metadata": {"k" * 65: "v"}})
    assert (param, code) == ("metadata", "property_name_above_max_length")
    assert message.endswith("Expected a string with maximum length 64, but got a string with length 65 instead.")


def test_a_long_string_is_measured() -> None:
    assert complaint_about({"model": "m", "name": "n" * 257}) == (
        "Invalid 'name': string too long. "
        "Expected a string with maximum length 256, but got a string with length 257 instead.",
        "name",
        "string_above_max_length",
    )


def test_a_long_array_is_counted() -> None:
    assert complaint_about({"model": "m", "tools": [FUNCTION] * 129})[1:] == ("tools", "array_above_max_length")
    assert complaint_about({"file_ids": []}, FileBatchCreateParams)[1:] == ("file_ids", "empty_array")


def test_a_number_out_of_range_is_told_the_range() -> None:
    assert complaint_about({"model": "m", "temperature": 2.5}) == (
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        "temperature",
        "decimal_above_max_value",
    )
    assert complaint_about({"assistant_id": "a", "max_prompt_tokens": 255}, RunCreateParams) == (
        "Invalid 'max_prompt_tokens': integer below minimum value. Expected a value >= 256, but got 255 instead.",
        "max_prompt_tokens",
        "integer_below_min_value",
    )


def test_numbers_are_written_in_full() -> None:
    def said(body, params=AssistantCreateParams) -> str:
        return complaint_about(body, params)[0].partition(": ")[2]

    seconds = {"anchor": "created_at", "seconds": 2_592_001}
    assert said(seconds, FileExpiresAfter) == (
        "integer above maximum value. Expected a value <= 2592000, but got 2592001 instead."
    )
    assert said({"model": "m", "top_p": 1.0000001}) == (
        "decimal above maximum value. Expected a value <= 1, but got 1.0000001 instead."
    )
    assert said({"model": "m", "temperature": 3}) == (
        "decimal above maximum value. Expected a value <= 2, but got 3 instead."
    )


def test_a_value_outside_a_set_is_told_the_set() -> None:
    assert complaint_about({"role": "system", "content": "c"}, MessageCreateParams) == (
        "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
        "role",
        "invalid_value",
    )


def test_a_tool_of_an_unknown_type_is_told_the_types() -> None:
    assert complaint_about({"model": "m", "tools": [FUNCTION, {"type": "browser"}]}) == (
        "Invalid value: 'browser'. Supported values are: 'code_interpreter', 'file_search', and 'function'.",
        "tools[1].type",
        "invalid_value",
    )


def test_a_tool_without_a_type_misses_it() -> None:
    assert complaint_about({"model": "m", "tools": [{}]})[:2] == (
        "Missing required parameter: 'tools[0].type'.",
        "tools[0].type",
    )


def test_the_place_inside_a_union_is_the_clients_own() -> None:
    assert complaint_about({"model": "m", "tools": [{"type": "function", "function": {}}]})[1] == (
        "tools[0].function.name"
    )
    assert complaint_about({"model": "m", "tools": [{"type": "function"}]})[1] == "tools[0].function"
    bad_name = {"type": "function", "function": {"name": "with space"}}
    assert complaint_about({"model": "m", "tools": [bad_name]})[1:] == ("tools[0].function.name", "invalid_value")


def test_of_two_branches_the_deeper_one_speaks() -> None:
    assert complaint_about({"role": "user", "content": [{"type": "text"}]}, MessageCreateParams)[:2] == (
        "Missing required parameter: 'content[0].text'.",
        "content[0].text",
    )


def test_a_value_that_fits_no_branch_is_told_all_of_them() -> None:
    assert complaint_about({"role": "user", "content": 5}, MessageCreateParams)[0] == (
        "Invalid type for 'content': expected one of a string or an array, but got an integer instead."
    )
    attributes = {"file_id": "f", "attributes": {"a": [1]}}
    assert complaint_about(attributes, VectorStoreFileCreateParams)[:2] == (
        "Invalid type for 'attributes.a': expected one of a string, a decimal or a boolean, but got an array instead.",
        "attributes.a",
    )


def test_a_broken_rule_of_one_branch_goes_before_the_types_of_others() -> None:
    body = {"file_id": "f", "attributes": {"a": "x" * 513}}
    assert complaint_about(body, VectorStoreFileCreateParams)[1:] == ("attributes.a", "string_above_max_length")


@pytest.mark.parametrize(
    ("choice", "param", "code"),
    [
        ("sometimes", "tool_choice", "invalid_value"),
        ({"type": "browser"}, "tool_choice.type", "invalid_value"),
        ({}, "tool_choice.type", "missing_required_parameter"),
        (5, "tool_choice", "invalid_type"),
    ],
)
def test_a_wrong_tool_choice_is_explained(choice, param: str, code: str) -> None:
    assert complaint_about({"assistant_id": "a", "tool_choice": choice}, RunCreateParams)[1:] == (param, code)


@pytest.mark.parametrize(
    ("response_format", "param", "code"),
    [
        ("json", "response_format", "invalid_value"),
        ({"type": "xml"}, "response_format.type", "invalid_value"),
        ({"type": "json_schema"}, "response_format.json_schema", "missing_required_parameter"),
    ],
)
def test_a_wrong_response_format_is_explained(response_format, param: str, code: str) -> None:
    assert complaint_about({"model": "m", "response_format": response_format})[1:] == (param, code)


def test_a_rule_between_two_fields_is_quoted() -> None:
    message, _, code = complaint_about({"file_ids": ["a"], "files": [{"file_id": "a"}]}, FileBatchCreateParams)
    assert (message, code) == (
        "Invalid request: give exactly one of 'file_ids' and 'files'.",
        "invalid_value",
    )


@pytest.mark.parametrize("raw", [b"{", b'{"model": NaN}', b"\xff\xfe{\x00}\x00", b'{"model": "\\ud800"}'])
def test_what_is_not_json_is_refused_with_words(raw: bytes) -> None:
    with pytest.raises(BadRequestError, match="could not parse the JSON body"):
        parse(raw, AssistantCreateParams)


@pytest.mark.parametrize("raw", [b"[]", b'"model"', b"5", b"null"])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestError, match="Invalid type for the request body: expected an object"):
        parse(raw, AssistantCreateParams)


def test_an_absent_body_is_an_empty_object() -> None:
    assert parse(b"", VectorStoreCreateParams) == parse(b"{}", VectorStoreCreateParams)


def test_nul_characters_are_refused_and_written_about_freely() -> None:
    with pytest.raises(BadRequestError, match=r"U\+0000"):
        parse(rb'{"model": "m", "metadata": {"a": "b\u0000"}}', AssistantCreateParams)
    assert parse(rb'{"model": "the text \\u0000"}', AssistantCreateParams).model == "the text \\u0000"


def test_what_was_sent_is_told_from_what_was_not() -> None:
    params = parse(b'{"model": "m", "name": null}', AssistantCreateParams)
    assert params.model_fields_set == {"model", "name"}


def test_a_page_has_the_defaults_of_the_api() -> None:
    page = page_of(asked(""))
    assert (page.limit, page.order, page.after, page.before) == (20, "desc", None, None)


@given(limit=st.integers(-(10**6), 10**6))
def test_a_limit_is_kept_or_refused(limit: int) -> None:
    if 1 <= limit <= 100:
        assert page_of(asked(f"limit={limit}")).limit == limit
        return
    with pytest.raises(BadRequestError) as caught:
        page_of(asked(f"limit={limit}"))
    assert caught.value.code == ("integer_above_max_value" if limit > 100 else "integer_below_min_value")


def test_a_limit_above_the_maximum_is_refused_in_recorded_words() -> None:
    with pytest.raises(BadRequestError) as caught:
        page_of(asked("limit=101"))
    assert caught.value.message == (
        "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead."
    )


@pytest.mark.parametrize("query", ["limit=many", "order=up", "after=%00"])
def test_a_wrong_query_is_refused(query: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        page_of(asked(query))
    assert caught.value.param == query.partition("=")[0]


def test_include_is_read_in_every_spelling() -> None:
    wanted = "step_details.tool_calls%5B%2A%5D.file_search.results%5B%2A%5D.content"
    assert includes_content(asked(f"include[]={wanted}"))
    assert includes_content(asked(f"include%5B%5D={wanted}"))
    assert not includes_content(asked("limit=3"))
    with pytest.raises(BadRequestError, match="Supported values are"):
        includes_content(asked("include[]=everything"))


def test_a_status_filter_is_one_of_the_statuses() -> None:
    assert status_filter_of(asked("filter=failed")) == "failed"
    with pytest.raises(BadRequestError, match="'in_progress', 'completed', 'cancelled', and 'failed'"):
        status_filter_of(asked("filter=done"))


def test_places_are_written_as_the_api_does() -> None:
    assert written(("tools", 0, "function", "name")) == "tools[0].function.name"
    assert data_path(("a", "list[int]", 3), {"a": [0, 1, 2, 3]}, named=False) == ("a", 3)
