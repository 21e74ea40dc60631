"""Arguments the way models send them: read in the only way that the schema accepts, and refused where there are two."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from jsonschema import Draft202012Validator
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest

from portkey_bridge.settings.options import Settings
from portkey_bridge.text import without_invisible
from tests.conftest import Connect, Recorded, Recorder, Run, text_of
from tests.support import body, operation, refused, sent, served

INTEGER, NUMBER, BOOLEAN, TEXT = ({"type": kind} for kind in ("integer", "number", "boolean", "string"))
INTEGERS, TEXTS = ({"type": "array", "items": items} for items in (INTEGER, TEXT))
POINT = {"type": "object", "properties": {"x": INTEGER, "y": INTEGER}, "required": ["x"], "additionalProperties": False}
CAT = {"type": "object", "properties": {"kind": {"enum": ["cat"]}, "lives": INTEGER}, "required": ["kind", "lives"]}
DOG = {"type": "object", "properties": {"kind": {"enum": ["dog"]}, "name": TEXT}, "required": ["kind", "name"]}
LONG = 12345678901234567890123

#: What arrives of an argument that is left out.
NOTHING = object()


def union(*branches: Any) -> dict[str, Any]:
    return {"anyOf": [*branches]}


#: Schema of a property of a JSON body, what is given, and the JSON that arrives.
IN_JSON = [
    pytest.param(INTEGER, "5", 5, id="text for an integer"),
    pytest.param(INTEGER, "-12", -12, id="text for a negative integer"),
    pytest.param(INTEGER, str(LONG), LONG, id="text for an integer of any length"),
    pytest.param(NUMBER, "0.25", 0.25, id="text for a number"),
    pytest.param(NUMBER, "1.50", 1.5, id="text with a zero at its end"),
    pytest.param(BOOLEAN, "true", True, id="text for a boolean"),
    pytest.param(BOOLEAN, "False", False, id="text of Python for a boolean"),
    pytest.param({"type": ["integer", "null"]}, "null", None, id="text for null"),
    pytest.param(INTEGERS, "[1, 2]", [1, 2], id="JSON text for an array"),
    pytest.param(POINT, ' {"x": 1}\n', {"x": 1}, id="JSON text for an object"),
    pytest.param(POINT, '{"x": "1", "y": null}', {"x": 1}, id="readings in a JSON text"),
    pytest.param(INTEGERS, '["1", 2]', [1, 2], id="texts in a JSON text"),
    pytest.param(INTEGERS, ["1", 2, "3"], [1, 2, 3], id="texts in an array"),
    pytest.param({"type": "array", "items": POINT}, ['{"x": 1}'], [{"x": 1}], id="JSON text in an array"),
    pytest.param(POINT, {"x": "1", "y": "2"}, {"x": 1, "y": 2}, id="texts in an object"),
    pytest.param({"type": "object", "additionalProperties": INTEGER}, {"n": "1"}, {"n": 1}, id="text in a map"),
    pytest.param({"enum": [1, 2]}, "1", 1, id="text for an enumerated number"),
    pytest.param({"type": "integer", "enum": [1, 2]}, "2", 2, id="text for an enumerated integer"),
    pytest.param({"const": True}, "true", True, id="text for a constant"),
    pytest.param({"enum": ["1", 2]}, "1", "1", id="text that is enumerated"),
    pytest.param({"enum": ["a\u200b", "b"]}, "a", "a\u200b", id="a value as it is listed"),
    pytest.param({"enum": ["a\u200b", "a"]}, "a\\u200b", "a\u200b", id="the one of two alike that is listed escaped"),
    pytest.param({"enum": ["a\u200b", "a"]}, "a", "a", id="the one of two alike that is what it seems"),
    pytest.param({"enum": ["a\u200b", "b"]}, "a\u200b", "a\u200b", id="a value as the document has it"),
    pytest.param({"const": "a\u202e"}, "a", "a\u202e", id="a constant as it is listed"),
    pytest.param(
        {"type": "array", "items": {"enum": ["\U000e0041"]}}, ["\\udb40\\udc41"], ["\U000e0041"], id="nothing else"
    ),
    pytest.param(union(INTEGER, BOOLEAN), "true", True, id="text for one branch of a union"),
    pytest.param(union(INTEGER, {"type": "null"}), "7", 7, id="text for a number or null"),
    pytest.param(union(INTEGER, NUMBER), "7", 7, id="the same reading in two branches"),
    pytest.param(union(TEXT, INTEGER), "7", "7", id="text that a branch accepts"),
    pytest.param({"oneOf": [INTEGERS, BOOLEAN]}, "[1]", [1], id="JSON text for one branch"),
    pytest.param(union(CAT, DOG), {"kind": "cat", "lives": "9"}, {"kind": "cat", "lives": 9}, id="text in a branch"),
    pytest.param(union(CAT, DOG), '{"kind":"dog","name":"5"}', {"kind": "dog", "name": "5"}, id="a branch in a text"),
    pytest.param(
        union({"type": "object", "properties": {"n": INTEGER}}, {"type": "object", "properties": {"n": TEXT}}),
        '{"n": "1"}',
        {"n": "1"},
        id="a JSON text that one branch accepts as it is",
    ),
    pytest.param({"oneOf": [INTEGERS, TEXTS]}, '["1"]', ["1"], id="texts in a JSON text that one branch accepts"),
    pytest.param({"allOf": [{"minimum": 1}, INTEGER]}, "5", 5, id="text for all of several schemas"),
    pytest.param({"type": ["integer", "null"]}, "None", None, id="text of Python for null"),
    pytest.param({"type": "array", "items": POINT}, '{"x": 1}\n{"x": "2"}\n', [{"x": 1}, {"x": 2}], id="lines of JSON"),
    pytest.param(INTEGERS, {"0": 1, "1": "2"}, [1, 2], id="an object that counts, for an array"),
    pytest.param(INTEGERS, {str(at): at for at in reversed(range(12))}, [*range(12)], id="numbers beyond 9 in order"),
    pytest.param(INTEGER, "null", NOTHING, id="a text for null"),
    pytest.param(BOOLEAN, "None", NOTHING, id="a text of Python for null, for a boolean"),
    pytest.param(POINT, {"x": 1, "y": "undefined"}, {"x": 1}, id="a text of JavaScript in an object"),
    pytest.param(TEXT, "None", "None", id="a text that is one"),
    pytest.param(INTEGER, None, NOTHING, id="null"),
    pytest.param(INTEGER, "", NOTHING, id="an empty text"),
    pytest.param({"type": "string", "minLength": 1}, "", NOTHING, id="an empty text that is too short"),
    pytest.param({"enum": ["asc", "desc"]}, "", NOTHING, id="an empty text that is not enumerated"),
    pytest.param(union(INTEGER, BOOLEAN), None, NOTHING, id="null for a union"),
    pytest.param(POINT, {"x": 1, "y": None}, {"x": 1}, id="null in an object"),
    pytest.param({"type": "array", "items": POINT}, [{"x": 1, "y": None}], [{"x": 1}], id="null in an array's object"),
    pytest.param({"type": ["integer", "null"]}, None, None, id="null that is a value"),
    pytest.param(TEXT, "", "", id="an empty text that is a value"),
    pytest.param(TEXT, "5", "5", id="text for a text"),
    pytest.param(TEXT, '{"a": 1}', '{"a": 1}', id="JSON text for a text"),
    pytest.param({"type": "string", "format": "date"}, "2024-01-01", "2024-01-01", id="a date"),
    pytest.param({}, "5", "5", id="text for anything"),
    pytest.param({"type": "object"}, {"n": "5", "no": None, "": ""}, {"n": "5", "no": None, "": ""}, id="free form"),
    pytest.param({"type": "array"}, ["5", None, "[1]"], ["5", None, "[1]"], id="an array of anything"),
]

#: Schema of a property of a JSON body, and what is refused.
REFUSED = [
    pytest.param(INTEGER, "05", id="a number with a zero before"),
    pytest.param(INTEGER, "1e3", id="an exponent"),
    pytest.param(INTEGER, " 5 ", id="blanks around a number"),
    pytest.param(INTEGER, "+5", id="a plus before a number"),
    pytest.param(INTEGER, "5,000", id="a number with groups"),
    pytest.param(INTEGER, "0x10", id="a hexadecimal number"),
    pytest.param(INTEGER, "٣", id="digits of another script"),
    pytest.param(INTEGER, "5.5", id="a fraction for an integer"),
    pytest.param(NUMBER, "NaN", id="not a number"),
    pytest.param(NUMBER, "0.12345678901234567890123", id="more digits than a float has"),
    pytest.param(NUMBER, "9" * 5000, id="more digits than Python reads"),
    pytest.param(BOOLEAN, "yes", id="another word for true"),
    pytest.param(BOOLEAN, "TRUE", id="a boolean in capitals"),
    pytest.param(BOOLEAN, 1, id="a number for a boolean"),
    pytest.param(BOOLEAN, "1", id="a digit for a boolean"),
    pytest.param(INTEGER, True, id="a boolean for a number"),
    pytest.param(TEXT, 5, id="a number for a text in JSON"),
    pytest.param(TEXT, ["5"], id="an array for a text"),
    pytest.param(POINT, {"x": "null"}, id="a text for null for a required property"),
    pytest.param({"enum": ["asc", "desc"]}, "None", id="a text that is not enumerated"),
    pytest.param(INTEGERS, {}, id="an empty object for an array"),
    pytest.param(INTEGERS, {"1": 1, "2": 2}, id="an object that counts from 1"),
    pytest.param(INTEGERS, "1\n2", id="lines of numbers"),
    pytest.param(INTEGERS, 5, id="one item for an array"),
    pytest.param(INTEGERS, "1,2", id="items with commas for an array"),
    pytest.param(INTEGERS, "5", id="the text of one item for an array"),
    pytest.param(INTEGERS, '["a"]', id="JSON text of other items"),
    pytest.param(POINT, '{"x": 1', id="half a JSON text"),
    pytest.param(POINT, "{'x': 1}", id="the text of a Python object"),
    pytest.param(POINT, '{"x": 1, "x": 2}', id="a name that is twice in a JSON text"),
    pytest.param(POINT, '"{\\"x\\": 1}"', id="JSON text in a JSON text"),
    pytest.param(POINT, "[" * 100_000, id="a JSON text that is nested too deeply"),
    pytest.param(POINT, {"x": None}, id="null for a required property"),
    pytest.param(POINT, {"x": ""}, id="an empty text for a required property"),
    pytest.param(INTEGERS, [1, None], id="null in an array"),
    pytest.param({"enum": [1, 2]}, "3", id="text for a number that is not enumerated"),
    pytest.param(union(INTEGERS, {"type": "array", "items": BOOLEAN}, CAT), "[1, true]", id="no branch of a union"),
    pytest.param(
        union({"properties": {"a": INTEGER}, "required": ["a"]}, {"properties": {"a": TEXT}, "required": ["b"]})
        | {"type": "object", "properties": {"c": INTEGER}},
        {"c": 1.5, "a": "1"},
        id="a branch beside what is wrong",
    ),
    pytest.param({"enum": [1, True, "x"]}, "X", id="another case"),
    pytest.param(union({"enum": [False]}, {"type": "array", "maxItems": 0}), 0, id="a number for no branch"),
]

#: Location, schema, what is given, and the text that arrives.
AS_TEXT = [
    *(
        pytest.param(location, *case, id=f"{case[1]!r} in a {location}")
        for location in ("path", "query", "header", "cookie", "form", "multipart", "xml")
        for case in (
            (TEXT, 3, "3"),
            (TEXT, LONG, str(LONG)),
            (TEXT, 0.5, "0.5"),
            (TEXT, True, "true"),
            (INTEGER, "2", "2"),
            (BOOLEAN, "True", "true"),
            (TEXT, "05", "05"),
            ({"enum": ["1", "2"]}, 1, "1"),
            (union(TEXT, TEXTS), 7, "7"),
        )
    ),
    *(
        pytest.param(location, schema, given, None, id=f"{given!r} for {schema} in a {location}")
        for location in ("query", "header", "cookie", "form", "multipart", "xml")
        for schema, given in ((INTEGER, None), (TEXT, None), (INTEGER, ""), ({"enum": ["a"]}, ""))
    ),
    pytest.param("query", TEXTS, [1, "b"], "1,b", id="numbers in an array in a query"),
    pytest.param("query", TEXTS, "[1]", "1", id="JSON text of an array in a query"),
    pytest.param("form", TEXTS, [1], "1", id="numbers in an array in a form"),
    pytest.param("text", TEXT, 5, "5", id="a number for a text"),
]

#: Location, schema, what is given and refused.
NOT_AS_TEXT = [
    pytest.param("query", TEXT, 1.0, id="1 or 1.0"),
    pytest.param("query", TEXT, 1e30, id="a number with an exponent"),
    pytest.param("query", TEXT, {"a": 1}, id="an object for a text"),
    pytest.param("path", INTEGER, None, id="null in a path"),
    pytest.param("path", INTEGER, "", id="an empty text in a path"),
    pytest.param("query-json", TEXT, 5, id="a number for a text in JSON in a query"),
    pytest.param("form", {"type": "object", "properties": {"a": TEXT}}, {"a": 5}, id="in a form's JSON"),
]

BODIES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "multipart": "multipart/form-data",
    "xml": "application/xml",
}


def document_of(location: str, schema: Any) -> dict[str, Any]:
    """Return a document of an operation with the argument `a`, which is optional wherever that is possible."""
    if location in BODIES:
        return body(BODIES[location], {"type": "object", "properties": {"a": schema}}, required=False)
    if location == "text":
        return body("text/plain", schema)
    place, _, content = location.partition("-")
    described = {"content": {"application/json": {"schema": schema}}} if content else {"schema": schema}
    style = {"explode": False} if place == "query" and not content else {}
    parameter = {"name": "a", "in": place, "required": place == "path", **style, **described}
    return operation("get", "/x/{a}" if place == "path" else "/x", parameters=[parameter])


def received(request: Recorded, location: str) -> str | None:
    """Return the text of the argument `a` as it arrived, None where it did not."""
    url = urlsplit(request.target)
    content = request.body.decode()
    match location:
        case "path":
            return unquote(url.path.rpartition("/")[2])
        case "query":
            return next(iter(parse_qs(url.query, keep_blank_values=True).get("a", ())), None)
        case "header":
            return request.header("a")
        case "cookie":
            cookies = SimpleCookie(request.header("cookie"))
            return cookies["a"].value if "a" in cookies else None
        case "form":
            return next(iter(parse_qs(content, keep_blank_values=True).get("a", ())), None)
        case "multipart":
            return content.split("\r\n\r\n")[1].partition("\r\n--")[0] if "\r\n\r\n" in content else None
        case "xml":
            return content.partition("<a>")[2].partition("</a>")[0] if "<a>" in content else None
    return content


def judged(root: dict[str, Any], request: Recorded) -> None:
    """Let openapi-core check the request as it arrived."""
    url = urlsplit(request.target)
    seen = MockRequest(
        "http://test",
        request.method.lower(),
        url.path,
        args={name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()},
        headers=dict(request.headers),
        data=request.body or None,
        content_type=request.header("content-type") or "application/json",
    )
    api = OpenAPI.from_dict({**root, "servers": [{"url": "http://test"}]}, config=Config(spec_validator_cls=None))  # type: ignore[arg-type]
    api.validate_request(seen)


@pytest.mark.parametrize(("schema", "given", "arrives"), IN_JSON)
async def test_a_refused_value_has_its_only_reading(recorder: Recorder, schema: Any, given: Any, arrives: Any) -> None:
    """What a schema refuses arrives as the only thing that it can mean; what it accepts arrives unchanged."""
    root = document_of("json", schema)
    request = await sent(recorder, root, {"a": given})
    if arrives is NOTHING:
        assert request.body == b""
        return
    (value,) = json.loads(request.body).values()
    assert json.dumps(value) == json.dumps(arrives)
    assert Draft202012Validator(schema).is_valid(value)
    judged(root, request)


@pytest.mark.parametrize(("schema", "given"), REFUSED)
async def test_a_value_without_one_reading_is_refused(recorder: Recorder, schema: Any, given: Any) -> None:
    """What has no reading, or more than one, is refused, and nothing is sent."""
    assert "/a" in await refused(recorder, document_of("json", schema), {"a": given})


@pytest.mark.slow
@pytest.mark.parametrize(("location", "schema", "given", "arrives"), AS_TEXT)
async def test_a_number_is_its_text_where_all_is_text(
    recorder: Recorder, location: str, schema: Any, given: Any, arrives: str | None
) -> None:
    """Outside of JSON, a number and its text are sent alike, so either is taken for the other."""
    root = document_of(location, schema)
    request = await sent(recorder, root, {"body" if location == "text" else "a": given})
    assert received(request, location) == arrives
    if location in ("path", "query", "form", "text"):
        judged(root, request)


@pytest.mark.parametrize(("location", "schema", "given"), NOT_AS_TEXT)
async def test_a_number_is_not_its_text_elsewhere(recorder: Recorder, location: str, schema: Any, given: Any) -> None:
    """A number that has several texts, or is sent as JSON, is not taken for a text."""
    assert "/a" in await refused(recorder, document_of(location, schema), {"a": given})


#: An operation with two arguments of its optional body, one of which is required in it, and a parameter.
CREATE = operation(
    parameters=[{"name": "page", "in": "query", "schema": INTEGER}],
    requestBody={
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"name": TEXT, "size": INTEGER, "tags": TEXTS},
                    "required": ["name"],
                }
            }
        }
    },
)


WRAPPED: list[dict[str, Any]] = [
    {"arguments": {"id": "1", "x": 2}},
    {"params": '{"id": "1", "x": 2}'},
    {"id": "1", "body": {"x": 2}},
    {"path": {"id": "1"}, "requestBody": '{"x": "2"}'},
    {"input": {"id": 1, "x": 2, "y": None}},
]
PLACED = operation(
    path="/x/{id}",
    parameters=[{"name": "id", "in": "path", "required": True, "schema": TEXT}],
    requestBody={"required": True, "content": {"application/json": {"schema": POINT}}},
)


@pytest.mark.parametrize("arguments", WRAPPED)
async def test_arguments_in_an_object_are_arguments(recorder: Recorder, arguments: dict[str, Any]) -> None:
    """An object that is not an argument itself, under a name that says so, contains arguments."""
    request = await sent(recorder, json.loads(json.dumps(PLACED)), arguments)
    assert (request.target, json.loads(request.body)) == ("/x/1", {"x": 2})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"x": 1, "body": {"x": 2}, "id": "1"}, "/body: there is no such argument"),
        ({"user": {"x": 2}, "id": "1"}, "/user: there is no such argument"),
        ({"body": {"x": "a"}, "id": "1"}, "/x: expected integer"),
        ({"body": "x", "id": "1"}, "/body: there is no such argument"),
        ({"arguments": {"id": "1", "z": 2, "x": 1}}, "/z: there is no such argument"),
    ],
)
async def test_an_object_around_arguments_is_refused(recorder: Recorder, arguments: dict[str, Any], said: str) -> None:
    """What is given twice, or in an object of another name, is refused; what is wrong inside is said by its name."""
    assert said in await refused(recorder, json.loads(json.dumps(PLACED)), arguments)


async def test_members_of_a_body_are_put_into_it(recorder: Recorder) -> None:
    """Where the whole body is one argument and missing, what is unknown are its members, if it accepts them."""
    root = body("application/json", {"anyOf": [CAT, DOG]})
    request = await sent(recorder, json.loads(json.dumps(root)), {"kind": "cat", "lives": "9"})
    assert json.loads(request.body) == {"kind": "cat", "lives": 9}
    recorder.requests.clear()
    assert "/kind: there is no such argument; known are body" in await refused(recorder, root, {"kind": "cow"})


async def test_a_slip_is_not_taken_for_an_optional_body(recorder: Recorder) -> None:
    """A body that may be missing is not made of arguments that nobody knows."""
    root = body("application/json", {}, required=False)
    assert "/lmit: there is no such argument" in await refused(recorder, root, {"lmit": 5})


@pytest.mark.parametrize("name", ["body", "arguments"])
async def test_an_object_that_is_a_property_is_sent(recorder: Recorder, name: str) -> None:
    """Where the body takes any property, an object under such a name is one."""
    root = body("application/json", {"type": "object", "properties": {"x": INTEGER}, "additionalProperties": True})
    request = await sent(recorder, root, {name: {"x": 1}})
    assert json.loads(request.body) == {name: {"x": 1}}


async def test_everything_unset_is_no_body(recorder: Recorder) -> None:
    """Some clients send null for all that is unset: then there is no optional body, though it would need a property."""
    request = await sent(recorder, CREATE, {"page": None, "name": None, "size": None, "tags": ""})
    assert (request.target, request.body, request.header("content-type")) == ("/x", b"", None)


async def test_what_the_body_requires_is_not_left_out(recorder: Recorder) -> None:
    """Null is no way around a required property; the refusal is about the null that was sent."""
    said = await refused(recorder, CREATE, {"name": None, "size": "1"})
    assert said.splitlines()[1].startswith("- /name: expected string, not null")
    assert len(said.splitlines()) == 2


async def test_what_is_wrong_with_a_reading_is_reported(recorder: Recorder) -> None:
    """A text whose reading breaks another rule is explained by that rule, at its place inside."""
    said = await refused(recorder, CREATE, {"name": "n", "size": "1", "tags": '["a", 1]', "page": "x"})
    first, second = said.splitlines()[1:]
    assert first == '- /page: expected integer, not "x"'
    assert second.startswith("- /tags/1: expected string, not 1")


async def test_a_whole_body_is_read(recorder: Recorder) -> None:
    """A body that is one argument is read as any other: its JSON text, and null where it may be missing."""
    root = body("application/json", INTEGERS, required=False)
    assert (await sent(recorder, root, {"body": '["1", 2]'})).body == b"[1,2]"
    recorder.requests.clear()
    assert (await sent(recorder, root, {"body": None})).body == b""


TWO_KINDS = operation(
    requestBody={
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"a": TEXT}}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"f": {"type": "string", "format": "binary"}, "n": INTEGER}}
            },
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "properties": {"a": INTEGER, "n": INTEGER, "m": INTEGER}}
            },
        }
    }
)

#: Arguments, and the media type that is sent.
KINDS = [
    pytest.param({"a": "1"}, "application/json", id="the preferred one takes all"),
    pytest.param({"f": "data:,hi"}, "multipart/form-data", id="only one takes this argument"),
    pytest.param({"f": "data:,hi", "n": "1"}, "multipart/form-data", id="only one takes these arguments"),
    pytest.param({"f": "data:,hi", "a": None, "m": ""}, "multipart/form-data", id="unset arguments of others"),
    pytest.param({"m": "1"}, "application/x-www-form-urlencoded", id="the last one"),
    pytest.param({"a": 1}, "application/x-www-form-urlencoded", id="only one takes this value"),
    pytest.param({"n": 1, "contentType": "multipart/form-data"}, "multipart/form-data", id="the one that is named"),
    pytest.param({"a": "1", "contentType": None}, "application/json", id="null for the media type"),
    pytest.param({"f": "data:,hi", "contentType": ""}, "multipart/form-data", id="an empty text for the media type"),
]


@pytest.mark.parametrize(("arguments", "media_type"), KINDS)
async def test_a_content_type_is_chosen_by_what_only_it_takes(
    recorder: Recorder, arguments: dict[str, Any], media_type: str
) -> None:
    """Where no media type is named, the preferred one is sent, or else the only one that takes the arguments."""
    request = await sent(recorder, TWO_KINDS, arguments)
    assert str(request.header("content-type")).partition(";")[0] == media_type


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"n": 1},
            '/n: can be sent only with contentType "application/x-www-form-urlencoded" or "multipart/form-data"',
        ),
        ({"f": "data:,hi", "m": 1}, '/f: can be sent only with contentType "multipart/form-data"'),
        ({"m": 1, "contentType": "multipart/form-data"}, '/m: can be sent only with contentType "application/x-www'),
        ({"z": 1}, "/z: there is no such argument"),
        ({"a": "x", "contentType": "text/csv"}, "/contentType: expected one of application/json, "),
    ],
)
async def test_a_refusal_names_the_content_type(recorder: Recorder, arguments: dict[str, Any], said: str) -> None:
    """Where several media types or none take the arguments, the refusal says which one takes what."""
    assert said in await refused(recorder, TWO_KINDS, arguments)


#: What clients of three kinds send, and what arrives.
GIVEN = {"name": "n", "size": "2", "tags": '["1"]', "page": ""}
ARRIVES = {"name": "n", "size": 2, "tags": ["1"]}


@pytest.mark.slow
async def test_calls_are_read_alike_through_all_doors(
    recorder: Recorder, connect: Connect, run: Run, tmp_path: Path
) -> None:
    """A session, `callTool` with an object or its JSON text, and the command line send the same request."""
    (tmp_path / "api.json").write_text(json.dumps(CREATE))
    options = ("--spec", str(tmp_path / "api.json"), "--base-url", recorder.url)
    async with connect(*options) as client:
        await client.call_tool("op", GIVEN)
    async with connect("--discover", *options) as client:
        for arguments in (GIVEN, json.dumps(GIVEN)):
            await client.call_tool("callTool", {"toolName": "op", "arguments": arguments})
    assert run("call", "op", json.dumps(GIVEN), *options).returncode == 0
    assert run("call", "op", "name=n", "size=2", 'tags=["1"]', *options).returncode == 0
    assert [(request.target, json.loads(request.body)) for request in recorder.requests] == [("/x", ARRIVES)] * 5


async def test_pointers_come_as_json_text(recorder: Recorder) -> None:
    """The tools that expand take their pointers as an array or as its JSON text."""
    async with served(CREATE, Settings(base_url=recorder.url)) as client:
        given = {"toolName": "op", "jsonPointers": '["/properties/size"]'}
        assert json.loads(text_of(await client.call_tool("expandSchema", given)))[0]["schema"] == INTEGER


#: Words of the command line, and the query and body that are sent.
WORDS = [
    pytest.param("text", '{"a":1}', '{"a":1}', id="JSON for a text"),
    pytest.param("text", "[1]", "[1]", id="an array for a text"),
    pytest.param("text", "5", "5", id="a number for a text"),
    pytest.param("number", "1e3", 1000, id="a number of the shell"),
    pytest.param("either", '["a"]', ["a"], id="an array for a text or an array"),
    pytest.param("either", "5", "5", id="a number for a text or an array"),
    pytest.param("any", '{"a":1}', {"a": 1}, id="an object for anything"),
    pytest.param("any", "5", "5", id="a number for anything"),
    pytest.param("texts", '["5"]', ["5"], id="an array of texts"),
    pytest.param("number", "null", NOTHING, id="null"),
]


@pytest.mark.parametrize(("name", "text", "arrives"), WORDS)
def test_text_stays_text_on_the_command_line(
    run: Run, recorder: Recorder, tmp_path: Path, name: str, text: str, arrives: Any
) -> None:
    """A word is JSON where the argument takes what it says, and text where the argument wants text."""
    properties = {"text": TEXT, "number": NUMBER, "either": union(TEXT, TEXTS), "any": {}, "texts": TEXTS}
    root = body("application/json", {"type": "object", "properties": properties}, required=False)
    (tmp_path / "api.json").write_text(json.dumps(root))
    assert run("call", "op", f"{name}={text}", "--spec", "api.json", "--base-url", recorder.url).returncode == 0
    (request,) = recorder.requests
    assert json.loads(request.body or "{}") == ({} if arrives is NOTHING else {name: arrives})


#: Values that hide something from people, and how they are listed.
HIDING = {
    "tags": (["list\U000e0049\U000e0067", "b"], ["list", "b"]),
    "zero-width": (["a\u200b\u2060", "b\ufeff"], ["a", "b"]),
    "bidi": (["\u202ea\u2066"], ["a"]),
    "alike": (["a\u200b", "a"], ["a\\u200b", "a"]),
    "nothing visible": (["\u200d"], ["\\u200d"]),
    "plain": (["⚠\ufe0f", "Zürich"], ["⚠\ufe0f", "Zürich"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize("location", ["query", "body"])
async def test_hidden_characters_of_values_are_sent_but_not_shown(
    recorder: Recorder, run: Run, tmp_path: Path, name: str, location: str
) -> None:
    """Listings, expanded schemas and refusals show no character that nobody sees, the request has the document's value,
    and `check` reports the place.
    """
    values, listed = HIDING[name]
    schema = {"type": "string", "enum": values}
    whole = {"type": "object", "properties": {"v": schema}, "required": ["v"]}
    fields: dict[str, Any] = {"requestBody": {"content": {"application/json": {"schema": whole}}}}
    if location == "query":
        fields = {"parameters": [{"name": "v", "in": "query", "required": True, "schema": schema}]}
    root = operation("post", **fields)
    async with served(root, Settings(base_url=recorder.url)) as client:
        (tool,) = [each for each in await client.list_tools() if each.name == "op"]
        assert tool.input_schema["properties"]["v"]["enum"] == listed
        expanded = text_of(
            await client.call_tool("expandSchema", {"toolName": "op", "jsonPointers": ["/properties/v"]})
        )
        refusal = text_of(await client.call_tool("op", {"v": "none of them"}, raise_on_error=False))
        for shown, value in zip(listed, values, strict=True):
            await client.call_tool("op", {"v": shown})
            query = parse_qs(urlsplit(recorder.last.target).query)
            assert (json.loads(recorder.last.body)["v"] if location == "body" else query["v"][0]) == value
    for said in (expanded, refusal):
        assert without_invisible(said) == said
    (tmp_path / "api.json").write_text(json.dumps(root))
    assert ("nobody sees" in run("check", "--spec", "api.json").stdout) is (values != listed)
