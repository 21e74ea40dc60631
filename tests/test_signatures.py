"""Signatures: with --code, expandSchema shows tools as Python types, as lazily as JSON Schema."""

from __future__ import annotations

import re

import pytest

from bench.tokens import compact, count
from portkey_bridge.bridge.load import load_api
from portkey_bridge.bridge.service import Service, service_of
from portkey_bridge.schema.listed import LISTED_ANYTHING
from portkey_bridge.schema.signatures import comment, python_type
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import document, served

TYPES = [
    ({"type": "string"}, "str"),
    ({"type": "integer"}, "int"),
    ({"type": "number"}, "float"),
    ({"type": "object"}, "dict"),
    ({"type": "array"}, "list"),
    ({}, "Any"),
    ({"enum": ["a", 1, None]}, 'Literal["a", 1, null]'),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | None"),
    ({"type": "array", "items": {"type": "boolean"}}, "list[bool]"),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]"),
    ({"required": ["a-b"], "properties": {"a-b": {"type": "string"}}}, '{"a-b": str}'),
    (LISTED_ANYTHING, "Any"),
    ({"type": "array", "items": LISTED_ANYTHING}, "list[Any]"),
    ({"anyOf": [{"type": "null"}, {}]}, "Any"),
]

#: Views of single properties, and what a comment says of them.
COMMENTS = [
    ({"type": "integer", "format": "int64", "minimum": 1, "maximum": 9223372036854775807}, "minimum 1"),
    ({"type": "string", "format": "date-time"}, 'format "date-time"'),
    ({"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2}, "maxItems 2; maxLength 3"),
]


@pytest.mark.parametrize(("view", "expected"), COMMENTS, ids=lambda value: value if isinstance(value, str) else "")
def test_comments_repeat_what_python_does_not_say(view: dict[str, object], expected: str) -> None:
    """Bounds and formats, but not those that only say how many bits a number has."""
    assert comment(view) == expected


def test_properties_share_lines() -> None:
    """As many as fit are in one line; one with a comment or an object of its own is alone."""
    text = {"type": "string"}
    inner = {"type": "object", "properties": {"x": {**text, "description": "Said."}}, "required": ["x"]}
    names = {f"property{number}": text for number in range(6)}
    view = {"properties": {**names, "last": inner, "z": {**text, "default": "q"}, "y": text}}
    lines = [
        "{",
        "    " + ", ".join(f'"property{number}": str' for number in range(5)) + ",",
        '    "property5": str,',
        '    "last": {',
        '        "x": str,  # Said.',
        "    },",
        '    "z": str,  # default "q"',
        '    "y": str,',
        "}",
    ]
    assert python_type(view, is_answer=True) == "\n".join(lines)


@pytest.mark.parametrize(("view", "expected"), TYPES, ids=lambda value: value if isinstance(value, str) else "")
def test_types_of_python(view: dict[str, object], expected: str) -> None:
    """Each kind of schema has its type."""
    assert python_type(view) == expected


async def test_a_tool_is_shown_as_a_signature() -> None:
    """Arguments with what is required first, then the answer; a part by its pointer."""
    pet = {
        "type": "object",
        "required": ["name"],
        "properties": {"tag": {"enum": ["cat", "dog"], "default": "cat"}, "name": {"type": "string", "maxLength": 9}},
    }
    root = document(
        {
            "/pets": {
                "post": {
                    "operationId": "createPet",
                    "summary": "Create a pet",
                    "requestBody": {"content": {"application/json": {"schema": pet}}, "required": True},
                    "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": pet}}}},
                }
            }
        }
    )
    async with served(root, Settings(code="only")) as client:
        asked = {"toolName": "createpet", "jsonPointers": ["", "/properties/tag", "/nowhere"]}
        shown = text_of(await client.call_tool("expandSchema", asked))
    members = '    "name": str,  # maxLength 9\n    # optional:\n    "tag": Literal["cat", "dog"],  # default "cat"\n}'
    types = '    "name": str,\n    # optional:\n    "tag": Literal["cat", "dog"],\n}'
    whole, part, error = shown.split("\n\n")
    assert whole == f'# POST /pets: Create a pet\nawait call("createpet", {{\n{members})\n# returns\n{{\n{types}'
    assert part == '# /properties/tag: default "cat"\nLiteral["cat", "dog"]'
    assert error.startswith("# /nowhere: ")


async def test_what_is_optional_has_short_comments() -> None:
    """A long comment ends in an ellipsis and is whole at its pointer; patterns are left out, and stubs stay."""
    words = "First of all. " + "And so on. " * 12
    properties = {
        "must": {"type": "string", "description": words, "pattern": "a+"},
        "may": {"type": "string", "description": words, "pattern": "a+", "format": "date"},
    }
    body = {"schema": {"type": "object", "required": ["must"], "properties": properties}}
    post = {"operationId": "post", "requestBody": {"required": True, "content": {"application/json": body}}}
    async with served(document({"/a": {"post": post}}), Settings(code="only")) as client:
        asked = {"toolName": "post", "jsonPointers": ["", "/properties/may"]}
        whole, part = text_of(await client.call_tool("expandSchema", asked)).split("\n\n")
    lines = whole.splitlines()
    assert lines[2] == f'    "must": str,  # pattern "a+"; {words.strip()}'
    assert re.fullmatch(r'    "may": str,  # format "date"; First of all\. (And so on\. )+And so on…', lines[4])
    assert len(lines[4]) < 150
    assert words.strip() in part.partition("\n")[0]


async def test_what_an_answer_may_have_is_opened() -> None:
    """Documents rarely say what an answer always has, so its types are shown as far as they fit, level by level."""
    text = {"type": "string", "description": "Said."}
    inner = {"type": "object", "properties": {f"a_long_name_of_a_field_{number}": text for number in range(50)}}
    item = {"type": "object", "properties": {"id": text, "inner": inner}}
    page = {"type": "object", "properties": {"data": {"type": "array", "items": item}}}
    responses = {"200": {"description": "OK", "content": {"application/json": {"schema": page}}}}
    root = document({"/pets": {"get": {"operationId": "listPets", "responses": responses}}})
    async with served(root, Settings(code="only")) as client:
        asked = {"toolName": "listpets", "jsonPointers": ["", "/response"]}
        whole, answer = text_of(await client.call_tool("expandSchema", asked)).split("\n\n")
    assert '"data": list[{"id": str, "inner": dict}]' in whole
    assert '"id": str,  # Said.\n        "inner": dict,  # [expandSchema /response/properties/data/items/' in answer


async def test_several_tools_share_what_they_return() -> None:
    """`toolNames` shows further tools, which refer to what the ones before them return."""
    item = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "tag": {"type": "string"}}}
    ref = {"$ref": "#/components/schemas/Item"}
    page = {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": ref}}}
    operations = {"all": {"type": "array", "items": ref}, "one": ref, "same": ref, "paged": page}
    paths = {
        f"/{name}": {
            "get": {
                "operationId": name,
                "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
            }
        }
        for name, schema in operations.items()
    }
    root = document(paths, components={"schemas": {"Item": item}})
    async with served(root, Settings(code="only")) as client:

        async def shown(*names: str) -> list[str]:
            asked = {"toolName": names[0], "toolNames": [*names[1:], names[0]]}
            parts = text_of(await client.call_tool("expandSchema", asked)).split("\n\n")
            assert [part.partition('call("')[2].partition('"')[0] for part in parts] == [*names]
            return [part.partition(")\n")[2] for part in parts]

        fields = '{\n    "id": str,\n    # optional:\n    "tag": str,\n}'
        assert await shown("all", "one") == [f"# returns\nlist[{fields}]", "# returns one item of what all returns"]
        assert await shown("one", "same", "all") == [
            f"# returns\n{fields}",
            "# returns what one returns",
            '# returns\nlist["what one returns"]',
        ]
        assert (await shown("paged", "one"))[1] == '# returns one item of "data" in what paged returns'
        wrong = await client.call_tool("expandSchema", {"toolName": "one", "toolNames": ["sam"]}, raise_on_error=False)
    assert text_of(wrong).startswith("/toolNames: there is no tool 'sam'; the closest is same")


ANSWERS = [
    ({"200": {}, "default": {"code": "integer"}}, "# returns what the document does not declare"),
    ({"default": {"code": "integer"}}, '# returns\n{"code": int}'),
    ({"400": {"code": "integer"}, "201": {"name": "string"}}, '# returns\n{"name": str}'),
    ({"204": {}, "default": {"code": "integer"}}, "# returns None"),
]


@pytest.mark.parametrize(("properties", "expected"), ANSWERS, ids=["no success", "default", "created", "no content"])
async def test_the_answer_is_that_of_success(properties: dict[str, dict[str, str]], expected: str) -> None:
    """An error is never shown as the answer: `default` is one where a status of success is declared."""
    responses = {
        status: {
            "description": "Said.",
            **(
                {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {name: {"type": kind} for name, kind in each.items()},
                            }
                        }
                    }
                }
                if each
                else {}
            ),
        }
        for status, each in properties.items()
    }
    root = document({"/pets": {"get": {"operationId": "listPets", "responses": responses}}})
    async with served(root, Settings(code="only")) as client:
        shown = text_of(await client.call_tool("expandSchema", {"toolName": "listpets", "jsonPointers": [""]}))
    assert shown == f'# GET /pets\nawait call("listpets")\n{expected}'


async def test_files_are_bytes_both_ways(recorder: Recorder) -> None:
    """A program passes bytes or a handle where the signature says bytes, and gets a handle where it says so."""
    content = {"schema": {"type": "string", "format": "binary"}}
    answer = {"200": {"description": "OK", "content": {"application/octet-stream": content}}}
    body = {"required": True, "content": {"application/octet-stream": content}}
    put = {"operationId": "putFile", "requestBody": body, "responses": {"204": {"description": "Stored"}}}
    paths = {"/file": {"get": {"operationId": "getFile", "responses": answer}, "put": put}}
    recorder.answers["/file"] = (200, {"content-type": "application/octet-stream"}, b"\xff\x00")
    root = document(paths, servers=[{"url": recorder.url}])
    code = 'await call("putfile", {"body": b"\\xfe"})\nawait call("putfile", {"body": await call("getfile")})'
    async with served(root, Settings(code="only")) as client:
        asked = {"jsonPointers": [""]}
        put_file = text_of(await client.call_tool("expandSchema", {"toolName": "putfile", **asked}))
        get_file = text_of(await client.call_tool("expandSchema", {"toolName": "getfile", **asked}))
        await client.call_tool("runProgram", {"code": code})
    assert '    "body": bytes,  # A file: ' in put_file
    assert get_file.endswith("# returns bytes, as a handle")
    assert [each.body for each in recorder.requests if each.method == "PUT"] == [b"\xfe", b"\xff\x00"]


#: Names that are no identifiers of Python, unions, null and recursion, and what a program passes.
ODD = {
    "type": "object",
    "required": ["class", "x-y", "2nd", "shape", "none"],
    "properties": {
        "class": {"enum": ["a", "b"]},
        "x-y": {"type": "integer"},
        "2nd": {"type": "array", "items": {"type": "string"}},
        "none": {"type": ["string", "null"]},
        "shape": {
            "oneOf": [
                {"type": "object", "required": ["r"], "properties": {"r": {"type": "number"}}},
                {"type": "object", "required": ["w", "h"], "properties": {"w": {}, "h": {"type": "integer"}}},
            ]
        },
        "next": {"$ref": "#/components/schemas/Odd"},
    },
}


async def test_a_call_can_be_written_from_the_signature(recorder: Recorder) -> None:
    """Keywords of Python, unions, null and recursive types are shown so that the call is right at once."""
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Odd"}}}}
    post = {"post": {"operationId": "makeOdd", "requestBody": body, "responses": {"204": {"description": "Made"}}}}
    root = document({"/odd": post}, components={"schemas": {"Odd": ODD}}, servers=[{"url": recorder.url}])
    async with served(root, Settings(code="only")) as client:
        shown = text_of(await client.call_tool("expandSchema", {"toolName": "makeodd", "jsonPointers": [""]}))
        inner = '{"class": "b", "x-y": 1, "2nd": ["z"], "none": None, "shape": {"r": 0.5}}'
        code = f'await call("makeodd", {{**{inner}, "next": {inner}}})\n"made"'
        assert text_of(await client.call_tool("runProgram", {"code": code})) == "made"
    assert (
        shown
        == """# POST /odd
await call("makeodd", {
    "class": Literal["a", "b"], "x-y": int, "2nd": list[str], "none": str | None,
    "shape": {"r": float} | {"w": Any, "h": int},
    # optional:
    "next": dict,  # [expandSchema /properties/next]
})
# returns None"""
    )


@pytest.fixture(scope="module")
def portkey() -> Service:
    """The Portkey API as it is served to programs."""
    settings = Settings(code="only")
    return service_of(load_api(settings), settings)


@pytest.mark.slow
def test_a_signature_loses_no_stub(portkey: Service) -> None:
    """Each pointer of the view is in the signature, and leads to a type."""
    for tool in portkey.tools:
        pointers = set(re.findall(r"\[expandSchema (\S+?)\]", compact(portkey.expand(tool, ""))))
        assert pointers <= set(re.findall(r"\[expandSchema (\S+?)\]", str(portkey.signature(tool))))
        for pointer in pointers:
            assert portkey.python_part(tool, pointer).startswith(f"# {pointer}")


@pytest.mark.slow
def test_a_signature_costs_less_than_the_schema(portkey: Service) -> None:
    """The same views of all arguments have at least a tenth fewer tokens as Python types than as JSON."""
    views = [{**portkey.expand(tool, ""), "description": ""} for tool in portkey.tools]
    assert sum(map(count, map(python_type, views))) < 0.9 * sum(map(count, map(compact, views)))
