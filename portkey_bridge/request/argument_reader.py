"""Reads the arguments of an operation: flat names, one for each parameter and each property of the body."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from portkey_bridge import media_types
from portkey_bridge.credentials.schemes import places_of_secrets, stands_in
from portkey_bridge.openapi.coercion import mapping
from portkey_bridge.openapi.keywords import KEYWORDS_OF_TYPE, Schema, Shape
from portkey_bridge.openapi.model import MediaType, Operation, Parameter, RequestBody
from portkey_bridge.request.any_child import any_of, with_children
from portkey_bridge.request.arguments import Arguments, Binding
from portkey_bridge.request.binary_values import body_forms, file_forms, with_forms, with_forms_of_files
from portkey_bridge.request.bodies import sends_file
from portkey_bridge.request.body_rules import rules_together
from portkey_bridge.request.media_type_choice import Alternatives
from portkey_bridge.request.uploads import FORMS
from portkey_bridge.schema.shapes import Shapes

#: Argument names that every client accepts. Some refuse all tools of a server because of one that begins with `_`.
ARGUMENT_NAME = re.compile(r"(?!_)[a-zA-Z0-9_.-]{1,64}")

#: Which media type is sent where the document offers several: the first of these that matches, else any other.
PREFERRED = (
    re.compile(r"application/json\s*(;|$)", re.IGNORECASE),
    media_types.JSON,
    media_types.FORM,
    re.compile(r"multipart/form-data\b", re.IGNORECASE),
    re.compile(r"text/", re.IGNORECASE),
)

#: Media types whose objects have named properties, which become arguments of their own.
OF_PROPERTIES = (media_types.JSON, media_types.XML, media_types.FORM, media_types.MULTIPART)

#: Keywords about an object other than a choice between branches.
BESIDE_CHOICE = frozenset(KEYWORDS_OF_TYPE["object"]) | {"allOf", "enum", "not", "if"}

#: The argument that names a media type where several say different things, and how many are offered.
CHOICE, CHOICES = "contentType", 8

#: Who keeps a name that two things claim, and in which order arguments are listed.
PRECEDENCE = ("path", "query", "querystring", "header", "cookie", "body")

LISTED_ORDER = ("path", "query", "querystring", "body", "header", "cookie")


def read_arguments(operation: Operation, shapes: Shapes) -> Arguments:
    """Return the arguments of an operation. A parameter that a credential can replace is not required."""
    return _Reader(operation, shapes).arguments()


class _Reader:
    """Reads the arguments of one operation, for one of its media types or for several."""

    def __init__(self, operation: Operation, shapes: Shapes) -> None:
        self.operation = operation
        self.shapes = shapes
        self.credential_places = places_of_secrets(operation.security)

    def arguments(self) -> Arguments:
        body = self.operation.request_body
        kinds = {kind.name: self.of_media_type(kind) for kind in self.worth_choosing(body.content if body else ())}
        if len(kinds) > 1 or any(map(media_types.FILE_RANGES.match, kinds)):
            return _alternatives(kinds)
        return next(iter(kinds.values()), None) or self.of_media_type(None)

    def worth_choosing(self, content: Sequence[MediaType]) -> list[MediaType]:
        """Return the preferred media type, and of the others those that can send what none before them can."""
        kept: list[MediaType] = []
        for media_type in sorted(content, key=_rank):
            if not kept or (_says_something(media_type) and all(self.differs(media_type, other) for other in kept)):
                kept.append(media_type)
        return kept[:CHOICES]

    def differs(self, media_type: MediaType, other: MediaType) -> bool:
        """Check whether a media type can send what the other cannot: a property, a file, or something else entirely."""
        if not _is_of_properties(media_type) and not _is_of_properties(other):
            return media_types.bare(media_type.name) != media_types.bare(other.name)
        shape, known = self.shapes(media_type.schema), self.shapes(other.schema)
        properties, known_properties = shape.get("properties"), known.get("properties", {})
        if shape != known and (properties is None or properties.keys() - known_properties.keys()):
            return True
        has_parts = media_types.MULTIPART.match(media_type.name) and not media_types.MULTIPART.match(other.name)
        schemas = (properties or {}).values()
        return bool(has_parts) and any(file_forms(schema, media_type.name, self.shapes) for schema in schemas)

    def of_media_type(self, media_type: MediaType | None) -> Arguments:
        body = self.operation.request_body
        shape = self.flat_shape(media_type)
        wanted = [self.of_parameter(parameter) for parameter in self.operation.parameters]
        if media_type is not None and body is not None:
            wanted.extend(self.of_body(body, media_type, shape))
        named = self.with_names(sorted(wanted, key=lambda binding: PRECEDENCE.index(binding.location)))
        listed = sorted(named, key=lambda binding: LISTED_ORDER.index(binding.location))
        return Arguments(
            patterns=_patterns(shape) if shape is not None and all(map(_is_as_in_body, listed)) else {},
            together={} if body is None or shape is None else rules_together(shape, body.required, listed, self.shapes),
            bindings={binding.argument: binding for binding in listed},
            media_type=media_type,
            body_required=body is not None and body.required,
            further=_further(shape) if shape is not None else False,
            shapes=self.shapes,
        )

    def flat_shape(self, media_type: MediaType | None) -> Shape | None:
        """Return the shape of a body whose properties become arguments; None for one that is an argument as a whole."""
        if media_type is None or not _is_of_properties(media_type):
            return None
        shape = with_children(self.beside_null(self.shapes(media_type.schema)), media_type.schema, self.shapes)
        properties = shape.get("properties")
        if not properties or shape.get("type", "object") != "object":
            return None
        return shape if self.shapes.writable_names(media_type.schema) <= properties.keys() else None

    def beside_null(self, shape: Shape) -> Shape:
        """Return the shape of the object that a body is where it is not null."""
        branches = [branch for branch in map(self.shapes, shape.get("anyOf", ())) if branch.get("type") != "null"]
        return branches[0] if len(branches) == 1 and shape.keys().isdisjoint(BESIDE_CHOICE) else shape

    def of_parameter(self, parameter: Parameter) -> Binding:
        is_replaced = any(stands_in(parameter.place, each) for each in self.credential_places)
        required = parameter.required and not is_replaced
        default = self.shapes(parameter.schema).get("default") if required else None
        schema = self.writable(parameter.schema)
        if parameter.allow_empty_value:
            schema = self.or_empty(schema)
        return Binding(
            parameter.name,
            parameter.location,
            parameter.name,
            _described(schema, parameter.description),
            required=required and default is None,
            parameter=parameter,
            default=default,
        )

    def writable(self, schema: Schema) -> Schema:
        """Return the schema without `readOnly`, which means something for properties only (OpenAPI 3.0.4, 4.7.24.2)."""
        if not self.shapes.is_hidden(schema):
            return schema
        return {keyword: value for keyword, value in self.shapes(schema).items() if keyword != "readOnly"}

    def or_empty(self, schema: Schema) -> Schema:
        """Let a schema accept the empty string, too (OpenAPI 3.2 section 4.12.2.1, `allowEmptyValue`)."""
        shape = self.shapes(schema)
        takes_any_text = shape.get("type") == "string" and shape.keys() <= {"type", "title", "description", "default"}
        return schema if takes_any_text or not shape else {"anyOf": [schema, {"type": "string", "enum": [""]}]}

    def with_names(self, bindings: list[Binding]) -> Iterator[Binding]:
        """Yield every binding with a name of its own that clients accept; the first to claim a name keeps it.

        A name without its `_` is left to the binding that has it in the API.
        """
        taken: set[str] = set()
        own = {binding.argument for binding in bindings}
        for binding in bindings:
            refused = taken | own if binding.argument.startswith("_") else taken
            name = next(name for name in _names(binding) if name not in refused)
            taken.add(name)
            yield binding if name == binding.argument else self.renamed(binding, name)

    def renamed(self, binding: Binding, name: str) -> Binding:
        """Return the binding under another name; its description says how the API calls it, where the name does not."""
        if ARGUMENT_NAME.fullmatch(binding.argument):
            return replace(binding, argument=name)
        schema = mapping(binding.schema)
        own = self.shapes(schema).get("description", "")
        called = f"{binding.name} in the API. {own}".strip()
        return replace(binding, argument=name, schema=_described(schema, called))

    def of_body(self, body: RequestBody, media_type: MediaType, shape: Shape | None) -> Iterator[Binding]:
        if shape is None:
            schema = with_forms_of_files(self.writable(media_type.schema), media_type.name, self.shapes)
            schema = _described(schema, body.description)
            yield Binding("body", "body", None, self.as_file(schema, media_type), required=body.required)
            return
        required = frozenset(shape.get("required", ()) if body.required else ())
        is_form = any(family.match(media_type.name) for family in (media_types.FORM, media_types.MULTIPART))
        for name, schema in _named(shape).items():
            described = with_forms(self.writable(schema), file_forms(schema, media_type.name, self.shapes), self.shapes)
            default = self.shapes(schema).get("default") if is_form and name in required else None
            is_needed = name in required and default is None
            yield Binding(name, "body", name, described, required=is_needed, default=default)

    def as_file(self, schema: Schema, media_type: MediaType) -> Schema:
        """Return the schema of a whole body: that of a file where the media type says no more than bytes."""
        shape = self.shapes(schema)
        is_file = sends_file(media_type, self.shapes)
        forms = FORMS if is_file else body_forms(schema, media_type.name, self.shapes)
        if forms is None or "anyOf" in shape or shape.get("type", "string") != "string":
            return schema
        implied = {"type": "string"} | ({"format": "binary"} if is_file else {})
        return with_forms({**implied, **mapping(schema)}, forms, self.shapes)


def _says_something(media_type: MediaType) -> bool:
    """Check whether a media type is one that a caller could mean, and not another spelling of an object."""
    if media_types.FILE_RANGES.match(media_type.name):
        return True
    if "*" in media_type.name or media_types.XML.match(media_type.name):
        return False
    return not _is_of_properties(media_type) or media_type.schema not in ({}, True)


def _is_of_properties(media_type: MediaType) -> bool:
    return any(pattern.match(media_type.name) for pattern in OF_PROPERTIES)


def _rank(media_type: MediaType) -> int:
    ranks = (rank for rank, pattern in enumerate(PREFERRED) if pattern.match(media_type.name))
    return next(ranks, len(PREFERRED))


def _alternatives(kinds: dict[str, Arguments]) -> Alternatives:
    """Return the arguments of several media types: an argument is required where all require it."""
    preferred = next(iter(kinds.values()))
    names = dict.fromkeys(name for kind in kinds.values() for name in kind.bindings)
    choice = next(name for name in map(CHOICE.__add__, ("", *map(str, range(1, len(names) + 2)))) if name not in names)
    described: Shape = {"type": "string", "description": f"Media type of the body (default {next(iter(kinds))})."}
    if any(map(media_types.FILE_RANGES.match, kinds)):
        described["description"] = f"Media type of the body, one of {', '.join(kinds)}; by default the file's own."
    else:
        described = {**described, "enum": list(kinds)}
    bindings = {name: _common([kind.bindings.get(name) for kind in kinds.values()]) for name in names}
    return Alternatives(
        bindings={**bindings, choice: Binding(choice, "header", "Content-Type", described, required=False)},
        media_type=preferred.media_type,
        body_required=preferred.body_required,
        further=preferred.further,
        shapes=preferred.shapes,
        choice=choice,
        kinds=kinds,
    )


def _common(bindings: Sequence[Binding | None]) -> Binding:
    """Return one binding for those of a name: any of their schemas, and required where each media type has it so."""
    there = [binding for binding in bindings if binding is not None]
    return replace(
        there[0],
        schema=any_of([binding.schema for binding in there]),
        required=len(there) == len(bindings) and all(binding.required for binding in there),
    )


def _named(shape: Shape) -> dict[str, Schema]:
    """Return the properties of a body, also those that it requires without saying more about them."""
    beyond = shape.get("additionalProperties", True)
    return dict(shape["properties"]) | {
        name: beyond for name in shape.get("required", ()) if name not in shape["properties"]
    }


def _further(shape: Shape) -> Schema:
    """Return the schema of properties that are not named. Where the body says nothing of them, there are none.

    By the letter there may be any; but then no argument would ever be wrong, and a slip would be sent.
    """
    return True if "patternProperties" in shape else shape.get("additionalProperties", False)


def _is_as_in_body(binding: Binding) -> bool:
    return binding.location == "body" and binding.name == binding.argument


def _patterns(shape: Shape) -> Shape:
    """Return what a body says of properties by patterns of their names."""
    if "patternProperties" not in shape:
        return {}
    keywords = ("patternProperties", "additionalProperties")
    return {keyword: shape[keyword] for keyword in keywords if keyword in shape}


def _described(schema: Schema, description: str) -> Schema:
    """Return the schema with the description of what it is the schema of, which says more than its own."""
    return {**schema, "description": description} if description and isinstance(schema, dict) else schema


def _names(binding: Binding) -> Iterator[str]:
    """Yield the names that a binding may have, the best first."""
    origin = f"{binding.location} {binding.name}"
    prefixed = f"{binding.location}_{binding.argument}"
    yield _safe(binding.argument, origin)
    yield _safe(prefixed, origin)
    yield _hashed(_safe(prefixed, origin), origin)


def _safe(name: str, origin: str) -> str:
    if ARGUMENT_NAME.fullmatch(name):
        return name
    safe = re.sub(r"[^a-zA-Z0-9_.-]+", "_", name).strip("_")
    return safe if ARGUMENT_NAME.fullmatch(safe) else _hashed(safe, origin)


def _hashed(name: str, origin: str) -> str:
    digest = hashlib.sha256(origin.encode(errors="replace")).hexdigest()[:8]
    return f"{name[:55]}_{digest}" if name else digest
