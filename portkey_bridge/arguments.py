"""Flat arguments: every parameter by its own name, beside the body's own properties.

*Bindings* say where each argument goes: argument -> (location, wire name). Binding is a look-up, and its inverse is
exact. The full input schema is made of the document's own schemas, and arguments are always checked against it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from portkey_bridge.bodies import FORM, JSON_TYPE, XML_TYPE, sends_file
from portkey_bridge.errors import Violation, likely
from portkey_bridge.file_values import MULTIPART, file_forms
from portkey_bridge.files import FORMS
from portkey_bridge.operations import MediaType, Operation, Parameter, RequestBody, Schema
from portkey_bridge.references import pointer_to
from portkey_bridge.security import places, stands_in
from portkey_bridge.shapes import KEYWORDS_OF_TYPE, Shape, Shapes

if TYPE_CHECKING:
    from portkey_bridge.validation import Validation

#: What every client accepts as the name of an argument.
ARGUMENT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

#: Which media type is sent where the document offers several: the first of these that matches, else any other.
PREFERRED = (
    re.compile(r"application/json\s*(;|$)", re.IGNORECASE),
    JSON_TYPE,
    FORM,
    re.compile(r"multipart/form-data\b", re.IGNORECASE),
    re.compile(r"text/", re.IGNORECASE),
)

#: Media types whose objects have named properties, which become arguments of their own.
OF_PROPERTIES = (JSON_TYPE, XML_TYPE, FORM, MULTIPART)

#: What a schema says of an object besides a choice between branches.
BESIDE_CHOICE = frozenset(KEYWORDS_OF_TYPE["object"]) | {"allOf", "enum", "not", "if"}

#: What a body can say of its properties together, which a schema can repeat where no other arguments are beside them.
TOGETHER = (
    *("anyOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
    *("propertyNames", "minProperties", "maxProperties"),
)

#: The argument that names a media type where several say different things, and how many are offered.
CHOICE, CHOICES = "contentType", 8

#: Who keeps a name that two things claim, and in which order arguments are listed.
PRECEDENCE = ("path", "query", "querystring", "header", "cookie", "body")
LISTED_ORDER = ("path", "query", "querystring", "body", "header", "cookie")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where an argument goes: `location` is a parameter's or `body`, `name` the wire name.

    `parameter` is None in the body; `name` is None where the argument is the whole body.
    """

    argument: str
    location: str
    name: str | None
    schema: Schema = field(repr=False)
    required: bool
    parameter: Parameter | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """Arguments in their places. `has_body` tells an absent body from one that is null.

    `of` are the arguments by which it was bound: they know the body's media type, and the way back into them.
    """

    parameters: tuple[tuple[Binding, Any], ...]
    has_body: bool
    body: Any
    of: Arguments = field(repr=False)


@dataclass(frozen=True, eq=False)
class Arguments:
    """The arguments of one operation.

    `further` is the schema of what the body takes besides its named properties, `patterns` what it says of these by
    their names, and `together` what it says of all of them once it is there.
    """

    bindings: Mapping[str, Binding]
    media_type: MediaType | None
    body_required: bool
    further: Schema
    shapes: Shapes = field(repr=False)
    patterns: Shape = field(default_factory=dict, repr=False)
    together: Shape = field(default_factory=dict, repr=False)

    @property
    def each(self) -> Shape:
        """The input schema without what it says of several arguments together: what a listing can show."""
        return {
            "type": "object",
            "properties": {name: binding.schema for name, binding in self.bindings.items()},
            "required": [name for name, binding in self.bindings.items() if binding.required],
            "additionalProperties": self.further,
        }

    @cached_property
    def schema(self) -> Shape:
        """The full input schema (JSON Schema 2020-12), with references into the document."""
        if not self.together:
            return {**self.each, **self.patterns}
        of_body = [name for name, binding in self.bindings.items() if binding.location == "body"]
        there = True if self.body_required else {"anyOf": [{"required": [name]} for name in of_body]}
        return {**self.each, **self.patterns, "if": there, "then": self.together}

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Put the arguments into their places. A missing argument is absent, an explicit null is a value."""
        parameters = tuple(
            (binding, arguments[name])
            for name, binding in self.bindings.items()
            if binding.parameter is not None and name in arguments
        )
        if self._whole_body is not None:
            return Bound(parameters, self._whole_body in arguments, arguments.get(self._whole_body), self)
        body = {self._wire_name(name): value for name, value in arguments.items() if not self._is_parameter(name)}
        return Bound(parameters, bool(body) or (self.body_required and self.media_type is not None), body, self)

    def violations(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield everything that is wrong with the arguments, with pointers into them."""
        yield from self._unknown(arguments)
        known = {name: value for name, value in arguments.items() if self._is_parameter(name)}
        yield from self._parameters_validation.violations(known, pointer_to)
        bound = self.bind(arguments)
        if bound.has_body and self._body_validation is not None:
            yield from self._body_validation.violations(bound.body, self.place_in_body)
        elif self._whole_body is not None and not bound.has_body and self.body_required:
            yield Violation(pointer_to([self._whole_body]), "is required, and missing")

    def _unknown(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        for name in arguments:
            if name in self._arguments_of_body and name not in self.bindings:
                yield Violation(pointer_to([name]), f"is called {self._arguments_of_body[name]} here")
            elif name not in self.bindings and self.further is False:
                yield Violation(pointer_to([name]), f"there is no such argument; {likely(name, self.bindings)}")

    @cached_property
    def _parameters_validation(self) -> Validation:
        from portkey_bridge.validation import Validation

        parameters = [binding for binding in self.bindings.values() if binding.parameter is not None]
        return Validation(
            {
                "type": "object",
                "properties": {binding.argument: binding.schema for binding in parameters},
                "required": [binding.argument for binding in parameters if binding.required],
            },
            self.shapes,
        )

    @cached_property
    def _body_validation(self) -> Validation | None:
        from portkey_bridge.validation import Validation

        return Validation(self.media_type.schema, self.shapes) if self.media_type is not None else None

    @cached_property
    def _whole_body(self) -> str | None:
        """The argument that is the whole body, if there is one."""
        return next(
            (name for name, binding in self.bindings.items() if binding.location == "body" and binding.name is None),
            None,
        )

    @cached_property
    def _arguments_of_body(self) -> dict[str, str]:
        return {
            binding.name: name
            for name, binding in self.bindings.items()
            if binding.location == "body" and binding.name is not None
        }

    def place_in_body(self, path: Sequence[str | int]) -> str:
        """Give the pointer into the arguments that a path into the body stands for."""
        if self._whole_body is not None:
            return pointer_to([self._whole_body, *path])
        return pointer_to(
            [self._arguments_of_body.get(str(part), part) if at == 0 else part for at, part in enumerate(path)]
        )

    def _is_parameter(self, name: str) -> bool:
        binding = self.bindings.get(name)
        return binding is not None and binding.parameter is not None

    def _wire_name(self, name: str) -> str:
        binding = self.bindings.get(name)
        return binding.name if binding is not None and binding.name is not None else name


@dataclass(frozen=True, eq=False, kw_only=True)
class Alternatives(Arguments):
    """The arguments of an operation whose media types say different things.

    `kinds` has the arguments of each media type, the preferred one first; `choice` is the argument that names one. All
    is left to the arguments of the one that is named. What stands here is for readers: everything that any takes.
    """

    choice: str
    kinds: Mapping[str, Arguments]

    @property
    def each(self) -> Shape:
        """The input schema without what it says of several arguments together: what a listing can show."""
        return {keyword: value for keyword, value in super().each.items() if keyword != "additionalProperties"}

    @cached_property
    def schema(self) -> Shape:
        """The full input schema: what any kind takes, and what each takes for itself under `if`, `then` and `else`."""
        names = list(self.kinds)
        first, *others = [self._of_kind(kind) for kind in self.kinds.values()]
        whole: Shape = first
        for name, schema in zip(reversed(names[1:]), reversed(others), strict=True):
            whole = {"if": _is_chosen(self.choice, name), "then": schema, "else": whole}
        return {**self.each, **whole}

    def _of_kind(self, kind: Arguments) -> Shape:
        own: Shape = kind.schema
        return {**own, "properties": {**own["properties"], self.choice: self.bindings[self.choice].schema}}

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Put the arguments into the places that the chosen media type has for them."""
        chosen, rest = self._chosen(arguments)
        return chosen.bind(rest)

    def violations(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield everything that is wrong with the arguments for the chosen media type."""
        name = arguments.get(self.choice, next(iter(self.kinds)))
        if not isinstance(name, str) or name not in self.kinds:
            yield Violation(pointer_to([self.choice]), f"expected one of {', '.join(self.kinds)}")
            return
        chosen, rest = self._chosen(arguments)
        yield from chosen.violations(rest)

    def _chosen(self, arguments: Mapping[str, Any]) -> tuple[Arguments, dict[str, Any]]:
        name = arguments.get(self.choice, next(iter(self.kinds)))
        return self.kinds[name], {key: value for key, value in arguments.items() if key != self.choice}


def _is_chosen(choice: str, name: str) -> Shape:
    return {"required": [choice], "properties": {choice: {"enum": [name]}}}


def read_arguments(operation: Operation, shapes: Shapes) -> Arguments:
    """Give the arguments of an operation. A parameter for which a credential can stand is not required."""
    return _Reader(operation, shapes).arguments()


class _Reader:
    """Reads the arguments of one operation, for one of its media types or for several."""

    def __init__(self, operation: Operation, shapes: Shapes) -> None:
        self.operation = operation
        self.shapes = shapes
        self.credential_places = places(operation.security)

    def arguments(self) -> Arguments:
        body = self.operation.request_body
        kinds = {kind.name: self.of_media_type(kind) for kind in self.worth_choosing(body.content if body else ())}
        if len(kinds) > 1:
            return _alternatives(kinds)
        return next(iter(kinds.values()), None) or self.of_media_type(None)

    def worth_choosing(self, content: Sequence[MediaType]) -> list[MediaType]:
        """Give the preferred media type, and of the others those that can send what none before them can."""
        kept: list[MediaType] = []
        for media_type in sorted(content, key=_rank):
            if not kept or (_says_something(media_type) and all(self.differs(media_type, other) for other in kept)):
                kept.append(media_type)
        return kept[:CHOICES]

    def differs(self, media_type: MediaType, other: MediaType) -> bool:
        """Tell whether a media type can send what the other can't: a property, a file, or something else altogether."""
        shape, known = self.shapes(media_type.schema), self.shapes(other.schema)
        properties, known_properties = shape.get("properties"), known.get("properties", {})
        if shape != known and (properties is None or properties.keys() - known_properties.keys()):
            return True
        has_parts = MULTIPART.match(media_type.name) and not MULTIPART.match(other.name)
        schemas = (properties or {}).values()
        return bool(has_parts) and any(file_forms(schema, media_type.name, self.shapes) for schema in schemas)

    def of_media_type(self, media_type: MediaType | None) -> Arguments:
        body = self.operation.request_body
        shape = self.flat_shape(media_type)
        wanted = [self.of_parameter(parameter) for parameter in self.operation.parameters]
        if media_type is not None and body is not None:
            wanted.extend(self.of_body(body, media_type, shape))
        named = _with_names(sorted(wanted, key=lambda binding: PRECEDENCE.index(binding.location)))
        listed = sorted(named, key=lambda binding: LISTED_ORDER.index(binding.location))
        return Arguments(
            patterns=_patterns(shape) if shape is not None and all(map(_is_as_in_body, listed)) else {},
            together={} if body is None or shape is None else self.together(shape, body.required, listed),
            bindings={binding.argument: binding for binding in listed},
            media_type=media_type,
            body_required=body is not None and body.required,
            further=_further(shape) if shape is not None else False,
            shapes=self.shapes,
        )

    def flat_shape(self, media_type: MediaType | None) -> Shape | None:
        """Give the shape of a body whose properties become arguments; None for one that is an argument as a whole."""
        if media_type is None or not _is_of_properties(media_type):
            return None
        shape = self.beside_null(self.shapes(media_type.schema))
        properties = shape.get("properties")
        if not properties or shape.get("type", "object") != "object":
            return None
        alternatives = [
            *shape.get("anyOf", ()),
            *(branch for part in shape.get("allOf", ()) for branch in part.get("anyOf", ())),
        ]
        named = {name for branch in alternatives for name in self.shapes(branch).get("properties", ())}
        return shape if named <= properties.keys() else None

    def beside_null(self, shape: Shape) -> Shape:
        """Give the shape of the object that a body is where it is not null."""
        branches = [branch for branch in map(self.shapes, shape.get("anyOf", ())) if branch.get("type") != "null"]
        return branches[0] if len(branches) == 1 and shape.keys().isdisjoint(BESIDE_CHOICE) else shape

    def together(self, shape: Shape, body_required: bool, bindings: list[Binding]) -> Shape:
        """Give what a body says of its properties together: what an optional one requires once it is there, and unions.

        These are keywords that a listing leaves out. What speaks of more than named properties is left to the check of
        the body, where parameters are beside them.
        """
        names = {binding.name: binding.argument for binding in bindings if binding.location == "body"}
        beside = [binding.argument for binding in bindings if binding.location != "body"]
        is_renamed = any(wire != argument for wire, argument in names.items())
        required = [] if body_required else [names[name] for name in shape.get("required", ()) if name in names]
        if beside or is_renamed:
            said = self.of_names(shape, beside, is_renamed)
        else:
            said = {keyword: shape[keyword] for keyword in TOGETHER if keyword in shape}
        return said | ({"required": required} if required else {})

    def of_names(self, shape: Shape, beside: list[str], is_renamed: bool) -> Shape:
        """Give what a shape says of its named properties, and that there are any `beside` the other arguments."""
        said: Shape = {"not": {"propertyNames": {"enum": beside}}} if beside and shape.get("minProperties") else {}
        if is_renamed:
            return said
        if "dependentRequired" in shape:
            said["dependentRequired"] = shape["dependentRequired"]
        branches = shape.get("anyOf", ())
        if branches and all(map(_speaks_of_names, map(self.shapes, branches))):
            said["anyOf"] = branches
        return said

    def of_parameter(self, parameter: Parameter) -> Binding:
        is_replaced = any(stands_in(parameter.place, each) for each in self.credential_places)
        required = parameter.required and not is_replaced
        schema = self.or_empty(parameter.schema) if parameter.allow_empty_value else parameter.schema
        described = _described(schema, parameter.description)
        return Binding(parameter.name, parameter.location, parameter.name, described, required, parameter)

    def or_empty(self, schema: Schema) -> Schema:
        """Let a schema accept the empty string, too (OpenAPI 3.2 section 4.12.2.1, `allowEmptyValue`)."""
        shape = self.shapes(schema)
        takes_any_text = shape.get("type") == "string" and shape.keys() <= {"type", "title", "description", "default"}
        return schema if takes_any_text or not shape else {"anyOf": [schema, {"type": "string", "enum": [""]}]}

    def of_body(self, body: RequestBody, media_type: MediaType, shape: Shape | None) -> Iterator[Binding]:
        if shape is None:
            schema = _described(media_type.schema, body.description)
            yield Binding("body", "body", None, self.as_file(schema, media_type), body.required)
            return
        required = frozenset(shape.get("required", ()) if body.required else ())
        for name, schema in _named(shape).items():
            described = self.file_argument(schema, file_forms(schema, media_type.name, self.shapes))
            yield Binding(name, "body", name, described, name in required)

    def as_file(self, schema: Schema, media_type: MediaType) -> Schema:
        """Give the schema of a whole body: that of a file where the media type says no more than bytes."""
        shape = self.shapes(schema)
        forms = FORMS if sends_file(media_type, self.shapes) else file_forms(schema, media_type.name, self.shapes)
        if forms is None or "anyOf" in shape or shape.get("type", "string") != "string":
            return schema
        return self.file_argument({"type": "string", **(schema if isinstance(schema, dict) else {})}, forms)

    def file_argument(self, schema: Schema, forms: str | None) -> Schema:
        """Give the schema with the forms that a file takes, if it is one."""
        own = self.shapes(schema).get("description", "")
        return _described(schema, f"{own} {forms}".strip()) if forms else schema


def _says_something(media_type: MediaType) -> bool:
    """Tell whether a media type is one that a caller could mean, and not another spelling of an object."""
    if "*" in media_type.name or XML_TYPE.match(media_type.name):
        return False
    return not _is_of_properties(media_type) or media_type.schema not in ({}, True)


def _is_of_properties(media_type: MediaType) -> bool:
    return any(pattern.match(media_type.name) for pattern in OF_PROPERTIES)


def _rank(media_type: MediaType) -> int:
    ranks = (rank for rank, pattern in enumerate(PREFERRED) if pattern.match(media_type.name))
    return next(ranks, len(PREFERRED))


def _alternatives(kinds: dict[str, Arguments]) -> Alternatives:
    """Give the arguments of several media types: an argument is required where all require it."""
    preferred = next(iter(kinds.values()))
    names = dict.fromkeys(name for kind in kinds.values() for name in kind.bindings)
    choice = next(name for name in map(CHOICE.__add__, ("", *map(str, range(1, len(names) + 2)))) if name not in names)
    described = {
        "type": "string",
        "enum": list(kinds),
        "description": f"Media type of the body (default {next(iter(kinds))}).",
    }
    bindings = {name: _common([kind.bindings.get(name) for kind in kinds.values()]) for name in names}
    return Alternatives(
        bindings={**bindings, choice: Binding(choice, "header", "Content-Type", described, False)},
        media_type=preferred.media_type,
        body_required=preferred.body_required,
        further=preferred.further,
        shapes=preferred.shapes,
        choice=choice,
        kinds=kinds,
    )


def _common(bindings: Sequence[Binding | None]) -> Binding:
    """Give one binding for those of a name: any of their schemas, and required where each media type has it so."""
    there = [binding for binding in bindings if binding is not None]
    schemas = [there[0].schema, *(binding.schema for binding in there[1:] if binding.schema != there[0].schema)]
    return replace(
        there[0],
        schema=schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
        required=len(there) == len(bindings) and all(binding.required for binding in there),
    )


def _named(shape: Shape) -> dict[str, Schema]:
    """Give the properties of a body, also those that it requires without saying more about them."""
    beyond = shape.get("additionalProperties", True)
    return dict(shape["properties"]) | {
        name: beyond for name in shape.get("required", ()) if name not in shape["properties"]
    }


def _further(shape: Shape) -> Schema:
    """Give the schema of properties that are not named. Where the body says nothing of them, there are none.

    By the letter there may be any; but then no argument would ever be wrong, and a slip would be sent.
    """
    return True if "patternProperties" in shape else shape.get("additionalProperties", False)


def _is_as_in_body(binding: Binding) -> bool:
    return binding.location == "body" and binding.name == binding.argument


def _patterns(shape: Shape) -> Shape:
    """Give what a body says of properties by patterns of their names."""
    if "patternProperties" not in shape:
        return {}
    keywords = ("patternProperties", "additionalProperties")
    return {keyword: shape[keyword] for keyword in keywords if keyword in shape}


def _speaks_of_names(branch: Shape) -> bool:
    return branch.keys() <= {"type", "title", "description", "required", "properties"}


def _described(schema: Schema, description: str) -> Schema:
    """Give the schema with the description of what it is the schema of, which says more than its own."""
    return {**schema, "description": description} if description and isinstance(schema, dict) else schema


def _with_names(bindings: list[Binding]) -> Iterator[Binding]:
    """Give every binding a name of its own that clients accept; the first to claim a name keeps it."""
    taken: set[str] = set()
    for binding in bindings:
        name = next(name for name in _names(binding) if name not in taken)
        taken.add(name)
        yield binding if name == binding.argument else replace(binding, argument=name)


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
    return f"{name[:55]}_{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
