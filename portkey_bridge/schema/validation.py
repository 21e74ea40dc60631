"""Arguments against the full schema: every violation with its place, what was given and what would be right.

A check always ends, and never prevents a call because of a mistake of the document alone: a pattern that no
engine here reads, or that takes for ever, and a schema that leads back to itself say nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from portkey_bridge.errors import DanglingReference, Violation
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.schema.deadline import remaining
from portkey_bridge.schema.exact_values import enum, multiple_of, unique_items
from portkey_bridge.schema.patterns import Errors, Patterns, unless_it_fails
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.violations import errors_by_branch, explain_violation

#: Keywords whose schemas speak of the same value, and hold together.
CONJUNCTIONS = frozenset({"allOf", "then", "else"})

#: How many unions inside one another are looked into for what a schema around them names: they can double each time.
UNIONS_INSIDE = 2

#: How many errors are repeated if a second way leads to the same schema and value.
TOLD_AGAIN = 8


class Validation:
    """The compiled check of one schema of the document that `shapes` are of."""

    def __init__(self, schema: Schema, shapes: Shapes) -> None:
        self._shapes = shapes
        self._thread = _Thread()
        self._patterns = Patterns(shapes.names)
        validator: Any = extend(Draft202012Validator, self._keywords())  # type: ignore[no-untyped-call]
        # The explicit empty registry makes a reference to elsewhere an error instead of a download.
        self._validator = validator(shapes.root, registry=Registry()).evolve(schema=schema)

    def violations(self, value: Any, place: Callable[[list[str | int]], str]) -> Iterator[Violation]:
        """Yield the violations of `value`; `place` turns a path inside it into the pointer that the caller knows."""
        self._thread.results.clear()
        try:
            for error in self._validator.iter_errors(value):
                yield from explain_violation(error, place)
                remaining()
        except RecursionError:
            yield Violation(place([]), "is nested too deeply to be checked")

    def errors(self, value: Any, schema: Schema | None = None) -> list[ValidationError]:
        """Return the errors of `value`, under another schema of the document if one is named.

        Raises RecursionError for a value that is nested too deeply, and OutOfTime.
        """
        self._thread.results.clear()
        validator = self._validator if schema is None else self._validator.evolve(schema=schema)
        return list(validator.iter_errors(value))

    def is_type(self, value: Any, kind: str) -> bool:
        """Check whether a value has a type of JSON Schema."""
        return bool(self._validator.is_type(value, kind))

    def _keywords(self) -> dict[str, Callable[[Any, Any, Any, Any], Iterable[ValidationError]]]:
        """Return the keywords whose meaning differs from JSON Schema.

        Exactly one branch of `oneOf` must match, but the branches of many documents overlap: at least one.
        """
        known = Draft202012Validator.VALIDATORS
        changed = {
            "$ref": self._reference,
            "$dynamicRef": lambda *_: (),
            **{keyword: self._composed(known[keyword]) for keyword in ("allOf", "anyOf", "if", "dependentSchemas")},
            "oneOf": self._composed(known["anyOf"]),
            "enum": enum,
            "const": lambda validator, constant, value, schema: enum(validator, [constant], value, schema),
            "multipleOf": multiple_of,
            "required": self._required,
            "dependentRequired": self._dependent_required,
            "properties": self._properties,
            **self._patterns.keywords,
            "unevaluatedItems": unless_it_fails(known["unevaluatedItems"]),
            "uniqueItems": unique_items,
        }
        return {name: _in_time(keyword) for name, keyword in {**known, **changed}.items()}

    def _reference(self, validator: Any, reference: str, value: Any, schema: Any) -> Errors:
        """`$ref`, each target once a value: neither a circle nor a graph of references multiplies the work."""
        try:
            target = self._shapes.target(reference)
        except DanglingReference:
            return
        if not isinstance(target, dict | bool):
            return  # no schema, so it says nothing about the value
        key = (id(target), id(value))
        results = self._thread.results
        if key in results:
            yield from map(ValidationError.create_from, results[key])
            return
        results[key] = []
        errors = list(self._of_request(validator.descend(value, target), schema))
        results[key] = [ValidationError.create_from(error) for error in errors[:TOLD_AGAIN]]
        yield from errors

    def _composed(self, keyword: Callable[[Any, Any, Any, Any], Errors]) -> Callable[[Any, Any, Any, Any], Errors]:
        """Return a keyword that applies other schemas to the same value, which say different things of a property."""
        return lambda validator, parts, value, schema: self._of_request(
            keyword(validator, parts, value, schema), schema
        )

    def _required(self, validator: Any, required: list[str], value: Any, schema: Any) -> Errors:
        missing = [name for name in required if name not in value] if isinstance(value, dict) else []
        errors = (ValidationError("is required but missing", validator="required", path=[name]) for name in missing)
        return self._of_request(errors, schema)

    def _dependent_required(self, validator: Any, dependent: dict[str, list[str]], value: Any, schema: Any) -> Errors:
        possible = {
            name: [other for other in others if not self._shapes.cannot_have(schema, other)]
            for name, others in dependent.items()
        }
        yield from Draft202012Validator.VALIDATORS["dependentRequired"](validator, possible, value, schema)

    def _properties(self, validator: Any, properties: dict[str, Schema], value: Any, schema: Any) -> Errors:
        """`properties`, with the place also where a property may have no value at all."""
        for name in [name for name in properties if name in value] if isinstance(value, dict) else ():
            if properties[name] is False:
                # jsonschema knows no keyword for the schema `false`.
                yield ValidationError("", validator=None, path=[name], instance=value[name])  # type: ignore[arg-type]
            else:
                yield from validator.descend(value[name], properties[name], path=name, schema_path=name)

    def _of_request(self, errors: Iterable[ValidationError], schema: Any) -> Errors:
        """Pass on all errors but two: for properties that no request has (`readOnly`: OpenAPI 3.0.4, 4.7.24.2), and for
        those that a part of a composition names and another part, which knows nothing of them, refuses.

        Formally such values are impossible; documents that compose closed schemas intend them.
        """
        for error in errors:
            if self._is_waived(error, schema, self._shapes.names(schema)):
                continue
            if error.context and not error.relative_path:
                around = self._shapes(schema).get("properties", {}).keys()
                error.context = [cause for cause in error.context if not self._is_waived(cause, schema, around)]
            yield error

    def _is_waived(
        self, error: ValidationError, schema: Any, names: Collection[str], unions: int = UNIONS_INSIDE
    ) -> bool:
        """Check whether an error is passed over. The branches of a union know what is around it, but not each other.

        `names` are those of the properties that are known.
        """
        path = error.relative_path
        if error.context and not path and unions:
            around, branches = self._shapes(schema).get("properties", {}).keys(), errors_by_branch(error)
            return any(all(self._is_waived(cause, schema, around, unions - 1) for cause in each) for each in branches)
        if error.validator == "required" and len(path) == 1:
            return self._shapes.cannot_have(schema, str(path[0]))
        return _is_of_additional(error) and path[0] in names


class _Thread(threading.local):
    """The state of the check that a thread is running."""

    def __init__(self) -> None:
        self.results: dict[tuple[int, int], list[ValidationError]] = {}


def _in_time(keyword: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Any, Any, Any, Any], Any]:
    """Let a keyword raise OutOfTime before it begins: no generator, whose frames would nest too deeply."""

    def check(validator: Any, keyword_value: Any, value: Any, schema: Any) -> Any:
        remaining()
        return keyword(validator, keyword_value, value, schema)

    return check


def _is_of_additional(error: ValidationError) -> bool:
    """Check whether an error is about a property that `additionalProperties` of this schema or its parts speaks of."""
    names = (part for part in error.relative_schema_path if isinstance(part, str) and part not in CONJUNCTIONS)
    inside = next(names, None)
    return inside == "additionalProperties" and len(error.relative_path) > 0
