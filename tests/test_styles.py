"""Parameter styles, judged by the specification's table and by the readers of the standard library and openapi-core."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_bridge.errors import Unwritable
from portkey_bridge.styles import PAIR_STYLES, PATH_STYLES, cookie, escape, escape_of, header, literal

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


def written(style: str, explode: bool, value: Any) -> str:
    """Write the parameter `color` as it stands in a path or a query."""
    if style in PAIR_STYLES:
        return "&".join(f"{name}={text}" for name, text in PAIR_STYLES[style]("color", value, explode, escape))
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


@pytest.mark.parametrize("style", ["form", "spaceDelimited", "pipeDelimited", "tabDelimited", "deepObject"])
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
    """Tell whether text is Unicode that UTF-8 can hold: no lone surrogate."""
    return not re.search("[\ud800-\udfff]", text)


@given(value=TEXT.filter(encodable))
def test_any_text_comes_back_from_a_query(value: str) -> None:
    """Whatever the text is, the standard library's query parser reads it back from styles that hold one value."""
    for style in ("form", "spaceDelimited", "pipeDelimited"):
        assert parse_qsl(written(style, True, value), keep_blank_values=True) == [("color", value)]


@given(values=st.lists(TEXT.filter(encodable), min_size=1, max_size=5))
def test_any_texts_come_back_from_a_repeated_parameter(values: list[str]) -> None:
    """Exploded arrays are read back by the standard library's query parser, item by item."""
    assert [text for _, text in parse_qsl(written("form", True, values), keep_blank_values=True)] == values


@pytest.mark.parametrize("style", ["spaceDelimited", "pipeDelimited", "tabDelimited"])
@given(data=st.data())
def test_delimited_items_come_back(style: str, data: st.DataObject) -> None:
    """Items of the delimited styles come back when the decoded value is split at the delimiter."""
    texts, delimiter = ITEMS[style]
    values = data.draw(st.lists(texts.filter(encodable), min_size=1, max_size=5))
    ((_, text),) = parse_qsl(written(style, False, values), keep_blank_values=True)
    assert text.split(delimiter) == values


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
