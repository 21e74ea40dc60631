"""What a body whose properties are flat arguments says of several of them together.

The input schema repeats it for those who read it; what is checked is the body itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.request.arguments import Binding
from portkey_bridge.schema.shapes import Shapes

#: Keywords about several properties of a body, which the input schema repeats if there are no other arguments.
TOGETHER = (
    *("anyOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
    *("propertyNames", "minProperties", "maxProperties"),
)

#: Schemas that the rules of one body may have.
MAX_RULES = 1_000


def rules_together(shape: Shape, body_required: bool, bindings: Sequence[Binding], shapes: Shapes) -> Shape:
    """Return what a body requires of its properties together: unions, and what an optional body needs if present.

    These are keywords that a listing leaves out. What speaks of more than named properties is left to the check of
    the body, where parameters are beside them.
    """
    names = {binding.name: binding.argument for binding in bindings if binding.location == "body"}
    beside = {binding.argument for binding in bindings if binding.location != "body"}
    required = [] if body_required else [names[name] for name in shape.get("required", ()) if name in names]
    said = {keyword: shape[keyword] for keyword in TOGETHER if keyword in shape}
    if beside or any(wire != argument for wire, argument in names.items()):
        said = _RulesOfNames(names, beside, shapes).of_keywords(said, exactly=False)
    if beside and shape.get("minProperties"):
        said["not"] = {"propertyNames": {"enum": sorted(beside)}}
    return said | ({"required": required} if required else {})


class _Beyond(Exception):
    """A schema speaks of more than properties by their names."""


class _RulesOfNames:
    """Writes the rules of a body for its arguments, whose `names` may differ, and which have others `beside` them."""

    def __init__(self, names: Mapping[Any, str], beside: Collection[str], shapes: Shapes) -> None:
        self.names = names
        self.beside = beside
        self.shapes = shapes
        self.left = MAX_RULES

    def of_schema(self, schema: Schema, *, exactly: bool) -> Schema:
        """Return a schema of the arguments that accepts what a schema of the body accepts, or more if not `exactly`.

        Raises _Beyond where that cannot be said.
        """
        self.left -= 1
        if self.left < 0:
            raise _Beyond
        if isinstance(schema, bool):
            return schema
        if exactly and "$ref" in schema:
            beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
            schema = {"allOf": [beside, self.shapes.target(schema["$ref"])]}
        return self.of_keywords(schema if exactly else self.shapes(schema), exactly=exactly)

    def of_keywords(self, schema: Shape, *, exactly: bool) -> Shape:
        said: Shape = {}
        for keyword, value in schema.items():
            try:
                said[keyword] = self.of_keyword(keyword, value, exactly=exactly)
            except _Beyond:
                if exactly:
                    raise
        return said if "if" in said else {key: value for key, value in said.items() if key not in ("then", "else")}

    def of_keyword(self, keyword: str, value: Any, *, exactly: bool) -> Any:
        match keyword:
            case "title" | "description" | "type":
                return value
            case "required":
                return [self.name(name) for name in value]
            case "properties":
                return {self.name(name): schema for name, schema in value.items()}
            case "dependentRequired":
                return {self.name(name): [self.name(other) for other in others] for name, others in value.items()}
            case "dependentSchemas":
                return {self.name(name): self.of_schema(value[name], exactly=exactly) for name in value}
            case "allOf" | "anyOf" | "oneOf":
                return [self.of_schema(schema, exactly=exactly) for schema in value]
            case "then" | "else":
                return self.of_schema(value, exactly=exactly)
            case "not" | "if":  # which turn round what is below them, so that nothing may be left out there
                return self.of_schema(value, exactly=True)
        raise _Beyond

    def name(self, name: str) -> str:
        """Return the argument of a property. Raises _Beyond if something else is called so."""
        if name not in self.names and name in self.beside:
            raise _Beyond
        return self.names.get(name, name)
