"""One form for everyone downstream: an OpenAPI 3 document in one root, whose schemas are JSON Schema 2020-12.

First everything that the document refers to comes into one root, then Swagger 2.0 becomes OpenAPI 3, then each object
is repaired and each schema becomes JSON Schema. At the end, children of discriminated parents join these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from portkey_bridge.document.parse import Document, Retrieve
from portkey_bridge.document.repairs import Repairs, Say, summarize
from portkey_bridge.errors import DanglingReference, DocumentError
from portkey_bridge.openapi.coercion import as_list, mapping, sequence
from portkey_bridge.openapi.composition_cycles import break_cycles
from portkey_bridge.openapi.inheritance import join_families
from portkey_bridge.openapi.local_refs import FoundObjects, localize
from portkey_bridge.openapi.pointers import encode_token, follow
from portkey_bridge.openapi.resources import OTHERS, DocumentNode, Resources
from portkey_bridge.openapi.schema_dialects import KEYWORD_FORMS, OBSOLETE_KEYWORDS, modernize
from portkey_bridge.openapi.spec_tables import METHODS
from portkey_bridge.openapi.swagger2 import (
    from_swagger,
    is_body,
    overridden,
    parameter_schema,
    request_body,
    split_bodies,
)
from portkey_bridge.text import without_invisible

#: Fields that a root may not have beside a schema that is validated in it: JSON Schema would take them for its own.
NOT_ON_ROOT = (KEYWORD_FORMS.keys() | OBSOLETE_KEYWORDS | {"type", "const"}) - {"definitions"}

#: Root fields that only Swagger 2.0 has.
FIELDS_OF_SWAGGER = frozenset(
    ("host", "basePath", "schemes", "consumes", "produces", "definitions", "parameters", "responses")
) | {"securityDefinitions"}

#: The newest version of OpenAPI that is known.
NEWEST_VERSION = (3, 2)

#: Where a parameter can be (OpenAPI 3.2 section 4.12.1, Swagger 2.0), by what people write, in lower case.
LOCATIONS = {
    **{name.lower(): name for name in ("path", "query", "querystring", "header", "cookie", "body", "formData")},
    **{"form": "formData", "headers": "header", "cookies": "cookie"},
}

#: Fields with text for people, which models read, too.
TEXT_FIELDS = frozenset(("title", "summary", "description"))


class Normalized(NamedTuple):
    """A normalized document, and a sentence for each repair."""

    root: dict[str, Any]
    repairs: tuple[str, ...]


def nothing_else(uri: str) -> Document:
    """Refuse to retrieve anything: what a document refers to is in it."""
    raise DocumentError(uri, "is not in the document", "Add it there.")


def normalize(document: Document, retrieve: Retrieve = nothing_else, repairs: Repairs | None = None) -> Normalized:
    """Bring a document into the one form that everything downstream reads.

    `retrieve` brings the other resources that the document refers to. Who hands in `repairs` finds the repairs there,
    with their places. The values of the document are changed in place.
    Raises DocumentError for anything but an OpenAPI document, and for a hostile one.
    """
    repairs = Repairs() if repairs is None else repairs
    version = _version(document, repairs)
    root = {key: value for key, value in document.root.items() if key not in NOT_ON_ROOT | {OTHERS}}
    root["paths"] = dict(_with_slashes(root.get("paths") or {}, repairs))
    resources = Resources(Document(document.source, document.uri, root), retrieve)
    found = localize(resources, repairs)
    _remove_invisible(found, repairs)
    for kind, place in found:
        if kind == "parameter":
            _repair_location(place.value, partial(_say, repairs, place))
    if resources.others:
        root[OTHERS] = resources.others
    if version < (3,):
        root = from_swagger(root, _scheme(document.uri), repairs)
        found = localize(Resources(Document(document.source, document.uri, root), nothing_else), repairs)
    for kind, place in found:
        if kind in WITH_PARAMETERS:
            _inline_bodies(place.value, root)
        if kind in REPAIRERS:
            REPAIRERS[kind](place.value, version, partial(_say, repairs, place))
    schemas = [place for kind, place in found if kind == "schema"]
    join_families(root, schemas, repairs)
    break_cycles(root, schemas, repairs)
    return Normalized(root, (*document.repairs, *resources.repairs, *repairs.sentences()))


def _version(document: Document, repairs: Repairs) -> tuple[int, ...]:
    """Return major and minor version of the specification (OpenAPI 3.2 section 4.1, Swagger 2.0).

    Where no field says it, the other fields do.
    """
    root, source = document.root, document.source
    given = next((root[key] for key in ("openapi", "swagger") if key in root), None)
    if given is None and root.get("paths"):
        given = "2.0" if root.keys() & FIELDS_OF_SWAGGER else "3.0"
        repairs.add(f"the version of OpenAPI is missing; assumed to be {given}", "#")
    if given is None:
        raise DocumentError(
            source, "not an OpenAPI document: no 'openapi' field", "It starts with a line like 'openapi: 3.1.0'."
        )
    match = re.match(r"v?(\d{1,3})(?:\.(\d{1,3}))?", str(given))
    version = (int(match[1]), int(match[2] or 0)) if match else ()
    if version != (2, 0) and version[:1] != (3,):
        raise DocumentError(
            source,
            f"unknown OpenAPI version {summarize(given)}",
            "Swagger 2.0 and OpenAPI 3.0, 3.1 and 3.2 can be served.",
        )
    if version > NEWEST_VERSION:
        repairs.add(f"OpenAPI {summarize(given)} is not known; read as {NEWEST_VERSION[0]}.{NEWEST_VERSION[1]}", "#")
    if not isinstance(root.get("paths") or {}, dict):
        raise DocumentError(source, "/paths is not an object", "It maps paths to their operations.")
    return version


def _with_slashes(paths: dict[str, Any], repairs: Repairs) -> Iterator[tuple[str, Any]]:
    """Yield paths with the slash that each begins with (OpenAPI 3.2 section 4.8.1)."""
    for path, item in paths.items():
        if path.startswith(("/", "x-", "$ref")) or "://" in path or f"/{path}" in paths:
            yield path, item
        else:
            repairs.add("a path does not start with a slash; one is added", f"#/paths/{encode_token(path)}")
            yield f"/{path}", item


def _scheme(uri: str) -> str:
    scheme = urlsplit(uri).scheme
    return scheme if scheme in ("http", "https") else "https"


def _say(repairs: Repairs, place: DocumentNode, problem: str) -> None:
    repairs.add(problem, place.reference)


def _remove_invisible(found: FoundObjects, repairs: Repairs) -> None:
    """Remove characters that nobody sees from all texts: a model would read what a person cannot."""
    for kind, place in found:
        texts = [place.value]
        if kind == "openapi":
            texts += [place.value.get("info"), *sequence(place.value.get("tags"))]
        for each in texts:
            for field in TEXT_FIELDS & mapping(each).keys():
                if isinstance(each[field], str) and (visible := without_invisible(each[field])) != each[field]:
                    each[field] = visible
                    _say(repairs, place, f"a {field} contains characters that nobody sees, which are left out")
        if kind == "schema" and isinstance(place.value, dict):
            values = [place.value.get("const"), *as_list(place.value.get("enum"))]
            if any(isinstance(each, str) and without_invisible(each) != each for each in values):
                _say(repairs, place, "a value contains characters that nobody sees, and is shown without them")


def _repair_location(parameter: dict[str, Any], say: Say) -> None:
    """Read the location of a parameter in any case."""
    location = parameter.get("in")
    meant = LOCATIONS.get(location.strip().lower()) if isinstance(location, str) else None
    if meant and meant != location:
        parameter["in"] = meant
        say(f"a parameter is in {summarize(location)}; interpreted as {meant}")


def _inline_bodies(owner: dict[str, Any], root: dict[str, Any]) -> None:
    """Replace references to parameters that are a body, and to the schemas of these, by what they lead to."""
    listed = sequence(owner.get("parameters"))
    for at, value in enumerate(listed):
        with suppress(DanglingReference):
            target = follow(root, value)
            if is_body(target):
                schema = target.get("schema")
                listed[at] = (
                    {**target, "schema": follow(root, schema)} if target["in"] == "formData" and schema else target
                )


def _repair_path_item(item: dict[str, Any], version: tuple[int, ...], say: Say) -> None:
    """Read methods in any case (OpenAPI 3.2 section 4.9.1 has them in lower case), and hand bodies on to them."""
    for field in [field for field in item if field.lower() in METHODS and field not in METHODS]:
        if field.lower() not in item:
            say(f"the method {field} is written in capitals")
            item[field.lower()] = item.pop(field)
    others, bodies = split_bodies(sequence(item.get("parameters")))
    if bodies:
        item["parameters"] = others
        for operation in (item[method] for method in METHODS if isinstance(item.get(method), dict)):
            others, own = split_bodies(sequence(operation.get("parameters")))
            operation["parameters"] = others + overridden(bodies, own)


def _repair_operation(operation: dict[str, Any], version: tuple[int, ...], say: Say) -> None:
    """Read parameters that are the body, as in Swagger 2.0, as the body that they are."""
    others, bodies = split_bodies(sequence(operation.get("parameters")))
    if not bodies:
        return
    operation["parameters"] = others
    if isinstance(operation.get("requestBody"), dict):
        names = ", ".join(summarize(value.get("name")) for value in bodies)
        say(f"a parameter is a body, as in Swagger 2.0, beside requestBody; {names} is left out")
        return
    say("a parameter is the body, as in Swagger 2.0; interpreted as requestBody")
    body = operation["requestBody"] = request_body(bodies, sequence(operation.get("consumes")), say)
    if bodies[0]["in"] == "formData":
        schema = next(iter(body["content"].values()))["schema"]
        for made in (schema, *schema["properties"].values()):
            modernize(made, version, say)


def _repair_parameter(parameter: dict[str, Any], version: tuple[int, ...], say: Say) -> None:
    """Read a parameter with its own `type`, as in Swagger 2.0."""
    if "$ref" in parameter or "schema" in parameter or parameter.get("content"):
        return
    schema = parameter_schema(parameter)
    if "type" in schema or "enum" in schema:
        say("a parameter has its type next to its name, as in Swagger 2.0; interpreted as its schema")
        parameter["schema"] = schema
        modernize(schema, version, say)


def _repair_media_type(media_type: dict[str, Any], version: tuple[int, ...], say: Say) -> None:
    """Read one value after the other (OpenAPI 3.2 section 4.14.4) as the array that the specification maps it to."""
    if "itemSchema" in media_type and "schema" not in media_type:
        media_type["schema"] = {"type": "array", "items": media_type["itemSchema"]}


#: Objects that have parameters.
WITH_PARAMETERS = frozenset({"path-item", "operation"})

#: In-place repairs by kind of object.
REPAIRERS: dict[str, Callable[[dict[str, Any], tuple[int, ...], Say], None]] = {
    "path-item": _repair_path_item,
    "operation": _repair_operation,
    "parameter": _repair_parameter,
    "media-type": _repair_media_type,
    "schema": modernize,
}
