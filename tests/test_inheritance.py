"""Children of a discriminated parent, by `allOf`: offered, described, accepted and checked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastmcp import Client
from jsonschema import Draft202012Validator

from portkey_bridge.document.parse import Document
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import api_of, body, refused, sent, served

PET = {"$ref": "#/components/schemas/Pet"}
CLAWS = {"type": "object", "required": ["claws"], "properties": {"claws": {"type": "integer"}}}
BARK = {"type": "object", "properties": {"bark": {"type": "string"}}}


def fresh(value: Any) -> Any:
    """Return a copy whose parts are its own, as in a document from a file: normalizing changes it in place."""
    return json.loads(json.dumps(value))


def pets(**changes: Any) -> dict[str, Any]:
    """Return the schemas of pets, some of them changed or added."""
    schemas: dict[str, Any] = {
        "Pet": {
            "type": "object",
            "required": ["petType"],
            "properties": {"petType": {"type": "string"}},
            "discriminator": {"propertyName": "petType", "mapping": {"cat": "#/components/schemas/Cat"}},
        },
        "Cat": {"allOf": [PET, CLAWS]},
        "Dog": {"allOf": [PET, BARK]},
    }
    whole: dict[str, Any] = fresh({**schemas, **changes})
    return whole


def flat(**changes: Any) -> dict[str, Any]:
    """Return a document whose operation `op` takes a pet."""
    return {**body("application/json", fresh(PET)), "components": {"schemas": pets(**changes)}}


def nested(**changes: Any) -> dict[str, Any]:
    """Return a document whose operation `op` takes an object with a pet in it."""
    whole = {"type": "object", "required": ["pet"], "properties": {"pet": PET}}
    return {**body("application/json", fresh(whole)), "components": {"schemas": pets(**changes)}}


CLOSED = {"Pet": pets()["Pet"] | {"additionalProperties": False}}
ENUMERATED: dict[str, Any] = {
    "Pet": {**pets()["Pet"], "discriminator": {"propertyName": "petType"}},
    "Cat": {"allOf": [PET, {**CLAWS, "properties": {"claws": {"type": "integer"}, "petType": {"enum": ["cat"]}}}]},
}
IN_CAPITALS = {
    "Pet": {
        **pets()["Pet"],
        "properties": {"petType": {"type": "string", "enum": ["cat", "dog"]}},
        "discriminator": {"propertyName": "petType"},
    }
}
EXTENDED = {
    "Pet": {**pets()["Pet"], "discriminator": {"propertyName": "petType"}},
    "Cat": {"x-ms-discriminator-value": "cat", "allOf": [PET, CLAWS]},
}
TWO_LEVELS = {
    "Pet": {**pets()["Pet"], "discriminator": {"propertyName": "petType", "mapping": {"cat": "Persian"}}},
    "Feline": {"allOf": [PET, {"properties": {"tail": {"type": "boolean"}}}]},
    "Persian": {"allOf": [{"$ref": "#/components/schemas/Feline"}, CLAWS]},
    "Cat": {"type": "string"},
}
BESIDE = {"Cat": {**PET, **CLAWS}}
NULLABLE = {"Pet": {**pets()["Pet"], "type": ["object", "null"]}}
ALIAS = {"Animal": {"description": "Any.", "allOf": [PET]}}
NOT_INHERITING = {"Cat": {**CLAWS, "additionalProperties": False}} | CLOSED
UNDECLARED = {
    "Pet": {
        "type": "object",
        "discriminator": {"propertyName": "petType", "mapping": {"cat": "#/components/schemas/Cat"}},
    }
}
ALL_CLOSED = {
    "Pet": CLOSED["Pet"],
    "Cat": {"allOf": [PET, {**CLAWS, "additionalProperties": False}], "additionalProperties": False},
}
WRITTEN_OTHERWISE = {
    "property not declared": UNDECLARED,
    "closed children": ALL_CLOSED,
    "by the name of its schema in a mapping": {
        "Pet": {**pets()["Pet"], "discriminator": {"propertyName": "petType", "mapping": {"cat": "Cat"}}}
    },
    "closed parent": CLOSED,
    "value in the child": ENUMERATED,
    "value in other letters": IN_CAPITALS,
    "value in an extension": EXTENDED,
    "over two levels": TWO_LEVELS,
    "next to the reference": BESIDE,
    "nullable parent": NULLABLE,
    "beside an alias": ALIAS,
    "in the mapping only": NOT_INHERITING,
}


@pytest.mark.parametrize("changes", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
async def test_discriminated_parent(recorder: Recorder, changes: dict[str, Any]) -> None:
    """A child's properties are arguments beside its parent's; which are required, the discriminator decides."""
    root = flat(**changes)
    request = await sent(recorder, fresh(root), {"petType": "cat", "claws": 3})
    assert json.loads(request.body) == {"petType": "cat", "claws": 3}
    recorder.requests.clear()
    assert "/claws: is required" in await refused(recorder, fresh(root), {"petType": "cat"})
    assert "/claws: expected integer" in await refused(recorder, fresh(root), {"petType": "cat", "claws": "x"})
    request = await sent(recorder, fresh(root), {"petType": "dog"})
    assert json.loads(request.body) == {"petType": "dog"}


@pytest.mark.parametrize("changes", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
async def test_discriminated_parent_inside(recorder: Recorder, changes: dict[str, Any]) -> None:
    """The same holds where the parent is the schema of a property."""
    root = nested(**changes)
    request = await sent(recorder, fresh(root), {"pet": {"petType": "cat", "claws": 3}})
    assert json.loads(request.body) == {"pet": {"petType": "cat", "claws": 3}}
    recorder.requests.clear()
    assert "/pet/claws: is required" in await refused(recorder, fresh(root), {"pet": {"petType": "cat"}})
    wrong = {"pet": {"petType": "cat", "claws": "x"}}
    assert "/pet/claws: expected integer" in await refused(recorder, fresh(root), wrong)
    await sent(recorder, fresh(root), {"pet": {"petType": "dog"}})


async def schema_of(client: Client[Any], pointer: str) -> Any:
    result = await client.call_tool("expandSchema", {"toolName": "op", "jsonPointers": [pointer]})
    return json.loads(text_of(result))[0]["schema"]


async def test_discriminated_parent_is_listed_with_its_children() -> None:
    """The listing and expandSchema name each child's properties and the value that means it."""
    async with served(flat(), Settings()) as client:
        (tool, *_) = [tool for tool in await client.list_tools() if tool.name == "op"]
        whole = await schema_of(client, "")
    listed = tool.input_schema
    assert listed["required"] == ["petType"]
    assert list(listed["properties"]) == ["petType", "claws", "bark"]
    assert listed["properties"]["petType"]["description"] == (
        'Where petType is "cat": needs claws. Where petType is "Dog": takes bark.'
    )
    assert [branch["description"] for branch in whole["then"]["anyOf"]] == [
        'petType is "cat".',
        'petType is "Dog".',
        "petType is anything else.",
    ]
    async with served(nested(), Settings()) as client:
        pet = await schema_of(client, "/properties/pet")
        cat = await schema_of(client, "/properties/pet/anyOf/0")
    assert list(pet["properties"]) == ["petType"]
    assert list(cat["properties"]) == ["petType", "claws"]
    assert cat["required"] == ["petType", "claws"]
    assert cat["properties"]["petType"] == {"type": "string", "enum": ["cat"]}


def swagger(**changes: Any) -> dict[str, Any]:
    """Return a document of Swagger 2.0 whose operation `op` takes a pet."""
    definitions = json.loads(json.dumps(pets(**changes)).replace("#/components/schemas/", "#/definitions/"))
    definitions["Pet"]["discriminator"] = "petType"
    parameter = {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pet"}}
    paths = {"/x": {"post": {"operationId": "op", "parameters": [parameter], "responses": {}}}}
    return {"swagger": "2.0", "info": {"title": "T", "version": "1"}, "paths": paths, "definitions": definitions}


async def test_discriminated_parent_of_swagger(recorder: Recorder) -> None:
    """In Swagger 2.0, where the name of a definition is its value, the same holds."""
    request = await sent(recorder, swagger(), {"petType": "Cat", "claws": 3})
    assert json.loads(request.body) == {"petType": "Cat", "claws": 3}
    recorder.requests.clear()
    assert "/claws: is required" in await refused(recorder, swagger(), {"petType": "Cat"})
    extended = swagger(Cat={**pets()["Cat"], "x-discriminator-value": "cat"})
    assert "/claws: is required" in await refused(recorder, extended, {"petType": "cat"})


async def test_discriminated_parent_keeps_what_refers_into_it(recorder: Recorder) -> None:
    """References to a child, and into a parent, mean what they meant."""
    whole = {
        "type": "object",
        "properties": {
            "cat": {"$ref": "#/components/schemas/Cat"},
            "kind": {"$ref": "#/components/schemas/Pet/properties/petType"},
        },
    }
    root = {**body("application/json", fresh(whole)), "components": {"schemas": pets()}}
    await sent(recorder, fresh(root), {"cat": {"petType": "Dog", "claws": 1, "bark": 5}, "kind": "x"})
    recorder.requests.clear()
    assert "/kind: expected string" in await refused(recorder, root, {"kind": 1})


async def test_discriminated_parent_in_a_union_and_in_itself(recorder: Recorder) -> None:
    """A parent as a branch of a union, and one that contains itself, are read once and checked at every depth."""
    friends = {**pets()["Pet"]["properties"], "friends": {"type": "array", "items": PET}}
    root = nested(Pet={**pets()["Pet"], "properties": friends})
    root["components"]["schemas"]["Either"] = {"oneOf": [fresh(PET), {"type": "string"}]}
    schema = root["paths"]["/x"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema["properties"]["pet"] = {"$ref": "#/components/schemas/Either"}
    dog: Any = {"petType": "Dog", "friends": [{"petType": "Dog", "friends": [{"petType": "cat", "claws": 1}]}]}
    await sent(recorder, fresh(root), {"pet": dog})
    recorder.requests.clear()
    del dog["friends"][0]["friends"][0]["claws"]
    assert "/pet/friends/0/friends/0/claws" in await refused(recorder, root, {"pet": dog})


def validator_of(root: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of the body of a normalized document's operation."""
    schema = root["paths"]["/x"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**schema, **root})


def test_discriminated_parent_is_a_json_schema() -> None:
    """A validator that knows nothing of discriminators judges the normalized schemas in the same way."""
    validator = validator_of(api_of(nested()).root)
    assert validator.is_valid({"pet": {"petType": "cat", "claws": 1}})
    assert not validator.is_valid({"pet": {"petType": "cat"}})
    assert not validator.is_valid({"pet": {"petType": "Dog", "bark": 1}})
    assert validator.is_valid({"pet": {"petType": "bird", "bark": 1}})


def test_discriminated_parent_with_very_many_children_says_so() -> None:
    """Of more children than can be told apart only what their parent says is known, with a warning."""
    many = {f"Pet{number}": {"allOf": [PET, BARK]} for number in range(600)}
    root = normalize(Document("test", "file:///test", nested(**many)))
    assert [repair for repair in root.repairs if "more than 500 schemas inherit" in repair]
    assert validator_of(root.root).is_valid({"pet": {"petType": "cat"}})
