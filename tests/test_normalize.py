"""What real documents and hostile ones contain: mended and said, or refused in one sentence."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry

from portkey_bridge.document.parse import Document, document_of, parse_document
from portkey_bridge.document.repairs import Repairs
from portkey_bridge.document.sources import read_source
from portkey_bridge.errors import DocumentError
from portkey_bridge.openapi.normalize import Normalized, normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.openapi.schema_dialects import KEYWORD_FORMS
from portkey_bridge.tools.catalog import build_tools

#: Python's engine is no judge of patterns, which are ECMAScript's.
WITHOUT_FORMATS = FormatChecker(())

ANY = object()


def document(version: str, schema: Any) -> Document:
    """Return a document of this version with one schema, S."""
    root = {
        "openapi": version,
        "info": {"title": "T", "version": "1"},
        "paths": {},
        "components": {"schemas": {"S": schema}},
    }
    return Document("api.yaml", "file:///api.yaml", root)


def modern(version: str, schema: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a schema of a document of this version after normalization, and the repairs."""
    root, repairs = normalize(document(version, schema))
    return root["components"]["schemas"]["S"], repairs


#: OpenAPI 3.0.4 section 4.7.24 and Swagger 2.0 in the words of JSON Schema 2020-12.
DIALECT = [
    pytest.param({"type": "string", "nullable": True}, {"type": ["string", "null"]}, id="nullable"),
    pytest.param({"type": "string", "x-nullable": True}, {"type": ["string", "null"]}, id="x-nullable"),
    pytest.param({"type": "string", "nullable": False}, {"type": "string"}, id="not nullable"),
    pytest.param(
        {"type": "string", "enum": ["a"], "nullable": True},
        {"type": ["string", "null"], "enum": ["a", None]},
        id="nullable enum",
    ),
    pytest.param(
        {"allOf": [{"type": "object"}], "nullable": True},
        {"anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]},
        id="nullable composition",
    ),
    pytest.param({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}, id="exclusive minimum"),
    pytest.param({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}, id="inclusive maximum"),
    pytest.param({"example": 1}, {"examples": [1]}, id="example"),
    pytest.param(
        {"$ref": "#/components/schemas/S/$defs/a", "type": "integer", "description": "D", "$defs": {"a": {}}},
        ANY,
        id="beside a reference",
    ),
]


@pytest.mark.parametrize(("schema", "expected"), DIALECT)
def test_dialect_of_3_0(schema: Any, expected: Any) -> None:
    """What OpenAPI 3.0 has of its own becomes JSON Schema, silently."""
    read, repairs = modern("3.0.3", schema)

    if expected is not ANY:
        assert read == expected
        assert repairs == ()
    Draft202012Validator.check_schema(read, format_checker=WITHOUT_FORMATS)


KEPT = [
    True,
    {"type": ["string", "null"], "const": "a"},
    {"prefixItems": [{"type": "string"}, True], "items": False},
    {"$ref": "#/components/schemas/S/$defs/a", "minLength": 2, "$defs": {"a": {"type": "string"}}},
    {"if": {"type": "string"}, "then": {"minLength": 1}, "else": True},
    {"type": "string", "default": None},
    {"type": "string", "format": "of-our-own", "x-anything": {"type": "odd"}},
    {"type": "object", "dependentRequired": {"a": ["b"]}, "unevaluatedProperties": False},
    {"exclusiveMinimum": 1, "contains": {"type": "integer"}, "minContains": 2},
    {"pattern": r"^\p{L}+$"},
    {"properties": {"type": {"type": "string"}, "required": {"type": "boolean"}, "$ref": {"type": "string"}}},
]


@pytest.mark.parametrize("schema", KEPT, ids=lambda schema: json.dumps(schema)[:30])
def test_json_schema_is_kept(schema: Any) -> None:
    """A valid JSON Schema of OpenAPI 3.1 stays as it is."""
    read, repairs = modern("3.1.0", json.loads(json.dumps(schema)))

    assert read == schema
    assert repairs == ()


#: What stands in documents against the rules, how it is read, and a word of the repair.
MENDED = [
    pytest.param({"type": "int"}, {"type": "integer"}, "type is int", id="type int"),
    pytest.param({"type": "String"}, {"type": "string"}, "type is String", id="type in capitals"),
    pytest.param({"type": "any"}, {}, "type is any", id="type any"),
    pytest.param({"type": "file"}, {"type": "string", "format": "binary"}, "type is file", id="type file"),
    pytest.param({"type": "datetime"}, {"type": "string", "format": "date-time"}, "datetime", id="type datetime"),
    pytest.param({"type": ["string", "any"]}, {}, "string, any", id="any among types"),
    pytest.param({"type": ["string", None]}, {"type": ["string", "null"]}, "null", id="null without quotes"),
    pytest.param({"type": None}, {}, "type is null", id="no type"),
    pytest.param({"type": []}, {}, "type is an empty list", id="no types"),
    pytest.param({"type": {"a": 1}}, {}, "an object", id="type is an object"),
    pytest.param({"required": True}, {}, "required", id="required as in draft 3"),
    pytest.param({"required": ["a", 1, "a"]}, {"required": ["a", "1"]}, "required", id="odd names"),
    pytest.param({"properties": None}, {}, None, id="properties null"),
    pytest.param({"properties": {"a": None}}, {"properties": {"a": {}}}, "properties", id="empty property"),
    pytest.param(
        {"properties": {"a": "string"}}, {"properties": {"a": {"type": "string"}}}, "properties", id="shorthand"
    ),
    pytest.param({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}, "items", id="tuple"),
    pytest.param({"items": "string"}, {}, "items", id="items is a text"),
    pytest.param({"enum": "a"}, {}, "enum", id="enum is no list"),
    pytest.param({"enum": []}, {}, "enum", id="enum that fits nothing"),
    pytest.param(
        {"type": "string", "enum": [1, True]}, {"type": "string", "enum": ["1", "true"]}, "enum", id="enum values"
    ),
    pytest.param({"type": "integer", "enum": ["1"]}, {"type": "integer", "enum": [1]}, "enum", id="quoted numbers"),
    pytest.param(
        {"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}, "exclusiveMinimum", id="boolean bound"
    ),
    pytest.param({"type": "string", "nullable": True}, {"type": ["string", "null"]}, "nullable", id="nullable"),
    pytest.param({"maxLength": "10"}, {"maxLength": 10}, "maxLength", id="quoted length"),
    pytest.param({"maxLength": -1}, {}, "maxLength", id="negative length"),
    pytest.param({"minimum": "one"}, {}, "minimum", id="bound in words"),
    pytest.param({"multipleOf": 0}, {}, "multipleOf", id="multiple of nothing"),
    pytest.param({"allOf": {"type": "string"}}, {"allOf": [{"type": "string"}]}, "allOf", id="allOf is no list"),
    pytest.param({"anyOf": []}, {}, "anyOf", id="no alternatives"),
    pytest.param(
        {"additionalProperties": "false"}, {"additionalProperties": False}, "additionalProperties", id="quoted"
    ),
    pytest.param({"description": 1}, {"description": "1"}, "description", id="description is a number"),
    pytest.param({"examples": {"a": {"value": 1}}}, {"examples": [1]}, "examples", id="named examples"),
    pytest.param({"pattern": "(["}, {"pattern": "(["}, "is not a regular expression", id="no pattern"),
    pytest.param({"pattern": "/^a$/"}, {"pattern": "^a$"}, "slashes", id="pattern in slashes"),
    pytest.param({"pattern": "/[a-z]+$/"}, {"pattern": "[a-z]+$"}, "slashes", id="pattern in slashes, with an end"),
    pytest.param({"pattern": "/[a-z]/i"}, {}, "slashes", id="pattern in slashes, with a flag alone"),
    pytest.param({"pattern": "/^a$/i"}, {}, "slashes", id="pattern in slashes, with a flag"),
    pytest.param({"discriminator": "a"}, {"discriminator": {"propertyName": "a"}}, "discriminator", id="discriminator"),
    pytest.param({"$ref": 1, "type": "string"}, {"type": "string"}, "$ref", id="reference is no text"),
    pytest.param({"not": {"$ref": "#/nowhere"}}, {"not": {"not": {}}}, "#/nowhere", id="dangling under not"),
]


@pytest.mark.parametrize(("schema", "expected", "word"), MENDED)
def test_mended_schema(schema: Any, expected: Any, word: str | None) -> None:
    """What breaks the rules is read as it is meant, accepts no less, and is said with its pointer."""
    read, repairs = modern("3.1.0", json.loads(json.dumps(schema)))

    assert read == expected
    Draft202012Validator.check_schema(read, format_checker=WITHOUT_FORMATS)
    if word is None:
        assert repairs == ()
    else:
        (repair,) = repairs
        assert word in repair
        assert "#/components/schemas/S" in repair


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["string", "int", "a", "^a", "#/components/schemas/S", "#x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*KEYWORD_FORMS, "type", "nullable", "example", "const", "$id", "$anchor"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    version=st.sampled_from(["3.0.3", "3.1.0"]),
    schema=st.dictionaries(st.sampled_from([*KEYWORD_FORMS, "type", "items", "$ref"]), VALUES, max_size=5),
)
def test_anything_becomes_a_valid_schema(version: str, schema: Any) -> None:
    """Whatever stands where a schema is expected, the outcome is a JSON Schema, and judging a value by it ends."""
    root, _ = normalize(document(version, schema))
    read = root["components"]["schemas"]["S"]

    Draft202012Validator.check_schema(read, format_checker=WITHOUT_FORMATS)
    validator = Draft202012Validator(
        {"$ref": "#/components/schemas/S", "components": root["components"]}, registry=Registry()
    )
    for value in (1, "a", {"a": [1]}):
        validator.is_valid(value)


def test_same_repair_is_said_once() -> None:
    """Five hundred equal mistakes are one sentence that names some of the places and counts the rest."""
    _, repairs = modern("3.1.0", {"properties": {f"p{n}": {"type": "int"} for n in range(500)}})

    (repair,) = repairs
    assert repair.endswith("#/components/schemas/S/properties/p2 and 497 more).")


def test_of_very_many_kinds_of_repairs_the_first_hundred_are_said() -> None:
    """A document that is wrong in 150 ways gets a sentence for each of 100, and one that counts the others."""
    repairs = Repairs()
    for number in range(150):
        repairs.add(f"problem {number}", "#/place")
    said = repairs.sentences()
    assert said[:2] == ("problem 0 (#/place).", "problem 1 (#/place).")
    assert (len(said), said[-1].partition(" ")[0]) == (101, "50")


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Names from the document stand in repairs without the characters that would steer a terminal."""
    _, repairs = modern("3.1.0", {"properties": {"\x1b[31m\n": {"type": "in\x1bt"}}})

    assert all(repair.isprintable() for repair in repairs)


VERSIONS = [
    ("openapi: 3.0.0", None),
    ("openapi: 3.1", None),
    ("openapi: 3.2.0", None),
    ("swagger: 2.0", None),
    ("swagger: '2.0'", None),
    ("openapi: v3.0.1", None),
    ("openapi: 4.0.0", "unknown OpenAPI version 4.0.0"),
    ("swagger: '1.2'", "unknown OpenAPI version 1.2"),
    ("openapi: [3]", "unknown OpenAPI version a list"),
    ("asyncapi: 2.0.0", "no 'openapi' field"),
    ("paths: {/a: {}}", None),
    ("openapi: 3.0.0\npaths: []\ninfo: {}", None),
    ("openapi: 3.0.0\npaths: [a]", "/paths is not an object"),
]


def test_a_newer_version_is_read_with_a_warning() -> None:
    """A version 3 that is newer than the newest known one is read as that, and reported."""
    found = normalize(parse_document("api.yaml", "file:///api.yaml", "openapi: 3.9.0\npaths: {}"))
    assert found.repairs == ("OpenAPI 3.9.0 is not known; read as 3.2 (#).",)


@pytest.mark.parametrize(("text", "problem"), VERSIONS)
def test_version(text: str, problem: str | None) -> None:
    """Versions 2.0 to 3.2 are read, however they are written; others are refused by name."""
    if problem is None:
        assert "paths" in normalize(parse_document("api.yaml", "file:///api.yaml", text)).root
        return
    with pytest.raises(DocumentError, match=problem):
        normalize(parse_document("api.yaml", "file:///api.yaml", text))


def test_path_item_in_a_file_and_components(tmp_path: Path) -> None:
    """OpenAPI 3.1 and 3.2: shared path items and media types, `query`, other methods, sequences, querystring."""
    text = """
openapi: 3.2.0
info: {title: T, version: '1'}
webhooks: {made: {post: {}}}
paths:
  /a:
    $ref: '#/components/pathItems/A'
    parameters: [{name: q, in: querystring, content: {application/json: {schema: {type: object}}}}]
components:
  mediaTypes: {Lines: {itemSchema: {type: integer}}}
  pathItems:
    A:
      query:
        requestBody: {content: {application/jsonl: {$ref: '#/components/mediaTypes/Lines'}}}
        callbacks: {done: {'{$request.body#/url}': {post: {}}}}
      additionalOperations: {LINK: {operationId: link}}
"""
    path = tmp_path / "api.yaml"
    path.write_text(text)
    read = document_of(read_source(str(path)))
    root, repairs = normalize(read)
    api = read_api(root, read.uri)

    assert repairs == ()
    assert [operation.method for operation in api.operations] == ["QUERY", "LINK"]
    assert [parameter.location for parameter in api.operations[0].parameters] == ["querystring"]
    assert api.operations[0].request_body is not None
    assert api.operations[0].request_body.content[0].schema == {"type": "array", "items": {"type": "integer"}}
    assert (api.webhooks, api.callbacks) == (1, 1)


YAML_HEAD = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths: {}\n"

#: Documents that were made to break what reads them, and the refusal.
HOSTILE = [
    pytest.param("x: " + "[" * 30_000, "nested more than 200 levels", id="flow"),
    pytest.param("x: " + '["]",' * 30_000, "nested more than 200 levels", id="flow with quoted ends"),
    pytest.param("x:\n  " + "- " * 30_000, "nested more than 200 levels", id="dashes"),
    pytest.param("[" * 30_000, "nested more than 200 levels", id="JSON"),
    pytest.param('{"a":' * 300 + "1" + "}" * 300, "nested more than 200 levels", id="JSON objects"),
    pytest.param(
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
        "stand for more than",
        id="alias explosion",
    ),
    pytest.param(
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\nb: {<<: [" + ", ".join(["*a"] * 5000) + "]}",
        "merge keys",
        id="merge explosion",
    ),
    pytest.param("a: &a [*a]", "leads back to itself", id="circle of aliases"),
    pytest.param("a: " + "9" * 10_000, "does not parse", id="endless number"),
    pytest.param("a: b\0c", "does not parse", id="control character"),
]


@pytest.mark.parametrize(("text", "problem"), HOSTILE)
def test_hostile_document_is_refused(text: str, problem: str) -> None:
    """A document that would exhaust stack, memory or time is refused in one line, within a few megabytes."""
    tracemalloc.start()
    try:
        with pytest.raises(DocumentError, match=problem) as refused:
            parse_document("api.yaml", "file:///api.yaml", text)
        assert "\n" not in str(refused.value)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_many_references_to_many_places() -> None:
    """A hundred thousand references are followed; each schema is visited once."""
    schemas = {
        f"S{n}": {"type": "object", "properties": {"a": {"$ref": f"#/components/schemas/S{n * 7 % 1000}"}}}
        for n in range(1000)
    }
    schemas["All"] = {"properties": {f"p{n}": {"$ref": f"#/components/schemas/S{n % 1000}"} for n in range(100_000)}}
    root = {"openapi": "3.1.0", "paths": {}, "components": {"schemas": schemas}}

    assert normalize(Document("api.yaml", "file:///api.yaml", root)).repairs == ()


def test_shared_path_item_does_not_multiply_without_end() -> None:
    """Paths that refer to one path item with many methods are refused before they fill the memory."""
    methods: dict[str, Any] = {f"M{n}": {} for n in range(1000)}
    root = {
        "openapi": "3.2.0",
        "paths": {f"/{n}": {"$ref": "#/components/pathItems/A"} for n in range(1000)},
        "components": {"pathItems": {"A": {"additionalOperations": methods}}},
    }
    normalized = normalize(Document("api.yaml", "file:///api.yaml", root))
    with pytest.raises(DocumentError, match="more than 25,000 operations"):
        read_api(normalized.root, "file:///api.yaml")


def _calls(work: Callable[[], object]) -> int:
    """Count the Python function calls that some work takes: a measure of it that no other process disturbs."""
    import sys

    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def _large(operations: int) -> Normalized:
    schemas: dict[str, Any] = {
        f"S{n}": {
            "allOf": [{"$ref": "#/components/schemas/Base"}],
            "properties": {f"p{m}": {"type": "string", "nullable": True} for m in range(5)},
        }
        for n in range(operations)
    }
    paths = {
        f"/things{n}/{{id}}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "put": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/S{n}"}}}}
            },
        }
        for n in range(operations)
    }
    identity = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    components = {"schemas": {"Base": {"type": "object"}, **schemas}, "parameters": {"Id": identity}}
    return normalize(Document("a", "file:///a", {"openapi": "3.0.0", "paths": paths, "components": components}))


def test_work_grows_with_the_document() -> None:
    """Ten times the operations take about ten times the work, from the parsed document to the tools."""

    def work(operations: int) -> int:
        return _calls(lambda: build_tools(read_api(_large(operations).root, "file:///a")))

    work(1)  # what is done once
    assert work(400) < 11 * work(40)


DECIDED = [
    pytest.param("a: 1\nb: {c: 1,\n c: 2}\n", 'api.yaml:3: the key "c" appears twice', id="YAML"),
    pytest.param('{"a": [{"b": ":\\"{"}],\n "b": 1,\n "a": 2}', 'api.yaml:3: the key "a" appears twice', id="JSON"),
    pytest.param("a: 1\n---\nb: 2\n", "api.yaml: it contains further documents", id="several documents"),
    pytest.param("a: !Ref b\n", "api.yaml:1: the tag !Ref is ignored", id="tag"),
]


@pytest.mark.parametrize(("text", "word"), DECIDED)
def test_what_the_parser_decides_is_said(text: str, word: str) -> None:
    """Keys that stand twice, and tags, are survived and said, with the line where the parser knows it."""
    (repair,) = parse_document("api.yaml", "file:///api.yaml", text).repairs

    assert word in repair


@pytest.mark.parametrize("text", ["{" + '"a": 1, ' * 1000 + '"a": 1}', "a: 1\n" * 1001], ids=["JSON", "YAML"])
def test_of_very_many_decisions_the_first_are_said(text: str) -> None:
    """What happens a thousand times in one document is counted behind the first twenty."""
    repairs = parse_document("api.yaml", "file:///api.yaml", text).repairs

    assert len(repairs) == 21
    assert repairs[-1] == "api.yaml: 980 more keys or tags like these."


#: Text that only a model would read, and what is left of it. An emoji keeps the selector that gives it its look.
HIDDEN = {
    "tags": ("List\U000e0049\U000e0067 pets", "List pets"),
    "zero-width": ("List\u200b\u200c\u200d\u2060\ufeff pets", "List pets"),
    "bidi": ("List \u202epets\u202c\u2066\u2069", "List pets"),
    "selectors": ("List\U000e0100\ufe00 pets", "List pets"),
    "many selectors": ("⚠\ufe0f\ufe0f\ufe0e pets", "⚠\ufe0f pets"),
    "nothing": ("⚠\ufe0f Zürich\n\tin 東京\u3000", "⚠\ufe0f Zürich\n\tin 東京\u3000"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_descriptions_lose_what_nobody_sees(name: str) -> None:
    """Titles, summaries and descriptions have no invisible characters, which is a repair; values keep them."""
    hidden, shown = HIDDEN[name]
    schema = {
        "type": "object",
        "description": hidden,
        "properties": {"description": {"title": hidden, "enum": [hidden]}},
    }
    media_type = {"schema": schema, "example": {"description": hidden}}
    described = {"summary": hidden, "requestBody": {"content": {"application/json": media_type}}, "responses": {}}
    root = {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1", "description": hidden},
        "paths": {"/x": {"post": described}},
    }
    found = normalize(Document("test", "file:///test", root))
    operation = found.root["paths"]["/x"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    inner = content["schema"]["properties"]["description"]
    texts = [found.root["info"]["description"], operation["summary"], content["schema"]["description"], inner["title"]]
    assert texts == [shown] * 4
    assert (inner["enum"], content["example"]["description"]) == ([hidden], hidden)
    assert any("nobody sees" in each for each in found.repairs) == (hidden != shown)
