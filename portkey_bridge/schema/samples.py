"""A value for a schema: made up, valid where that can be managed, and always the same.

What the document itself gives goes first, if it fits its schema: an example, a default, a value of the enumeration. The
rest follows from type, format and bounds. An optional part that would begin again what is being made is left out, so
recursion ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from referencing import Registry

from portkey_bridge.openapi.keywords import KEYWORDS_OF_TYPE, Schema, Shape
from portkey_bridge.schema.patterns import Patterns
from portkey_bridge.schema.shapes import Shapes

#: Texts of the formats that JSON Schema (2020-12, validation 7.3) and OpenAPI name.
SAMPLES_OF_FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "idn-email": "ada@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "iri": "https://example.com/",
    "iri-reference": "/",
    "url": "https://example.com/",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "json-pointer": "/name",
    "regex": ".*",
    "byte": "c29tZSBieXRlcw==",
}

#: Further texts to try for a pattern.
FURTHER_TEXTS = (*"sample Sample SAMPLE a1 A1 1 1.0.0 +10000000000 #000000".split(), *SAMPLES_OF_FORMATS.values())

#: How deep the optional properties of objects go by default, and how many values there may be before they end anyway.
MAX_SAMPLE_LEVELS, MAX_SAMPLE_VALUES = 6, 500


class _Impossible(Exception):
    """No value, or none that ends, fits here."""


class Samples:
    """Values for the schemas of one document. Optional properties go as deep as `depth`; 0 leaves them all out."""

    def __init__(self, shapes: Shapes, *, depth: int = MAX_SAMPLE_LEVELS) -> None:
        self.root = shapes.root
        self._shapes = shapes
        self._depth = depth
        self._values = 0
        validator: Any = extend(Draft202012Validator, Patterns(shapes.names).keywords)  # type: ignore[no-untyped-call]
        checker = Draft202012Validator.FORMAT_CHECKER
        self._validator = validator(shapes.root, registry=Registry(), format_checker=checker)

    def __call__(self, schema: Schema, name: str = "value") -> Any:
        """Return a value for `schema`, None where none exists. `name` is what the value is called: texts repeat it."""
        self._values = 0
        try:
            return self._value(schema, name, ())
        except _Impossible:
            return None

    def fits(self, schema: Schema, value: Any) -> bool:
        """Check whether the value is valid under the schema, its format included."""
        validator = self._validator.evolve(schema=schema)
        return bool(validator.is_valid(value))

    def _value(self, schema: Schema, name: str, trail: tuple[int, ...]) -> Any:
        """Make a value; `trail` holds the shapes that are being made around it."""
        self._values += 1
        shape = self._shapes(schema)
        if id(shape) in trail or shape == {"not": {}}:
            raise _Impossible
        for candidate in _given(shape):
            if self.fits(schema, candidate):
                return candidate
        trail = (*trail, id(shape))
        value = self._of_branch(schema, shape, name, trail) if "anyOf" in shape else self._of_type(shape, name, trail)
        return self._with_residue(value, shape, name, trail)

    def _of_branch(self, schema: Schema, shape: Shape, name: str, trail: tuple[int, ...]) -> Any:
        """Make a value of the first branch whose value is valid under `oneOf`; if none is, of the first."""
        values = []
        for value in self._of_branches(shape, name, trail):
            if self._values > MAX_SAMPLE_VALUES or self.fits(schema, value):
                return value
            values.append(value)
        if not values:
            raise _Impossible
        return values[0]

    def _of_branches(self, shape: Shape, name: str, trail: tuple[int, ...]) -> Iterator[Any]:
        """Yield a value of every branch that has one, null last of all."""
        outside = {keyword: value for keyword, value in shape.items() if keyword not in ("anyOf", "allOf")}
        for branch in sorted(shape["anyOf"], key=lambda branch: self._shapes(branch).get("type") == "null"):
            with suppress(_Impossible):
                yield self._value({"allOf": [outside, branch]} if outside else branch, name, trail)

    def _of_type(self, shape: Shape, name: str, trail: tuple[int, ...]) -> Any:
        kind = _kind(shape)
        if kind == "object":
            return self._object(shape, trail)
        if kind == "array":
            return self._array(shape, name, trail)
        candidates = list(SCALARS[kind](shape, name))
        return next((candidate for candidate in candidates if self.fits(shape, candidate)), candidates[0])

    def _with_residue(self, value: Any, shape: Shape, name: str, trail: tuple[int, ...]) -> Any:
        """Add to an object what the parts of the shape that could not be merged ask for."""
        for part in shape.get("allOf", ()):
            if isinstance(value, dict) and isinstance(more := self._value(part, name, trail), dict):
                value = {**more, **value}
        return value

    def _object(self, shape: Shape, trail: tuple[int, ...]) -> dict[str, Any]:
        properties, required = shape.get("properties", {}), shape.get("required", ())
        made = {}
        for name, schema in properties.items():
            if name in required:
                made[name] = self._value(schema, name, trail)
            elif len(trail) <= self._depth and self._values < MAX_SAMPLE_VALUES:
                with suppress(_Impossible):
                    made[name] = self._value(schema, name, trail)
        for name in self._further_names(shape, made):
            made[name] = self._value(shape.get("additionalProperties", True), name, trail)
        return made

    def _further_names(self, shape: Shape, made: dict[str, Any]) -> list[str]:
        """Return names that `properties` does not have: the required ones, and those of a map that would be empty."""
        names = [name for name in shape.get("required", ()) if name not in made]
        is_map = isinstance(shape.get("additionalProperties"), dict) and "properties" not in shape
        wanted = max(shape.get("minProperties", 0), 1 if is_map and self._depth else 0)
        return [*names, *(f"key{number}" for number in range(len(made) + len(names), wanted))]

    def _array(self, shape: Shape, name: str, trail: tuple[int, ...]) -> list[Any]:
        """Make as many items as must be, and one where none must be."""
        first = [self._value(schema, name, trail) for schema in shape.get("prefixItems", ())]
        least = shape.get("minItems", 0)
        count = min(max(least, 1), shape.get("maxItems", math.inf)) - len(first)
        try:
            rest = [
                self._value(shape.get("items", True), f"{name}-{at + 1}" if at else name, trail)
                for at in range(int(count))
            ]
        except _Impossible:
            if least > len(first):
                raise
            rest = []
        return [*first, *rest]


def _given(shape: Shape) -> Iterator[Any]:
    """Yield the values in the document itself. Null is left out: it says little."""
    lists = (shape.get("examples"), [shape.get("example"), shape.get("default")], shape.get("enum"))
    given = chain.from_iterable(values for values in lists if isinstance(values, list))
    return (value for value in given if value is not None)


def _kind(shape: Shape) -> str:
    """Return the type of the shape, as its keywords have it where it names none."""
    implied = (kind for kind, keywords in KEYWORDS_OF_TYPE.items() if any(keyword in shape for keyword in keywords))
    return str(shape.get("type") or next(implied, "string"))


def _texts(shape: Shape, name: str) -> Iterator[str]:
    plain = SAMPLES_OF_FORMATS.get(shape.get("format", "")) or "some-" + re.sub(r"\W+", "-", name).strip("-")
    for text in (plain, *FURTHER_TEXTS):
        yield text.ljust(shape.get("minLength", 0), "x")[: shape.get("maxLength")]


def _numbers(shape: Shape, name: str) -> Iterator[float]:
    step = shape.get("multipleOf") or 1
    low = max(shape.get("minimum", -math.inf), shape.get("exclusiveMinimum", -math.inf))
    high = min(shape.get("maximum", math.inf), shape.get("exclusiveMaximum", math.inf))
    yield 1
    for bound in (bound for bound in (low, high, (low + high) / 2) if math.isfinite(bound)):
        multiple = math.ceil(bound / step) * step
        yield from (_plain(number) for number in (bound, multiple, multiple + step, multiple - step))
    yield from (0, step)


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


#: The candidates for a value by its type, the first one to be taken if none fits.
SCALARS: dict[str, Callable[[Shape, str], Iterable[Any]]] = {
    "string": _texts,
    "number": _numbers,
    "integer": _numbers,
    "boolean": lambda shape, name: [True, False],
    "null": lambda shape, name: [None],
}
