"""`diff`: what it says about two versions of a document, and that JSON Schema agrees on what is breaking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import Run
from tests.support import document


def version(folder: Path, name: str, schema: Any, required: bool = False, **fields: Any) -> str:
    """Write a document with one operation that takes `q`, and return the name of its file."""
    parameter = {"name": "q", "in": "query", "required": required, "schema": schema}
    operation = {"operationId": "find", "parameters": [parameter], "responses": {}, **fields}
    (folder / name).write_text(json.dumps(document({"/x": {"get": operation}})), encoding="utf-8")
    return name


def changes(run: Run, *arguments: str) -> list[dict[str, Any]]:
    """Return what `diff --json` prints."""
    found: list[dict[str, Any]] = json.loads(run("diff", *arguments, "--json").stdout)
    return found


STRING, NUMBER = {"type": "string"}, {"type": "number"}

#: Two schemas, the kinds of changes, and a value that the old one takes and the new one refuses, if there is one.
SCHEMAS: dict[str, tuple[Any, Any, list[str], Any]] = {
    "the same": (STRING, {"type": "string"}, [], None),
    "another type": (STRING, NUMBER, ["narrowed"], "x"),
    "integer to number": ({"type": "integer"}, NUMBER, ["widened"], None),
    "number to integer": (NUMBER, {"type": "integer"}, ["narrowed"], 1.5),
    "any to a type": ({}, STRING, ["narrowed"], 1),
    "null added": (STRING, {"type": ["string", "null"]}, ["widened"], None),
    "null removed": ({"type": ["null", "string"]}, STRING, ["narrowed"], [None]),
    "alternatives in another order": ({"type": ["string", "null"]}, {"type": ["null", "string"]}, [], None),
    "a value added": ({"enum": ["a"]}, {"enum": ["a", "b"]}, ["widened"], None),
    "a value removed": ({"enum": ["a", "b"]}, {"enum": ["a"]}, ["narrowed"], "b"),
    "values at last": (STRING, {"type": "string", "enum": ["a"]}, ["narrowed"], "b"),
    "a higher minimum": ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 2}, ["narrowed"], 1),
    "a lower minimum": ({"type": "integer", "minimum": 2}, {"type": "integer", "minimum": 1}, ["widened"], None),
    "a lower maximum": ({"type": "string", "maxLength": 9}, {"type": "string", "maxLength": 1}, ["narrowed"], "xx"),
    "a pattern": (STRING, {"type": "string", "pattern": "^a"}, ["narrowed"], "b"),
    "no pattern any more": ({"type": "string", "pattern": "^a"}, STRING, ["widened"], None),
    "items": ({"type": "array", "items": STRING}, {"type": "array", "items": NUMBER}, ["narrowed"], ["x"]),
    "a property removed": (
        {"type": "object", "properties": {"a": STRING, "b": STRING}, "additionalProperties": False},
        {"type": "object", "properties": {"a": STRING}, "additionalProperties": False},
        ["property removed"],
        {"b": "x"},
    ),
    "a property added": (
        {"type": "object", "properties": {"a": STRING}},
        {"type": "object", "properties": {"a": STRING, "b": STRING}},
        ["property added"],
        None,
    ),
    "a property newly required": (
        {"type": "object", "properties": {"a": STRING}},
        {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
        ["newly required"],
        {},
    ),
    "no further properties": (
        {"type": "object", "properties": {"a": STRING}},
        {"type": "object", "properties": {"a": STRING}, "additionalProperties": False},
        ["narrowed"],
        {"c": 1},
    ),
}


@pytest.mark.parametrize(("old", "new", "kinds", "refused"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_change_of_a_schema(old: Any, new: Any, kinds: list[str], refused: Any, tmp_path: Path, run: Run) -> None:
    """Its kind is named, and it is breaking exactly if the new schema refuses a value that the old one takes."""
    found = changes(run, version(tmp_path, "old.json", old), version(tmp_path, "new.json", new))
    assert [change["kind"] for change in found] == kinds
    assert all(change["pointer"].startswith("/q") for change in found)
    assert any(change["breaking"] for change in found) is (refused is not None)
    if refused is not None:
        value = None if refused == [None] else refused
        jsonschema.validate(value, old)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, new)


def test_changes_of_tools(tmp_path: Path, run: Run) -> None:
    """Tools that are added, removed or renamed, and what else is about a whole tool."""
    key = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    get = {"operationId": "a", "summary": "Lists.", "responses": {}}
    old = document(
        {"/a": {"get": get}, "/b": {"get": {"operationId": "b", "responses": {}}}}, servers=[{"url": "https://a.test"}]
    )
    new = document(
        {
            "/a": {"get": {**get, "operationId": "z", "summary": "Lists all.", "security": [{"key": []}]}},
            "/c": {"get": {"operationId": "c", "responses": {}}},
        },
        servers=[{"url": "https://b.test"}],
        components={"securitySchemes": key},
    )
    for name, root in (("old.json", old), ("new.json", new)):
        (tmp_path / name).write_text(json.dumps(root), encoding="utf-8")
    found = {(change["tool"], change["kind"]): change["breaking"] for change in changes(run, "old.json", "new.json")}
    assert found == {
        ("b", "removed"): True,
        ("z", "renamed"): True,
        ("z", "description"): False,
        ("z", "servers"): False,
        ("z", "security"): True,
        ("c", "added"): False,
    }


OAUTH = {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://a.test/token", "scopes": {}}}}
MOVED = {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://b.test/token", "scopes": {}}}}
KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}

#: Two versions of the security of an operation and of the schemes, and what has changed with whether it is breaking.
SECURITY: dict[str, tuple[list[Any], list[Any], dict[str, Any], dict[str, bool]]] = {
    "a further scope": ([{"o": ["a"]}], [{"o": ["a", "b"]}], {}, {"security": True}),
    "a scope less": ([{"o": ["a", "b"]}], [{"o": ["a"]}], {}, {"security": False}),
    "a further way": ([{"o": ["a"]}], [{"k": []}, {"o": ["a"]}], {}, {"security": False}),
    "one way less": ([{"k": []}, {"o": ["a"]}], [{"k": []}], {}, {"security": True}),
    "optional": ([{"k": []}], [{"k": []}, {}], {}, {"security": False}),
    "no longer optional": ([{"k": []}, {}], [{"k": []}], {}, {"security": True}),
    "two instead of one": ([{"k": []}], [{"k": [], "o": []}], {}, {"security": True}),
    "another token URL": ([{"o": []}], [{"o": []}], {"o": MOVED}, {"security scheme": False}),
    "another header": ([{"k": []}], [{"k": []}], {"k": {**KEY, "name": "X-New"}}, {"security scheme": True}),
    "of a scheme that nobody uses": ([{"k": []}], [{"k": []}], {"o": MOVED}, {}),
}


@pytest.mark.parametrize(("old", "new", "schemes", "expected"), SECURITY.values(), ids=SECURITY)
def test_a_change_of_security(
    old: Any, new: Any, schemes: Any, expected: dict[str, bool], tmp_path: Path, run: Run
) -> None:
    """It is breaking if somebody who had the credentials of one alternative has those of none any more."""
    for name, security, own in (("old.json", old, {}), ("new.json", new, schemes)):
        paths = {"/x": {"get": {"operationId": "x", "security": security, "responses": {}}}}
        root = document(paths, components={"securitySchemes": {"o": OAUTH, "k": KEY, **own}})
        (tmp_path / name).write_text(json.dumps(root), encoding="utf-8")
    found = changes(run, "old.json", "new.json")
    assert {change["kind"]: change["breaking"] for change in found} == expected


def test_what_is_deprecated_and_what_is_assumed(tmp_path: Path, run: Run) -> None:
    """Another default changes what a call without the argument means."""
    new = {**STRING, "default": "b", "deprecated": True}
    names = version(tmp_path, "old.json", {**STRING, "default": "a"}), version(tmp_path, "new.json", new)
    found = [(change["kind"], change["detail"], change["breaking"]) for change in changes(run, *names)]
    assert found == [("deprecated", "", False), ("default", "a → b", True)]


def test_long_texts_are_shown_where_they_differ(tmp_path: Path, run: Run) -> None:
    """The words before are cut, and of long enumerations only what is new or gone is shown."""
    values = [f"value {number}" for number in range(40)]
    old = {"description": f"{'Long. ' * 30}Old.", "enum": values}
    new = {"description": f"{'Long. ' * 30}New.", "enum": [*values[1:], "more"]}
    names = version(tmp_path, "old.json", old), version(tmp_path, "new.json", new)
    words, choice = (change["detail"] for change in changes(run, *names))
    assert words.startswith("… Long.")
    assert "Long. Old. → … Long." in words
    assert words.endswith("Long. New.")
    assert len(words) < 100
    assert choice == "enum: - value 0 + more"


@pytest.mark.parametrize(
    ("new", "policy", "status"),
    [(STRING, "any", 0), (NUMBER, "breaking", 1), (NUMBER, "any", 1), ({}, "breaking", 0), ({}, "any", 1)],
)
def test_fail_on_is_for_continuous_integration(new: Any, policy: str, status: int, tmp_path: Path, run: Run) -> None:
    """The exit status says whether there is a breaking change, or any."""
    names = version(tmp_path, "old.json", STRING), version(tmp_path, "new.json", new)
    assert run("diff", *names, "--fail-on", policy).returncode == status
    assert run("diff", *names).returncode == 0
