"""Flat arguments: every parameter by its own name, beside the body's own properties.

*Bindings* say where each argument goes: argument -> (location, wire name). Binding is a look-up, and its inverse is
exact. The full input schema is made of the document's own schemas, and arguments are always checked against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.errors import Violation, likely
from portkey_bridge.openapi.coercion import mapping
from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.openapi.model import MediaType, Parameter, Place
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.request.bodies import sends_file
from portkey_bridge.request.text_places import is_text_in_body, is_text_in_parameter
from portkey_bridge.schema.checks import Check
from portkey_bridge.schema.readings import Reader, ValuePath, is_unset
from portkey_bridge.schema.shapes import Shapes

#: Keywords that an object without properties may violate.
NEVER_EMPTY = frozenset({"required", "minProperties", "anyOf", "allOf", "enum", "not", "if"})


@dataclass(frozen=True, slots=True)
class Binding:
    """Where an argument goes: `location` is a parameter's or `body`, `name` the wire name.

    `parameter` is None in the body; `name` is None where the argument is the whole body. `default` is sent where what
    is required is missing.
    """

    argument: str
    location: str
    name: str | None
    schema: Schema = field(repr=False)
    required: bool
    parameter: Parameter | None = field(default=None, repr=False)
    default: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """Arguments in their places. `has_body` tells an absent body from one that is null.

    `arguments` are those by which it was bound: they know the body's media type, and the way back into them.
    """

    parameters: tuple[tuple[Binding, Any], ...]
    has_body: bool
    body: Any
    arguments: Arguments = field(repr=False)

    @property
    def places(self) -> frozenset[Place]:
        """The places that the parameters take."""
        given = (binding.parameter for binding, value in self.parameters if value is not None)
        return frozenset(parameter.place for parameter in given if parameter)


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
    def schema_of_each(self) -> Shape:
        """The schema of each argument for itself, without what holds for several together: what a listing can show."""
        return {
            "type": "object",
            "properties": {name: binding.schema for name, binding in self.bindings.items()},
            "required": [name for name, binding in self.bindings.items() if binding.required],
            "additionalProperties": self.further,
        }

    @property
    def choices(self) -> Mapping[str, Shape]:
        """What a listing shows of arguments that decide which others there are, whatever its budget."""
        return {}

    @cached_property
    def schema(self) -> Shape:
        """The full input schema (JSON Schema 2020-12), with references into the document."""
        if not self.together:
            return {**self.schema_of_each, **self.patterns}
        of_body = [name for name, binding in self.bindings.items() if binding.location == "body"]
        there = True if self.body_required else {"anyOf": [{"required": [name]} for name in of_body]}
        return {**self.schema_of_each, **self.patterns, "if": there, "then": self.together}

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Put the arguments into their places. An explicit null is a value; a missing argument is absent, unless it is
        required and has a default.
        """
        parameters = tuple(
            (binding, arguments.get(name, binding.default))
            for name, binding in self.bindings.items()
            if binding.parameter is not None and (name in arguments or binding.default is not None)
        )
        if self.whole_body is not None:
            body = arguments.get(self.whole_body, {} if self._is_empty_object else None)
            return Bound(parameters, self.whole_body in arguments or self._is_empty_object, body, self)
        body = {self._wire_name(name): value for name, value in arguments.items() if not self._is_parameter(name)}
        body = self._defaults_of_body | body
        return Bound(parameters, bool(body) or (self.body_required and self.media_type is not None), body, self)

    def of_body(self, body: Any) -> dict[str, Any]:
        """Return the arguments that have this body, none if no arguments have it."""
        if self.whole_body is not None:
            return {self.whole_body: body}
        return {self._arguments_of_body.get(wire, wire): value for wire, value in mapping(body).items()}

    def violations(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield everything that is wrong with the arguments, with pointers into them."""
        yield from self._unknown(arguments)
        bound = self.bind(arguments)
        yield from self._whole_check.violations(self._whole(bound, arguments), pointer_to)
        if self.whole_body is None and bound.has_body:
            yield from self._body_check.violations(bound.body, self.place_in_body)

    def bound_if_valid(self, arguments: Mapping[str, Any]) -> Bound | None:
        """Return arguments that are surely valid in their places; None if only `violations` can tell."""
        if any(True for _ in self._unknown(arguments)):
            return None
        bound = self.bind(arguments)
        if not self._whole_check.is_surely_valid(self._whole(bound, arguments)):
            return None
        has_own_body = self.whole_body is None and bound.has_body
        return bound if not has_own_body or self._body_check.is_surely_valid(bound.body) else None

    def takes(self, argument: str, value: Any) -> bool:
        """Check whether a value is valid for one argument, whatever else is given."""
        pointer = pointer_to([argument])
        violations = (violation.pointer for violation in self.violations({argument: value}))
        return not any(each == pointer or each.startswith(f"{pointer}/") for each in violations)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with everything that is refused read in the only possible way (`schema/readings`).

        Raises OutOfTime.
        """
        arguments = {self._listed_name(name, arguments): value for name, value in arguments.items()}
        whole = self._whole(self.bind(arguments), arguments)
        read = Reader(self._whole_check.validation, self._is_text).read(whole)
        others = {name: value for name, value in arguments.items() if name not in whole}
        is_flat = self.media_type is not None and self.whole_body is None
        return {**read, **(self._read_body(others) if others and is_flat else others)}

    def _is_text(self, path: ValuePath) -> bool:
        parameter = self.bindings[str(path[0])].parameter
        if parameter is not None:
            return is_text_in_parameter(parameter, path[1:])
        return self._is_text_in_body(path[1:])

    def _is_text_in_body(self, path: ValuePath) -> bool:
        return self.media_type is not None and is_text_in_body(self.media_type, path)

    def _read_body(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Read the properties of the body. One that is optional, and has nothing but unset ones, is left out."""
        names = {self._wire_name(name): name for name in given}
        body = {wire: given[name] for wire, name in names.items()}
        read = Reader(self._body_check.validation, self._is_text_in_body).read(body)
        if not self.body_required and all(map(is_unset, body.values())) and self._body_check.validation.errors(read):
            return {}
        return {names.get(wire) or self._arguments_of_body.get(wire, wire): value for wire, value in read.items()}

    def _unknown(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        for name in arguments:
            if name in self._other_names and name not in self.bindings:
                yield Violation(pointer_to([name]), f"is called {self._other_names[name]} here")
            elif name not in self.bindings and self.further is False:
                yield Violation(pointer_to([name]), f"there is no such argument; {likely(name, self.bindings)}")

    def _listed_name(self, name: str, given: Mapping[str, Any]) -> str:
        """Return the name of an argument that is given by the API's own name, if that begins with `_`."""
        listed = self._other_names.get(name, name) if name.startswith("_") else name
        return name if listed in given else listed

    @cached_property
    def _other_names(self) -> dict[str, str]:
        """The arguments by the names that the API has for them."""
        return {str(binding.name): argument for argument, binding in self.bindings.items() if binding.name != argument}

    def _whole(self, bound: Bound, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that are a parameter or the whole body, without the document's own defaults."""
        parameters = {binding.argument: value for binding, value in bound.parameters if binding.argument in given}
        body = {} if self.whole_body is None or not bound.has_body else {self.whole_body: bound.body}
        return parameters | body

    @cached_property
    def _whole_check(self) -> Check:
        schemas = {name: binding.schema for name, binding in self.bindings.items() if binding.parameter is not None}
        if self.whole_body is not None and self.media_type is not None:
            schemas[self.whole_body] = self.media_type.schema
        required = [name for name in schemas if self.bindings[name].required]
        return Check({"type": "object", "properties": schemas, "required": required}, self.shapes)

    @cached_property
    def _body_check(self) -> Check:
        return Check(self.media_type.schema if self.media_type is not None else True, self.shapes)

    @cached_property
    def whole_body(self) -> str | None:
        """The argument that is the whole body, if there is one."""
        return next(
            (name for name, binding in self.bindings.items() if binding.location == "body" and binding.name is None),
            None,
        )

    @property
    def takes_file(self) -> bool:
        """Whether the body is a file of the media type itself."""
        return self.media_type is not None and sends_file(self.media_type, self.shapes)

    @property
    def has_properties(self) -> bool:
        """Whether the properties of the body are arguments of their own."""
        return self.media_type is not None and self.whole_body is None

    @cached_property
    def _is_empty_object(self) -> bool:
        """Whether the body is required and can only be left out as an object without properties."""
        if not self.body_required or self.media_type is None or not _of_members(self.media_type.name):
            return False
        shape = self.shapes(self.media_type.schema)
        is_object = "properties" in shape or shape.get("type") == "object"
        return is_object and not shape.get("properties") and shape.keys().isdisjoint(NEVER_EMPTY)

    @cached_property
    def _defaults_of_body(self) -> dict[str, Any]:
        of_body = (each for each in self.bindings.values() if each.parameter is None and each.default is not None)
        return {each.name: each.default for each in of_body if each.name is not None}

    @cached_property
    def _arguments_of_body(self) -> dict[str, str]:
        return {
            binding.name: name
            for name, binding in self.bindings.items()
            if binding.location == "body" and binding.name is not None
        }

    def place_in_body(self, path: Sequence[str | int]) -> str:
        """Return the pointer into the arguments for a path into the body."""
        if self.whole_body is not None:
            return pointer_to([self.whole_body, *path])
        return pointer_to(
            [self._arguments_of_body.get(str(part), part) if at == 0 else part for at, part in enumerate(path)]
        )

    def _is_parameter(self, name: str) -> bool:
        binding = self.bindings.get(name)
        return binding is not None and binding.parameter is not None

    def _wire_name(self, name: str) -> str:
        binding = self.bindings.get(name)
        return binding.name if binding is not None and binding.name is not None else name


def _of_members(media_type: str) -> bool:
    """Check whether a body of a media type is written from the members of an object, and may have none."""
    families = (media_types.JSON, media_types.FORM, media_types.MULTIPART)
    return any(family.match(media_type) for family in families)
