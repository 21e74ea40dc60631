"""YAML restricted to JSON's types."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_bridge.yaml_json import JsonLoader


def load(text: str) -> Any:
    """Parse as the documents are parsed."""
    return yaml.load(text, Loader=JsonLoader)  # noqa: S506  # the loader under test is a safe one


# YAML 1.2.2 section 10.3.2 ("Tag Resolution"), and what YAML 1.1 would make of the rest.
SCALARS = [
    *[(text, None) for text in ("null", "Null", "NULL", "~", "")],
    *[(text, True) for text in ("true", "True", "TRUE")],
    *[(text, False) for text in ("false", "False", "FALSE")],
    *[(text, text) for text in ("on", "Off", "yes", "No", "y", "n", "tRUE", "nULL")],
    *[("0", 0), ("-19", -19), ("+12", 12), ("010", 10), ("007", 7)],
    *[("0.", 0.0), ("-0.0", -0.0), (".5", 0.5), ("+12e03", 12e3), ("-2E+05", -2e5), ("1e3", 1e3)],
    *[(text, text) for text in ("1:30", "12:30:45", "1_000", "2024-05-13", "2024-05-13T10:00:00Z", "1.2.3", "=", "<")],
    *[('"1"', "1"), ("'true'", "true"), ("!!str 5", "5")],
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


def test_merge_keys_and_aliases_are_followed() -> None:
    """`<<` and anchors mean what YAML's users mean by them; an alias is the same value, not a copy."""
    loaded = load("base: &base {a: 1, 200: x}\nmore:\n  <<: *base\n  a: 2\nsame: *base")
    assert loaded == {"base": {"a": 1, "200": "x"}, "more": {"a": 2, "200": "x"}, "same": {"a": 1, "200": "x"}}
    assert loaded["same"] is loaded["base"]


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "a: !!python/name:os.system", "!custom x"])
def test_no_tag_makes_anything_else(text: str) -> None:
    """A tag that would make another kind of object is an error."""
    with pytest.raises(yaml.YAMLError):
        load(text)


texts = st.text("aZ09 :-#{}[]'\"\\,|>&*!%@`~\n\té𐀀", max_size=8)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    """What another JSON writer writes is read as the same value."""
    assert load(json.dumps(value, ensure_ascii=False)) == value
