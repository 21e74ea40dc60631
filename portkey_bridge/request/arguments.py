"""Flat arguments: every parameter by its own name, beside the body's own properties.

*Bindings* say where each argument goes: argument -> (location, wire name). Binding is a look-up, and its inverse is
exact. The full input schema is made of the document's own schemas, and arguments are always checked against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from portkey_bridge import media_types
from portkey_bridge.errors import Violation, likely
from portkey_bridge.openapi.model import MediaType, Parameter, Place, Schema
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.schema.shapes import Shape, Shapes

if TYPE_CHECKING:
    from portkey_bridge.schema.validation import Validation


#: Keywords that an object without properties may violate.
NEVER_EMPTY = frozenset({"properties", "minProperties", "anyOf", "allOf", "enum", "not", "if"})


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
            body = arguments.get(self._whole_body, {} if self._is_empty_object else None)
            return Bound(parameters, self._whole_body in arguments or self._is_empty_object, body, self)
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
            yield Violation(pointer_to([self._whole_body]), "is required but missing")

    def _unknown(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        for name in arguments:
            if name in self._arguments_of_body and name not in self.bindings:
                yield Violation(pointer_to([name]), f"is called {self._arguments_of_body[name]} here")
            elif name not in self.bindings and self.further is False:
                yield Violation(pointer_to([name]), f"there is no such argument; {likely(name, self.bindings)}")

    @cached_property
    def _parameters_validation(self) -> Validation:
        from portkey_bridge.schema.validation import Validation

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
        from portkey_bridge.schema.validation import Validation

        return Validation(self.media_type.schema, self.shapes) if self.media_type is not None else None

    @cached_property
    def _whole_body(self) -> str | None:
        """The argument that is the whole body, if there is one."""
        return next(
            (name for name, binding in self.bindings.items() if binding.location == "body" and binding.name is None),
            None,
        )

    @property
    def has_properties(self) -> bool:
        """Whether the properties of the body are arguments of their own."""
        return self.media_type is not None and self._whole_body is None

    @cached_property
    def _is_empty_object(self) -> bool:
        """Whether the body is required and can only be left out as an object without properties."""
        if not self.body_required or self.media_type is None or not media_types.JSON.match(self.media_type.name):
            return False
        shape = self.shapes(self.media_type.schema)
        return shape.get("type") == "object" and shape.keys().isdisjoint(NEVER_EMPTY)

    @cached_property
    def _arguments_of_body(self) -> dict[str, str]:
        return {
            binding.name: name
            for name, binding in self.bindings.items()
            if binding.location == "body" and binding.name is not None
        }

    def place_in_body(self, path: Sequence[str | int]) -> str:
        """Return the pointer into the arguments for a path into the body."""
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
    is left to the arguments of the one that is named. This class is for readers: it has everything that any takes.
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
