"""Parameter styles, judged by the specification's table and by the readers of the standard library and openapi-core."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_bridge.errors import Unwritable
from portkey_bridge.request.styles import PAIR_STYLES, PATH_STYLES, cookie, escape, escape_of, header, literal

EMPTY, STRING, ARRAY = "", "blue", ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}

#: OpenAPI 3.2 section 4.12.2.3, "Style Examples": (style, explode, value, what is written). `color` is the name.
TABLE: list[tuple[str, bool, Any, str]] = [
    ("simple", False, STRING, "blue"),
    ("simple", False, ARRAY, "blue,black,brown"),
    ("simple", False, OBJECT, "R,100,G,200,B,150"),
    ("simple", True, EMPTY, ""),
    ("simple", True, STRING, "blue"),
    ("simple", True, ARRAY, "blue,black,brown"),
    ("simple", True, OBJECT, "R=100,G=200,B=150"),
    ("label", False, EMPTY, "."),
    ("label", False, STRING, ".blue"),
    ("label", False, ARRAY, ".blue,black,brown"),
    ("label", False, OBJECT, ".R,100,G,200,B,150"),
    ("label", True, EMPTY, "."),
    ("label", True, STRING, ".blue"),
    ("label", True, ARRAY, ".blue.black.brown"),
    ("label", True, OBJECT, ".R=100.G=200.B=150"),
    ("matrix", False, EMPTY, ";color"),
    ("matrix", False, STRING, ";color=blue"),
    ("matrix", False, ARRAY, ";color=blue,black,brown"),
    ("matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
    ("matrix", True, EMPTY, ";color"),
    ("matrix", True, STRING, ";color=blue"),
    ("matrix", True, ARRAY, ";color=blue;color=black;color=brown"),
    ("matrix", True, OBJECT, ";R=100;G=200;B=150"),
    ("form", False, EMPTY, "color="),
    ("form", False, STRING, "color=blue"),
    ("form", False, ARRAY, "color=blue,black,brown"),
    ("form", False, OBJECT, "color=R,100,G,200,B,150"),
    ("form", True, EMPTY, "color="),
    ("form", True, STRING, "color=blue"),
    ("form", True, ARRAY, "color=blue&color=black&color=brown"),
    ("form", True, OBJECT, "R=100&G=200&B=150"),
    ("spaceDelimited", False, ARRAY, "color=blue%20black%20brown"),
    ("spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
    ("pipeDelimited", False, ARRAY, "color=blue%7Cblack%7Cbrown"),
    ("pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
    ("deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
]


#: The same table for the places that have delimiters of their own, and `cookie`.
HEADERS = [
    ("simple", "blue,black,brown"),
    ("pipeDelimited", "blue|black|brown"),
    ("tabDelimited", "blue\tblack\tbrown"),
]
COOKIES: list[tuple[bool, Any, str]] = [
    (False, EMPTY, "color="),
    (False, STRING, "color=blue"),
    (False, ARRAY, "color=blue,black,brown"),
    (False, OBJECT, "color=R,100,G,200,B,150"),
    (True, ARRAY, "color=blue; color=black; color=brown"),
    (True, OBJECT, "R=100; G=200; B=150"),
]


def written(style: str, explode: bool, value: Any) -> str:
    """Write the parameter `color` as it stands in a path or a query."""
    if style in PAIR_STYLES:
        return "&".join(f"{escape(name)}={text}" for name, text in PAIR_STYLES[style]("color", value, explode, escape))
    return PATH_STYLES[style]("color", value, explode, escape)


@pytest.mark.parametrize(("style", "explode", "value", "expected"), TABLE)
def test_the_specifications_table(style: str, explode: bool, value: Any, expected: str) -> None:
    """Every cell of the specification's table of style examples comes out to the letter."""
    assert written(style, explode, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(True, "true", id="boolean"),
        pytest.param(1.0, "1", id="whole-number"),
        pytest.param(1e15, "1000000000000000", id="large-whole-number"),
        pytest.param(1e17, "100000000000000000", id="whole-number-with-exponent"),
        pytest.param(-0.0, "0", id="negative-zero"),
        pytest.param([1.0], "[1]", id="whole-number-inside"),
        pytest.param(10**20, "100000000000000000000", id="large-integer"),
        pytest.param(1e21, "1e+21", id="exponent"),
        pytest.param(-0.5, "-0.5", id="fraction"),
        pytest.param("1.0", "1.0", id="text-stays"),
        pytest.param([1, None], "[1,null]", id="nested-is-json"),
    ],
)
def test_literals_are_those_of_json(value: Any, expected: str) -> None:
    """Numbers and booleans are written as JSON writes them, whole numbers without a point."""
    assert literal(value) == expected


@pytest.mark.parametrize(
    "style", ["form", "spaceDelimited", "pipeDelimited", "tabDelimited", "deepObject", "label", "matrix"]
)
@pytest.mark.parametrize("value", [None, [], {}, [None], {"a": None}])
def test_undefined_values_are_left_out(style: str, value: Any) -> None:
    """Null is undefined (RFC 6570 section 2.3): it is left out, alone and inside arrays and objects."""
    explode = style in ("form", "deepObject")
    assert written(style, explode, value) == ""


def test_deep_objects_go_on_in_brackets() -> None:
    """Below the level that the specification defines, `deepObject` uses the usual brackets."""
    value = {"a": {"b": 1}, "list": ["x", "y"], "items": [{"id": 1}, {"id": 2}]}
    assert parse_qsl(written("deepObject", True, value)) == [
        ("color[a][b]", "1"),
        ("color[list][]", "x"),
        ("color[list][]", "y"),
        ("color[items][0][id]", "1"),
        ("color[items][1][id]", "2"),
    ]


TEXT = st.text(max_size=12)
#: Texts as items of the delimited styles, which cannot hold their delimiter.
ITEMS = {
    "form": (TEXT, ","),
    "spaceDelimited": (st.text(alphabet=st.characters(exclude_characters=" "), min_size=1), " "),
    "pipeDelimited": (st.text(alphabet=st.characters(exclude_characters="|"), min_size=1), "|"),
    "tabDelimited": (st.text(alphabet=st.characters(exclude_characters="\t"), min_size=1), "\t"),
}


def encodable(text: str) -> bool:
    """Check whether text is Unicode that UTF-8 can hold: no lone surrogate."""
    return not re.search("[\ud800-\udfff]", text)


@pytest.mark.slow
@given(value=TEXT.filter(encodable))
def test_any_text_comes_back_from_a_query(value: str) -> None:
    """Whatever the text is, the standard library's query parser reads it back from styles that hold one value."""
    for style in ("form", "spaceDelimited", "pipeDelimited"):
        assert parse_qsl(written(style, True, value), keep_blank_values=True) == [("color", value)]


@given(values=st.lists(TEXT.filter(encodable), min_size=1, max_size=5))
def test_any_texts_come_back_from_a_repeated_parameter(values: list[str]) -> None:
    """Exploded arrays are read back by the standard library's query parser, item by item."""
    assert [text for _, text in parse_qsl(written("form", True, values), keep_blank_values=True)] == values


@pytest.mark.slow
@pytest.mark.parametrize("style", ["spaceDelimited", "pipeDelimited", "tabDelimited"])
@given(data=st.data())
def test_delimited_items_come_back(style: str, data: st.DataObject) -> None:
    """Items of the delimited styles come back when the decoded value is split at the delimiter."""
    texts, delimiter = ITEMS[style]
    values = data.draw(st.lists(texts.filter(encodable), min_size=1, max_size=5))
    ((_, text),) = parse_qsl(written(style, False, values), keep_blank_values=True)
    assert text.split(delimiter) == values


@pytest.mark.slow
@given(values=st.lists(TEXT.filter(encodable), min_size=1, max_size=5))
def test_commas_inside_items_survive(values: list[str]) -> None:
    """In the comma styles a comma of the value is escaped: split first, decode then, and the items are back."""
    for style in ("simple", "form"):
        raw = written(style, False, values).removeprefix("color=")
        assert [unquote(item) for item in raw.split(",")] == values


@given(values=st.lists(TEXT.filter(encodable), min_size=1, max_size=5))
def test_dots_inside_labels_survive(values: list[str]) -> None:
    """In an exploded label a dot of the value is escaped."""
    assert [unquote(item) for item in written("label", True, values)[1:].split(".")] == values


@pytest.mark.parametrize(
    ("style", "item"), [("spaceDelimited", "a b"), ("pipeDelimited", "a|b"), ("tabDelimited", "a\tb")]
)
def test_an_item_with_the_delimiter_is_refused(style: str, item: str) -> None:
    """An item that could not be told from two is refused, instead of arriving as two."""
    with pytest.raises(Unwritable, match="separates"):
        written(style, False, [item])


@pytest.mark.parametrize(("style", "expected"), HEADERS)
def test_lists_in_headers(style: str, expected: str) -> None:
    """A list in a header has the delimiter of its style, as Swagger 2.0 has them there, too."""
    assert header(ARRAY, style, False) == expected


@pytest.mark.parametrize(("explode", "value", "expected"), COOKIES)
def test_the_specifications_cookies(explode: bool, value: Any, expected: str) -> None:
    """Style `cookie` is as the specification's table has it."""
    assert "; ".join(f"{name}={text}" for name, text in cookie("color", value, explode)) == expected


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
OBJECTS = st.dictionaries(
    NAMES, TEXT.filter(lambda text: not re.search("[\ud800-\udfff]", text)), min_size=1, max_size=4
)


@given(value=OBJECTS)
def test_any_object_comes_back_from_a_path(value: dict[str, str]) -> None:
    """Objects are read back from every style of a path: split first, decode then."""
    prefixes = {"simple": "", "label": ".", "matrix": ";color="}
    for style, delimiter in (("simple", ","), ("label", "."), ("matrix", ";")):
        raw = written(style, True, value)[0 if style == "simple" else 1 :]
        pairs = (part.partition("=") for part in raw.split(delimiter))
        assert {unquote(name): unquote(text) for name, _, text in pairs} == value
        whole = written(style, False, value).removeprefix(prefixes[style])
        parts = [unquote(part) for part in whole.split(",")]
        assert dict(zip(parts[::2], parts[1::2], strict=True)) == value


@given(value=OBJECTS)
def test_any_object_comes_back_from_a_query(value: dict[str, str]) -> None:
    """Objects are read back from a query, exploded and in one value."""
    assert dict(parse_qsl(written("form", True, value), keep_blank_values=True)) == value
    parts = [unquote(part) for part in written("form", False, value).removeprefix("color=").split(",")]
    assert dict(zip(parts[::2], parts[1::2], strict=True)) == value


@given(values=st.lists(TEXT.filter(lambda text: not re.search("[\ud800-\udfff]", text)), min_size=1, max_size=4))
def test_any_list_in_a_header_comes_back_or_is_refused(values: list[str]) -> None:
    """A list in a header is read back item by item, blanks around each left out, or is refused."""
    with suppress(Unwritable):
        text = header(values, "simple", False)
        assert text is not None
        assert [item.strip(" \t") for item in text.split(",")] == values


@given(values=st.lists(TEXT, min_size=1, max_size=4))
def test_any_cookies_come_back_or_are_refused(values: list[str]) -> None:
    """Cookies of style `cookie` are read back as they were given, or refused."""
    with suppress(Unwritable):
        sent = "; ".join(f"{name}={text}" for name, text in cookie("c", values, True))
        assert [part.partition("=")[2] for part in sent.split("; ")] == values


def test_reserved_characters_pass_only_where_they_separate_nothing() -> None:
    """`allowReserved` lets pass what has no meaning in its place; an item never splits by it."""
    assert escape_of("path", True)("a:b/c?d#e;f") == "a:b%2Fc%3Fd%23e%3Bf"
    assert escape_of("cookie", True)("a:b;c,d") == "a:b%3Bc%2Cd"
    pairs = PAIR_STYLES["form"]("color", ["a,b", "/c"], False, escape_of("query", True))
    assert list(pairs) == [("color", "a%2Cb,/c")]


@pytest.mark.parametrize(
    ("value", "explode"),
    [({"a=b": 1}, True), ({"a,b": 1}, False), (["a", " b"], False)],
    ids=["equals", "comma", "blank"],
)
def test_a_header_that_would_read_otherwise_is_refused(value: Any, explode: bool) -> None:
    """What a reader would split, or strip, is refused in a header."""
    with pytest.raises(Unwritable):
        header(value, "simple", explode)


@pytest.mark.parametrize("name", ["", "a]b", "[", "a[b"])
def test_names_with_brackets_are_refused_in_brackets(name: str) -> None:
    """A member whose name would end its brackets is refused."""
    with pytest.raises(Unwritable, match="brackets"):
        written("deepObject", True, {name: "x"})


def test_headers_are_not_escaped_and_refuse_ambiguous_items() -> None:
    """Headers hold text as it is; an item with a comma would arrive as two and is refused."""
    assert header(["a b", "ü"], "simple", False) == "a b,ü"
    assert header("a,b", "simple", False) == "a,b"
    with pytest.raises(Unwritable, match="separates"):
        header(["a,b"], "simple", False)


def test_cookies_of_style_cookie_are_bare() -> None:
    """Style `cookie` makes a cookie of each item, unescaped, and refuses what a cookie cannot hold."""
    assert list(cookie("c", ["a/b", "x=y"], True)) == [("c", "a/b"), ("c", "x=y")]
    for value in ("a;b", "a b", 'a"', "ü", "a\r\nSet"):
        with pytest.raises(Unwritable, match="cookie"):
            list(cookie("c", value, True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/a:b?c@d", "/a:b?c@d", id="reserved-passes"),
        pytest.param("100%25", "100%25", id="an-encoded-octet-passes"),
        pytest.param("100%", "100%25", id="a-bare-percent-does-not"),
        pytest.param("a&b#c+d[e]", "a%26b%23c%2Bd%5Be%5D", id="what-ends-a-value-does-not"),
        pytest.param("ü ", "%C3%BC%20", id="other-text-does-not"),
    ],
)
def test_allow_reserved(text: str, expected: str) -> None:
    """`allowReserved` lets reserved characters pass, but for those that would start something else."""
    assert escape_of("query", True)(text) == expected
