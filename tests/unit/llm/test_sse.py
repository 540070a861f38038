"""Events, whatever the packets they come in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ModelError
from localassist.llm import sse
from localassist.llm.sse import EventBuffer

payloads = st.lists(st.text(st.characters(exclude_characters="\r", codec="utf-8"), min_size=1, max_size=12), max_size=6)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


@given(payloads, st.lists(st.integers(0, 200)), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_the_events_are_the_same_however_the_bytes_are_cut(
    contents: list[str], cuts: list[int], end: str, comments: bool
) -> None:
    noise = f": ping{end}{end}event: message{end}" if comments else ""
    lines = ["".join(f"data: {line}{end}" for line in content.split("\n")) for content in contents]
    stream = "".join(f"{noise}{line}{end}" for line in lines).encode()
    buffer = EventBuffer()

    events = [event for piece in pieces_of(stream, cuts) for event in buffer.feed(piece)] + buffer.finish()

    assert [event.decode() for event in events] == contents
    assert buffer.other == b""


def test_data_lines_of_one_event_are_joined_with_a_line_feed() -> None:
    assert EventBuffer().feed(b"data: a\ndata:b\ndata:  c\n\n") == [b"a\nb\n c"]


def test_a_line_end_that_two_packets_share_is_one_line_end() -> None:
    buffer = EventBuffer()

    assert [buffer.feed(p) for p in (b"data: a\r", b"\ndata: b\r", b"\n", b"\r", b"\n")] == [[], [], [], [b"a\nb"], []]


def test_an_event_without_its_last_empty_line_is_given_at_the_end() -> None:
    buffer = EventBuffer()

    assert buffer.feed(b"data: [DONE]") == []
    assert buffer.finish() == [b"[DONE]"]


def test_what_is_no_event_is_kept_for_the_error_message() -> None:
    buffer = EventBuffer()

    assert buffer.feed(b"<html>\n<body>Not here\n") == []
    assert buffer.other == b"<html>\n<body>Not here\n"


def test_an_event_without_end_is_refused() -> None:
    buffer = EventBuffer()
    buffer.feed(b"x" * sse.MAX_EVENT_BYTES)

    with pytest.raises(ModelError, match="one event of more than"):
        buffer.feed(b"x")


def test_lines_of_data_without_end_are_refused() -> None:
    buffer = EventBuffer()
    line = b"data: " + b"x" * (sse.MAX_EVENT_BYTES // 2) + b"\n"
    buffer.feed(line)

    with pytest.raises(ModelError, match="one event of more than"):
        buffer.feed(line)
