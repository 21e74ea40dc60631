"""References: to places, to anchors, to other files, to each other, and to nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

from portkey_bridge.document.parse import Document, Retrieve, document_of, resource_of
from portkey_bridge.document.sources import others_of, read_source
from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.normalize import Normalized, normalize
from portkey_bridge.openapi.pointers import encode_token, follow, lookup
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.tools.catalog import build_tools
from tests.support import body

HEAD = {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}}


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Write files; give the first."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder / next(iter(files))


def with_schemas(**schemas: Any) -> dict[str, Any]:
    """Return a document that has these schemas only."""
    return {**HEAD, "paths": {}, "components": {"schemas": schemas}}


def in_memory(root: dict[str, Any]) -> Normalized:
    """Normalize a document that has no files beside it."""
    return normalize(Document("api.yaml", "file:///folder/api.yaml", root))


def files_beside(document: Document) -> Retrieve:
    """Return what reads the other files that a document refers to."""
    read_other = others_of(document.uri)
    return lambda uri: resource_of(read_other(uri))


def accepts(root: dict[str, Any], name: str, value: Any) -> bool:
    """Ask jsonschema, which resolves the references by itself."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": root["components"], **_others(root)}
    return bool(Draft202012Validator(schema, registry=Registry()).is_valid(value))


def _others(root: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in root.items() if key.startswith("x-")}


@pytest.mark.parametrize("token", ["plain", "a/b", "a~b", "a b", "a%20b", "ä", "~1", "{id}", "#", '"', "\x1b"])
def test_encoded_token_is_found_again(token: str) -> None:
    """A pointer that is written with `encode` leads to the key that it was made of."""
    assert lookup({token: "found"}, f"#/{encode_token(token)}") == "found"


def test_follow_refuses_a_circle() -> None:
    """References that lead back to themselves are refused with the reference."""
    with pytest.raises(DanglingReference, match="leads back to itself"):
        follow({"a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}, {"$ref": "#/a"})


POINTERS = [
    pytest.param("#/components/schemas/a~1b", "a/b", id="escaped slash"),
    pytest.param("#/components/schemas/a~0b", "a~b", id="escaped tilde"),
    pytest.param("#/components/schemas/a%20b", "a b", id="percent-encoded"),
    pytest.param("#/components/schemas/a b", "a b", id="not encoded"),
    pytest.param("#/components/schemas/a+b", "a b", id="plus for a space"),
    pytest.param("#/components/schemas/a%2Fb", "a/b", id="slash encoded by percent: part of a token"),
    pytest.param("#/components/schemas/%E5%AD%97", "字", id="not ASCII"),
    pytest.param("api.yaml#/components/schemas/x", "x", id="the document by its own name"),
    pytest.param("./api.yaml#/components/schemas/x", "x", id="by its own name in its folder"),
]


@pytest.mark.parametrize(("reference", "name"), POINTERS)
def test_pointer(reference: str, name: str) -> None:
    """A reference finds its schema however it is encoded."""
    if "%2F" in reference:
        reference = reference.replace("%2F", "~1")
    root, repairs = in_memory(with_schemas(**{name: {"type": "integer"}, "Use": {"$ref": reference}}))

    assert repairs == ()
    assert accepts(root, "Use", 1)
    assert not accepts(root, "Use", "1")


FILES: dict[str, Any] = {
    "spec/api.yaml": {
        **HEAD,
        "paths": {
            "/pets": {"$ref": "paths/pets.yaml", "summary": "Said beside the reference."},
            "/home": {"$ref": "../common.yaml#/paths/~1home"},
        },
        "components": {"schemas": {"Pet": {"$ref": "./schemas/Pet.json"}, "Name": {"type": "string"}}},
    },
    "spec/paths/pets.yaml": {
        "get": {
            "operationId": "listPets",
            "parameters": [{"$ref": "../../common.yaml#/parameters/Limit"}],
            "responses": {"200": {"$ref": "../../common.yaml#/responses/Ok"}},
        },
        "post": {
            "operationId": "addPet",
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "../schemas/Pet.json"}}}},
        },
    },
    "spec/schemas/Pet.json": {
        "type": "object",
        "properties": {
            "name": {"$ref": "../api.yaml#/components/schemas/Name"},
            "parent": {"$ref": "Pet.json"},
            "friends": {"type": "array", "items": {"$ref": "#"}},
            "size": {"$ref": "#/$defs/Size"},
        },
        "$defs": {"Size": {"type": "integer"}},
    },
    "common.yaml": {
        "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"$ref": "#/schemas/Count"}}},
        "schemas": {"Count": {"type": "integer"}},
        "responses": {"Ok": {"description": "Fine"}},
        "paths": {"/home": {"get": {"operationId": "home"}}},
    },
}


def test_several_files(tmp_path: Path) -> None:
    """Path items, parameters, responses and schemas lie in other files, which refer to each other and back."""
    document = document_of(read_source(str(write(tmp_path, FILES))))
    root, repairs = normalize(document, files_beside(document))
    api = read_api(root, document.uri)
    tools = build_tools(api)

    assert (repairs, api.skipped) == ((), ())
    assert [tool.name for tool in tools] == ["listpets", "addpet", "home"]
    assert tools[0].operation.responses["200"]["description"] == "Fine"
    add = tools[1]
    add.validate({"name": "Rex", "parent": {"name": "Max", "friends": [{"size": 1}]}})
    wrong = list(add.arguments.violations({"parent": {"friends": [{"name": 1}, {"size": "big"}]}}))
    assert {violation.pointer for violation in wrong} == {"/parent/friends/0/name", "/parent/friends/1/size"}
    assert list(tools[0].arguments.violations({"limit": "many"})) != []


def test_each_file_is_read_once(tmp_path: Path) -> None:
    """However often a file is referred to, and in however many spellings, it is retrieved once."""
    document = document_of(read_source(str(write(tmp_path, FILES))))
    retrieve, asked = files_beside(document), []

    def recording(uri: str) -> Document:
        asked.append(uri.rpartition("/")[2])
        return retrieve(uri)

    normalize(document, recording)

    assert sorted(asked) == ["Pet.json", "common.yaml", "pets.yaml"]


REFUSED = [
    pytest.param("missing.yaml#/A", "missing.yaml: cannot be read", id="no such file"),
    pytest.param("https://example.com/a.yaml#/A", "example.com/a.yaml: is on another host", id="network"),
    pytest.param("../" * 40 + "etc/passwd", "more than 2 folders above", id="far above"),
    pytest.param("../../../../passwd", "not a .json, .yaml or .yml file", id="no document above"),
    pytest.param("file:///etc/hosts", "folders above the document", id="elsewhere by its full name"),
    pytest.param("notes.txt#/A", "not a .json, .yaml or .yml file", id="something else"),
    pytest.param(".secret/key.yaml#/A", "is hidden", id="hidden"),
    pytest.param("broken.yaml#/A", "broken.yaml:2:1: does not parse", id="no YAML"),
    pytest.param("link.yaml#/A", "not a .json, .yaml or .yml file", id="link to something else"),
    pytest.param("http://[::1/a.yaml", "", id="no URL"),
]


@pytest.mark.parametrize(("reference", "problem"), REFUSED)
def test_refused_file(tmp_path: Path, reference: str, problem: str) -> None:
    """A file that a document may not or can't have is said, and a schema that refers to it accepts any value."""
    folder = tmp_path / "a" / "b" / "c" / "d"
    path = write(
        folder,
        {
            "api.json": with_schemas(
                A={"$ref": reference}, B={"type": "object", "properties": {"a": {"$ref": reference}}}
            ),
            "notes.txt": "{}",
            ".secret/key.yaml": "{A: {type: string}}",
            "broken.yaml": "a: [",
        },
    )
    (folder / "link.yaml").symlink_to(folder / "notes.txt")
    document = document_of(read_source(str(path)))
    root, repairs = normalize(document, files_beside(document))

    assert root["components"]["schemas"]["A"] == {}
    assert any(problem in repair for repair in repairs)
    assert sum("any value is accepted" in repair for repair in repairs) == 1, "said once, with both places"
    assert str(tmp_path) not in " ".join(repairs)


def test_files_that_a_set_of_documents_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document refers to what its set keeps far above it, as Azure's do, but not to the home folder it is in."""
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    folder = tmp_path / "set" / "storage" / "stable" / "2021"
    path = write(
        folder,
        {
            "api.json": with_schemas(
                A={"$ref": "../../../common.json#/A"},
                B={"$ref": "../../../../private.json#/A"},
                C={"$ref": "../../private.json#/A"},
            ),
            "../../../common.json": '{"A": {"type": "string"}}',
            "../../../../private.json": '{"A": {"type": "string"}}',
            "../../private.json": '{"A": {"type": "string"}}',
        },
    )
    document = document_of(read_source(str(path)))
    root, repairs = normalize(document, files_beside(document))
    schemas = root["components"]["schemas"]
    assert [Shapes(root)(schemas[name]) for name in "ABC"] == [{"type": "string"}, {}, {"type": "string"}]
    assert any("more than 2 folders above" in repair for repair in repairs)


def test_dangling_path_item_costs_its_operations_and_a_parameter_itself(tmp_path: Path) -> None:
    """What is no schema and leads nowhere costs itself, and the operations of which nothing is left."""
    document = {
        **HEAD,
        "paths": {
            "/a": {"$ref": "missing.yaml"},
            "/b": {
                "get": {"parameters": [{"$ref": "#/components/parameters/Nothing"}]},
                "put": {"operationId": "put"},
            },
        },
    }
    read = document_of(read_source(str(write(tmp_path, {"api.json": document}))))
    api = read_api(normalize(read, files_beside(read)).root, read.uri)

    assert [(operation.method, operation.path) for operation in api.operations] == [("GET", "/b"), ("PUT", "/b")]
    assert [(skipped.method, skipped.path) for skipped in api.skipped] == [("every method of", "/a")]
    assert "#/components/parameters/Nothing" in api.repairs[0]


NAMED = [
    pytest.param({"$anchor": "count", "type": "integer"}, "#count", id="anchor"),
    pytest.param({"$id": "count.json", "type": "integer"}, "count.json", id="relative id"),
    pytest.param({"$id": "https://example.com/count", "type": "integer"}, "https://example.com/count", id="full id"),
    pytest.param(
        {"$id": "count.json", "$defs": {"n": {"$anchor": "n", "type": "integer"}}, "$ref": "#/$defs/n"},
        "count.json#n",
        id="anchor inside an id, and # of the id",
    ),
    pytest.param({"$dynamicAnchor": "count", "type": "integer"}, "#count", id="dynamic anchor"),
    pytest.param({"$ref": "#/components/schemas/Int"}, "#/components/schemas/Named", id="reference to a reference"),
    pytest.param({"$ref": "#/components/schemas/Deep/properties/n"}, "#/components/schemas/Named", id="into a schema"),
    pytest.param({"$ref": "#/components/schemas/Alias/properties/n"}, "#/components/schemas/Named", id="through one"),
]


@pytest.mark.parametrize(("schema", "reference"), NAMED)
def test_named_schema(schema: Any, reference: str) -> None:
    """A schema is found by `$id` and `$anchor`, and only local pointers are left."""
    root, repairs = in_memory(
        with_schemas(
            Use={"$ref": reference},
            Named=schema,
            Int={"type": "integer"},
            Deep={"properties": {"n": {"type": "integer"}}},
            Alias={"$ref": "#/components/schemas/Deep"},
        )
    )

    assert repairs == ()
    assert accepts(root, "Use", 1)
    assert not accepts(root, "Use", "1")
    assert "$id" not in json.dumps(root)
    assert "nchor" not in json.dumps(root)


def test_dynamic_reference() -> None:
    """A generic list accepts what any of its specializations accepts; its placeholder that fits nothing is left out."""
    root, repairs = in_memory(
        with_schemas(
            Page={
                "$id": "page",
                "type": "object",
                "properties": {"items": {"type": "array", "items": {"$dynamicRef": "#item"}}},
                "$defs": {"item": {"$dynamicAnchor": "item", "not": {}}},
            },
            Pets={"$id": "pets", "$ref": "page", "$defs": {"item": {"$dynamicAnchor": "item", "type": "string"}}},
        )
    )

    assert repairs == ()
    assert accepts(root, "Pets", {"items": ["Rex"]})
    assert not accepts(root, "Pets", {"items": [1]})


def test_self_names_the_document() -> None:
    """OpenAPI 3.2's `$self` is a name of the document, by which it may refer to itself."""
    root, repairs = in_memory(
        with_schemas(A={"type": "integer"}, B={"$ref": "https://example.com/api#/components/schemas/A"})
        | {"$self": "https://example.com/api", "openapi": "3.2.0"}
    )

    assert repairs == ()
    assert not accepts(root, "B", "1")


SCHEMA_A = {"$ref": "#/components/schemas/A"}
OTHER = "https://example.com/api/schemas/other.yaml"


@pytest.mark.parametrize(
    ("reference", "own"),
    [
        pytest.param("schemas/other.yaml#/components/schemas/A", None, id="a relative reference"),
        pytest.param(f"{OTHER}#/components/schemas/A", None, id="the URI of a file beside it"),
        pytest.param("schemas/other.yaml#/components/schemas/A", OTHER, id="a file with its own name"),
        pytest.param("schemas/other.yaml#/components/schemas/B", "https://example.org/else", id="a name elsewhere"),
    ],
)
def test_self_is_the_base_of_references(tmp_path: Path, reference: str, own: str | None) -> None:
    """A reference relative to `$self`, or a URI below it, leads to the file that is there from the document on disk."""
    info = {"openapi": "3.2.0", "info": {"title": "T", "version": "1"}}
    schemas: dict[str, Any] = {"A": {"type": "integer"}, "B": {"$ref": "more.yaml#/A"}}
    other = {**info, **({"$self": own} if own else {}), "components": {"schemas": schemas}}
    main = {**info, "$self": "https://example.com/api/main", "components": {"schemas": {"C": {"$ref": reference}}}}
    main["paths"] = {"/x": {"get": {"parameters": [{"name": "q", "in": "query", "schema": {"$ref": reference}}]}}}
    write(
        tmp_path,
        {"spec/schemas/other.yaml": other, "spec/schemas/more.yaml": {"A": {"type": "integer"}}, "spec/api.yaml": main},
    )
    document = document_of(read_source(str(tmp_path / "spec" / "api.yaml")))
    root, repairs = normalize(document, files_beside(document))
    (tool,) = build_tools(read_api(root, "file:///test"))
    assert repairs == ()
    assert list(tool.arguments.violations({"q": 1})) == []
    assert list(tool.arguments.violations({"q": "x"})) != []


def test_a_uri_that_is_no_file_is_reported_as_it_is(tmp_path: Path) -> None:
    """Where no file is in the place of a URI below `$self`, the warning is about the URI alone."""
    main = with_schemas(A={"$ref": "https://example.com/api/other.yaml#/A"}) | {"$self": "https://example.com/api/main"}
    main["paths"] = {"/x": {"get": {"parameters": [{"name": "q", "in": "query", "schema": SCHEMA_A}]}}}
    write(tmp_path, {"api.yaml": {**main, "openapi": "3.2.0"}})
    document = document_of(read_source(str(tmp_path / "api.yaml")))
    _, repairs = normalize(document, files_beside(document))
    assert all("https://example.com/api/other.yaml" in repair for repair in repairs)
    assert repairs


def test_mapping_of_a_discriminator_leads_to_schemas() -> None:
    """The values of a mapping, names or references, become local references."""
    root, _ = in_memory(
        with_schemas(
            Pet={
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "Cat", "dog": "#/components/schemas/Dog"}}
            },
            Cat={"type": "object"},
            Dog={"type": "object"},
        )
    )

    assert root["x-families"]["Pet"]["discriminator"]["mapping"] == {
        "cat": "#/components/schemas/Cat",
        "dog": "#/components/schemas/Dog",
    }


CIRCLES: list[Any] = [
    pytest.param({"A": {"$ref": "#/components/schemas/A"}}, 1, id="itself"),
    pytest.param(
        {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}, 1, id="each other"
    ),
    pytest.param({"A": {"allOf": [{"$ref": "#/components/schemas/A"}, {"type": "integer"}]}}, 1, id="allOf itself"),
    pytest.param({"A": {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "integer"}]}}, 1, id="anyOf itself"),
    pytest.param({"A": {"not": {"$ref": "#/components/schemas/A"}}}, 1, id="not itself"),
    pytest.param(
        {"A": {"properties": {"a": {"$ref": "#/components/schemas/A"}}, "type": "object"}},
        {"a": {"a": {}}},
        id="by a property: no circle",
    ),
]


@pytest.mark.parametrize(("schemas", "value"), CIRCLES)
def test_circle_comes_to_an_end(schemas: dict[str, Any], value: Any) -> None:
    """A schema that leads back to itself on the spot is opened there, and accepts no less than it did."""
    root, _ = in_memory(with_schemas(**schemas))

    assert accepts(root, "A", value)


def test_inheritance_by_union_and_allof() -> None:
    """A parent that is `oneOf` its children, which are `allOf` the parent, keeps its properties in each child."""
    child = {"allOf": [{"$ref": "#/components/schemas/Pet"}, {"properties": {"claws": {"type": "integer"}}}]}
    union = [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}]
    pet = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}, "oneOf": union}
    for order in ({"Pet": pet, "Cat": child, "Dog": child}, {"Dog": child, "Cat": child, "Pet": pet}):
        root, repairs = in_memory(json.loads(json.dumps(with_schemas(**order))))

        assert repairs == ()
        assert accepts(root, "Cat", {"name": "Tom", "claws": 4})
        assert not accepts(root, "Cat", {"claws": 4})
        assert not accepts(root, "Pet", {"name": "Tom", "claws": "sharp"})


@pytest.mark.slow
def test_long_chains_are_refused_or_shortened() -> None:
    """A chain of references ends in what it leads to, however long it is; inheritance that deep is cut, and said."""
    chain = {f"S{n}": {"$ref": f"#/components/schemas/S{n + 1}"} for n in range(30_000)}
    heirs = {f"H{n}": {"allOf": [{"$ref": f"#/components/schemas/H{n + 1}"}]} for n in range(10_000)}
    root, repairs = in_memory(with_schemas(**chain, S30000={"type": "integer"}, **heirs, H10000={"type": "integer"}))

    for name in ("S0", "S20000", "S29990"):
        assert accepts(root, name, 1)
        assert not accepts(root, name, "1")
    assert accepts(root, "H0", 1)
    assert [repair for repair in repairs if "composed of too many others" not in repair] == []


@pytest.mark.slow
def test_a_chain_is_passed_once() -> None:
    """Thousands that begin a long chain of references have what it leads to, or, where that is a circle, nothing."""
    end = {"name": "page", "in": "query", "schema": {"type": "integer"}}
    chain = {f"P{n}": {"$ref": f"#/components/parameters/P{n + 1}"} for n in range(20_000)} | {"P20000": end}
    circle = {f"C{n}": {"$ref": f"#/components/parameters/C{min(n + 1, 19_999)}"} for n in range(20_000)}
    parameters = [{"$ref": "#/components/parameters/P0"}, {"$ref": "#/components/parameters/C0"}]
    paths = {f"/{n}": {"get": {"parameters": parameters}} for n in range(2000)}
    api = read_api(
        in_memory({**HEAD, "paths": paths, "components": {"parameters": chain | circle}}).root, "file:///a.yaml"
    )

    assert {tuple(each.name for each in operation.parameters) for operation in api.operations} == {("page",)}


def test_a_discriminator_names_what_a_chain_leads_to() -> None:
    """A mapping and a branch that name one schema by different references to it mean the same."""
    reference = "#/components/schemas/{}".format
    pet = {
        "oneOf": [{"$ref": reference("Feline")}, {"$ref": reference("Dog")}],
        "discriminator": {"propertyName": "kind", "mapping": {"tom": reference("Cat"), "rex": reference("Dog")}},
    }
    cat = {"type": "object", "properties": {"kind": {"type": "string"}}}
    root = in_memory(with_schemas(Pet=pet, Feline={"$ref": reference("Cat")}, Cat=cat, Dog=cat)).root
    named = root["components"]["schemas"]["Pet"]

    assert [branch["$ref"] for branch in named["oneOf"]] == list(named["discriminator"]["mapping"].values())


def test_circle_between_path_items() -> None:
    """Path items that refer to each other cost their operations."""
    root = {**HEAD, "paths": {"/a": {"$ref": "#/paths/~1b"}, "/b": {"$ref": "#/paths/~1a"}, "/c": {"get": {}}}}
    api = read_api(in_memory(root).root, "file:///api.yaml")

    assert [operation.path for operation in api.operations] == ["/c"]
    assert [skipped.path for skipped in api.skipped] == ["/a", "/b"]


def test_schemas_wound_into_each_other_come_to_an_end() -> None:
    """Where every schema is a union of all the others, or each names the next one twice, judging a value ends."""
    names = [f"S{n}" for n in range(60)]
    schemas: dict[str, Any] = {
        name: {"anyOf": [{"$ref": f"#/components/schemas/{other}"} for other in names]} for name in names
    }
    schemas |= {f"D{n}": {"allOf": [{"$ref": f"#/components/schemas/D{n + 1}"}] * 2} for n in range(40)}
    root, repairs = in_memory(with_schemas(**schemas, D40={"type": "integer"}))

    assert accepts(root, "S0", 1)
    assert accepts(root, "D0", 1)
    assert any("composed of too many others" in repair for repair in repairs)


BAR = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}

#: A schema of the components, and the pointer of a `$ref` in it with the target that it means.
RELATIVE = [
    pytest.param(
        {"type": "object", "$defs": {"Bar": BAR}, "properties": {"b": {"$ref": "#/$defs/Bar"}}},
        "#/components/schemas/A/$defs/Bar",
        id="definitions of the schema around it",
    ),
    pytest.param(
        {"$defs": {"Bar": {}}, "properties": {"b": {"type": "object", "definitions": {"Bar": BAR}, "items": {}}}},
        None,
        id="nothing to read",
    ),
    pytest.param(
        {"type": "object", "properties": {"b": {"$ref": "#"}}}, "#/components/schemas/A", id="the schema itself"
    ),
    pytest.param(
        {"type": "object", "properties": {"a": BAR, "b": {"$ref": "#/properties/a"}}},
        "#/components/schemas/A/properties/a",
        id="a property of the outermost schema",
    ),
    pytest.param(
        {"type": "object", "$defs": {"Bar": BAR}, "properties": {"b": {"$ref": "#/components/schemas/A#/$defs/Bar"}}},
        "#/components/schemas/A/$defs/Bar",
        id="two fragments",
    ),
]


@pytest.mark.parametrize(("schema", "target"), RELATIVE)
def test_a_reference_that_leads_nowhere_may_be_relative_to_the_schema_around_it(
    schema: dict[str, Any], target: str | None
) -> None:
    """Generators embed JSON Schemas whole, with references to their own definitions and to themselves."""
    root = body("application/json", {"$ref": "#/components/schemas/A"})
    root["components"] = {"schemas": {"A": schema}}
    normalized = normalize(Document("test", "file:///test", root))
    read = normalized.root["components"]["schemas"]["A"]["properties"]["b"]
    assert read.get("$ref") == target
    assert (target is None) or "relative to the schema around it" in normalized.repairs[0]
