"""YAML restricted to JSON's types."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_bridge.document.yaml_values import parse_yaml


def load(text: str) -> Any:
    """Parse as the documents are parsed."""
    return parse_yaml(text).value


# YAML 1.2.2 section 10.3.2 ("Tag Resolution"), and what YAML 1.1 would make of the rest.
SCALARS = [
    *[(text, None) for text in ("null", "Null", "NULL", "~", "")],
    *[(text, True) for text in ("true", "True", "TRUE")],
    *[(text, False) for text in ("false", "False", "FALSE")],
    *[(text, text) for text in ("on", "Off", "yes", "No", "y", "n", "tRUE", "nULL")],
    *[("0", 0), ("-19", -19), ("+12", 12), ("010", 10), ("007", 7)],
    *[("0.", 0.0), ("-0.0", -0.0), (".5", 0.5), ("+12e03", 12e3), ("-2E+05", -2e5), ("1e3", 1e3)],
    *[(text, text) for text in ("1:30", "12:30:45", "1_000", "2024-05-13", "2024-05-13T10:00:00Z", "1.2.3", "=", "<")],
    *[('"1"', "1"), ("'true'", "true"), ("!!str 5", "5"), ('!!int "5"', 5), ("!!bool TRUE", True)],
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_json(text: str, value: Any) -> None:
    """A plain scalar is null, a boolean, a decimal number, or the text that stands there."""
    loaded = load(f"value: {text}")["value"]
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize("key", ["200", "on", "null", "1.0", "true", "2024-05-13", "~"])
def test_keys_are_the_text_that_stands_there(key: str) -> None:
    """A key is a string, as in JSON, at every depth."""
    assert load(f"{key}: {{{key}: 1}}") == {key: {key: 1}}


@pytest.mark.parametrize("blanks", ["\t", "\t\t ", " \t", "  \t  ", "\t# a comment", "   \t# a comment"])
def test_tabs_may_stand_where_they_indent_nothing(blanks: str) -> None:
    """A line of blanks and the blanks before a comment may have tabs (YAML 1.2.2 section 6.6), wherever they are."""
    text = f"{blanks}\na:\n  - 1\n{blanks}\n  - 2\n{blanks}\nb: |\n  x\n{blanks}\nc: 3"
    assert {**load(text), "b": ""} == {"a": [1, 2], "b": "", "c": 3}


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
def test_a_line_ends_at_line_feeds_and_carriage_returns_only(separator: str) -> None:
    """Other separators of lines are characters (YAML 1.2.2 section 5.4) that end neither a text nor a key."""
    text = f"a: |\n  one{separator}two: 2\nb: one{separator}two\n'c': 'one{separator}two'"
    assert load(text) == {"a": "one two: 2\n", "b": "one two", "c": "one two"}


def test_merge_keys_and_aliases_are_followed() -> None:
    """`<<` and anchors mean what YAML's users mean by them; an alias is the same value, not a copy."""
    loaded = load("base: &base {a: 1, 200: x}\nmore:\n  <<: *base\n  a: 2\nsame: *base")
    assert loaded == {"base": {"a": 1, "200": "x"}, "more": {"a": 2, "200": "x"}, "same": {"a": 1, "200": "x"}}
    assert loaded["same"] is loaded["base"]


def test_the_first_of_several_merged_objects_wins() -> None:
    """Merge keys bring what is not there already, of several objects the first one's, and before an object's own."""
    text = "{x: &x {a: 1, b: 1}, y: &y {b: 2, c: 2}, both: {d: 3, <<: [*x, *y], a: 3}, twice: {<<: *y, <<: *x}}"
    loaded = load(text)
    assert list(loaded["both"].items()) == [("b", 1), ("c", 2), ("d", 3), ("a", 3)]
    assert loaded["twice"] == {"a": 1, "b": 2, "c": 2}


def test_the_first_of_several_documents_counts() -> None:
    """What follows is not read, and that there is more is known."""
    assert [parse_yaml(text).has_more for text in ("a: 1", "a: 1\n...\n", "a: 1\n---\nb: *nowhere")] == [
        False,
        False,
        True,
    ]
    assert load("a: 1\n---\nb: 1") == {"a": 1}


@pytest.mark.parametrize("text", ["a: *b", "? [a]\n: b", "<<: a", "a: b: c"])
def test_what_is_no_object_of_json_is_refused_where_it_stands(text: str) -> None:
    """An alias to nowhere, a key that is no text, a merge of no object: each is said with its line."""
    with pytest.raises(yaml.MarkedYAMLError) as refused:
        load(text)
    assert refused.value.problem_mark is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!python/object/apply:os.getcwd []", []),
        ("a: !!python/name:os.system", {"a": ""}),
        ("!custom x", "x"),
        ("!!int x", "x"),
        ("a: !!set {b, c}", {"a": {"b": None, "c": None}}),
    ],
)
def test_no_tag_makes_anything_else(text: str, value: object) -> None:
    """A tag that would make another kind of object is ignored."""
    assert load(text) == value


texts = st.text("aZ09 :-#{}[]'\"\\,|>&*!%@`~\n\té𐀀", max_size=8)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, derandomize=True, database=None)
@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    """What another JSON writer writes is read as the same value."""
    assert load(json.dumps(value, ensure_ascii=False)) == value
