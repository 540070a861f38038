import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.builder import TextBuilder, clean
from localassist.retrieval.parsers.dispatch import parse_bytes

CHINESE = "博物馆开放时间为每天上午九点至下午五点，星期一闭馆。参观者请勿触摸展品。"
JAPANESE = "庭園の開園時間は午前九時から午後五時までです。月曜日は休園します。"
FRENCH = "Le musée est ouvert de neuf à dix-sept heures, sauf à Noël. L’entrée coûte 5 €."


def parse(data: bytes, file_name: str = "a.txt", max_characters: int = 1_000_000) -> Document:
    return parse_bytes(data, file_name=file_name, max_characters=max_characters)


def headings(document: Document) -> list[tuple[int, str]]:
    return [(h.level, document.text[h.start : h.end]) for h in document.headings]


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        (CHINESE, "utf-8", "text"),
        (CHINESE, "utf-8-sig", "text"),
        (CHINESE, "utf-16", "text (utf-16-le)"),
        ("plain ASCII, no mark\n", "utf-16-be", "text (utf-16-be)"),
        (FRENCH, "utf-16-le", "text (utf-16-le)"),
        (FRENCH, "utf-32", "text (utf-32-le)"),
        (CHINESE, "gb18030", "text (gb18030)"),
        (JAPANESE, "shift_jis", "text (cp932)"),
        (JAPANESE, "euc_jp", "text (euc_jp)"),
        (FRENCH, "cp1252", "text (cp1252)"),
        ("Zwiedzający proszeni są o niedotykanie eksponatów. Żółta łódź.", "cp1250", "text (cp1250)"),
        ("Müze her gün açıktır, öğrenciler için indirim vardır. Işık şehri.", "cp1254", "text (cp1254)"),
        ("Музей открыт ежедневно с девяти утра до пяти вечера.", "cp1251", "text (cp1251)"),
        ("박물관은 매일 오전 아홉 시부터 오후 다섯 시까지 문을 엽니다.", "cp949", "text (cp949)"),
    ],
)
def test_encodings_are_recognised_and_named(text: str, encoding: str, named: str) -> None:
    document = parse(text.encode(encoding))

    assert (document.text, document.parser) == (text.strip(), named)


@given(text=st.text(st.one_of(st.sampled_from("aé漢🚢\n\r\x00 "), st.characters(exclude_categories=["Cs"]))))
def test_any_utf_8_text_comes_back_without_nuls(text: str) -> None:
    builder = TextBuilder(max_characters=10_000)

    builder.write(text)

    expected = text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    assert builder.build("test").text == expected.rstrip()


@given(text=st.text("a\ud83d\udea2\ud800\x00\r\n"))
def test_cleaned_text_holds_whole_characters_only(text: str) -> None:
    cleaned = clean(text)

    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert not set(cleaned) & {"\x00", "\r"}


def test_nuls_in_a_text_are_left_out() -> None:
    assert parse(b"The tide\x00 table\x00\x00 of Norrvik\x00").text == "The tide table of Norrvik"


def test_lone_surrogates_become_replacement_characters_and_pairs_are_joined() -> None:
    assert parse(b"a\xed\xa0\x80b").text == "a\ufffdb"
    assert parse(b"a\xed\xa0\xbd\xed\xba\xa2b").text == "a🚢b"


def test_a_broken_byte_in_utf_8_costs_one_character() -> None:
    data = CHINESE.encode() + b"\xff" + JAPANESE.encode()

    assert parse(data).text == f"{CHINESE}\ufffd{JAPANESE}"


def test_bytes_that_are_no_text_are_refused() -> None:
    data = bytes(range(256)) * 40

    with pytest.raises(IngestionError, match=r"is not text: .* control codes") as caught:
        parse(data)
    assert caught.value.code == "invalid_file"


@pytest.mark.parametrize("data", [b" " * 1_000_000, b"\n\t\r\n", "\u200b\ufeff\u00ad \u2060".encode(), b"\x00" * 50])
def test_a_text_without_a_visible_character_is_named_as_such(data: bytes) -> None:
    with pytest.raises(IngestionError, match="holds no visible text"):
        parse(data)


def test_a_text_beyond_the_limit_is_refused_with_the_limit() -> None:
    assert parse(b"x" * 100, max_characters=100).text == "x" * 100
    with pytest.raises(IngestionError, match="more text than the 100 characters"):
        parse(b"x" * 101, max_characters=100)


def test_ten_megabytes_without_a_blank_are_fine() -> None:
    assert len(parse(b"abcdefghij" * 1_000_000, max_characters=20_000_000).text) == 10_000_000


def test_markdown_is_kept_and_its_headings_are_found_outside_of_code() -> None:
    source = (
        "# One #\n\ntext\n\n## Two `x`\n```\n# not a heading\n```\n~~~~ py\n# nor this\n~~~\n~~~~\n"
        "Setext\n===\n\nLower\n---\n\n---\n- item\n---\n#hashtag\n####### seven\n"
    )

    document = parse(source.encode(), "a.md")

    assert document.text == source.strip()
    assert headings(document) == [(1, "One"), (2, "Two `x`"), (1, "Setext"), (2, "Lower")]


def test_html_shows_what_a_reader_sees() -> None:
    source = """<!doctype html><html><head><title>Page title</title><style>p { x: y }</style></head><body>
    <script>alert("no")</script><h1>Heading <em>one</em></h1><p>A line
       that wraps,<br>and a second.</p><pre>  kept   as
  it is</pre><ul><li>first<li>second</ul><!-- comment -->
    <table><tr><th>Name<th>Rank</tr><tr><td>Ada <b>Brandt</b></td><td></td><td>Captain</td></tr></table>
    tail</body></html>"""

    document = parse(source.encode(), "a.html")

    assert document.text == (
        "Page title\n\nHeading one\n\nA line that wraps,\nand a second.\n\n  kept   as\n  it is\n\nfirst\nsecond\n\n"
        "Name | Rank\nAda Brandt |  | Captain\n\ntail"
    )
    assert headings(document) == [(1, "Heading one")]


def test_tables_that_lay_out_a_page_are_not_rows() -> None:
    source = (
        "<body><table><tr><td><h1>News</h1><p>First.</p><table><tr><td>a</td><td>b</td></tr></table></td>"
        "<td><ul><li>menu</ul>more</td></tr></table></body>"
    )

    document = parse(source.encode(), "a.html")

    assert [line for line in document.text.split("\n") if line] == ["News", "First.", "a | b", "menu", "more"]
    assert headings(document) == [(1, "News")]


def test_html_says_its_own_encoding() -> None:
    source = f'<html><head><meta charset="gb2312"></head><body>{CHINESE}</body></html>'

    document = parse(source.encode("gb18030"), "a.html")

    assert (document.text, document.parser) == (CHINESE, "html (gb2312)")


def test_html_of_any_depth_is_read() -> None:
    source = "<div>" * 5_000 + "deep" + "</div>" * 5_000

    assert parse(source.encode(), "a.html").text == "deep"


@given(steps=st.lists(st.tuples(st.sampled_from(["write", "line", "heading", "page"]), st.text("ab \n\x00é"))))
def test_spans_of_pages_and_headings_quote_the_text(steps: list[tuple[str, str]]) -> None:
    builder = TextBuilder(max_characters=10_000)
    titles, page_texts = [], []
    for action, text in steps:
        if action == "write":
            builder.write(text)
        elif action == "line":
            builder.line(text)
        elif action == "heading":
            builder.heading(text, level=2)
            if title := " ".join(clean(text).split()):
                titles.append(title)
        else:
            builder.begin_page()
            builder.line(text)
            builder.end_page()
            page_texts.append("\n".join(clean(text).strip().split("\n")))

    document = builder.build("test")

    assert [document.text[h.start : h.end] for h in document.headings] == titles
    assert [document.text[p.start : p.end].split() for p in document.pages] == [t.split() for t in page_texts]
    assert document.n_empty_pages == sum(not t.strip() for t in page_texts)
    assert [p.number for p in document.pages] == list(range(1, len(page_texts) + 1))
    assert all(0 <= p.start <= p.end <= len(document.text) for p in document.pages)
