"""Arguments against the full schema: every violation with its place, what was given and what would be right.

A check always ends, and never prevents a call because of a mistake of the document alone: a pattern that no
engine here reads, or that takes for ever, and a schema that leads back to itself say nothing.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from portkey_bridge.errors import DanglingReference, Violation
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.schema.deadline import remaining
from portkey_bridge.schema.patterns import Errors, Patterns, unless_it_fails
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.visible_values import visible_values

#: Characters of a given value that a violation repeats, and values that it says are possible.
MAX_SHOWN_VALUE, MAX_SHOWN_CHOICES = 80, 30

#: Keywords whose schemas speak of the same value, and hold together.
CONJUNCTIONS = frozenset({"allOf", "then", "else"})

#: How many unions inside one another are looked into for what a schema around them names: they can double each time.
UNIONS_INSIDE = 2

#: How many errors are told again where a second way leads to the same schema and value.
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
            "enum": _enum,
            "const": lambda validator, constant, value, schema: _enum(validator, [constant], value, schema),
            "multipleOf": _multiple_of,
            "required": self._required,
            "dependentRequired": self._dependent_required,
            "properties": self._properties,
            **self._patterns.keywords,
            "unevaluatedItems": unless_it_fails(known["unevaluatedItems"]),
            "uniqueItems": _unique_items,
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
            around, branches = self._shapes(schema).get("properties", {}).keys(), _branches(error)
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


def _enum(validator: Any, values: list[Any], value: Any, schema: Any) -> Errors:
    """`enum`, whose message does not repeat all values for each error: there may be thousands of both."""
    given = _comparable(value)
    if not any(_comparable(each) == given for each in values):
        yield ValidationError("is none of the values")


def _unique_items(validator: Any, unique: bool, value: Any, schema: Any) -> Errors:
    """`uniqueItems` in linear time."""
    if unique and isinstance(value, list) and len(set(map(_comparable, value))) < len(value):
        yield ValidationError("has equal items")


def _comparable(value: Any) -> Any:
    """Return what is equal and hashable for equal JSON values: 1 and 1.0 are equal, 1 and true are not.

    Raises OutOfTime.
    """
    remaining()
    if isinstance(value, dict):
        return dict, frozenset((name, _comparable(each)) for name, each in value.items())
    if isinstance(value, list):
        return list, tuple(map(_comparable, value))
    return isinstance(value, bool), value


def _multiple_of(validator: Any, divisor: float, value: Any, schema: Any) -> Errors:
    """`multipleOf` by the digits that are written: 0.07 is a multiple of 0.01, whatever the quotient of the floats."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(value) < math.inf and _exactly(value) % _exactly(divisor):
        yield ValidationError("is not a multiple")


def _exactly(number: float) -> Fraction:
    return Fraction(number if isinstance(number, int) else repr(number))


def _is_of_additional(error: ValidationError) -> bool:
    """Check whether an error is about a property that `additionalProperties` of this schema or its parts speaks of."""
    names = (part for part in error.relative_schema_path if isinstance(part, str) and part not in CONJUNCTIONS)
    inside = next(names, None)
    return inside == "additionalProperties" and len(error.relative_path) > 0


def explain_violation(
    error: ValidationError, place: Callable[[list[str | int]], str], path: Sequence[str | int] = ()
) -> Iterator[Violation]:
    """Yield the violations that an error means: where `place` puts its path, what would be right, and what was given.

    `path` leads to the value that the error's own path starts from.
    """
    path = [*path, *error.relative_path]
    meant = _meant(error) if error.validator in ("anyOf", "oneOf") else []
    for cause in meant:
        yield from explain_violation(cause, place, path)
    if not meant:
        given = "" if error.validator in COMPLETE else f", not {_shown(error.instance)}"
        yield Violation(place(path), f"{_describe(error)}{given}")


def _describe(error: ValidationError) -> str:
    describe = EXPLANATIONS.get(str(error.validator))
    return describe(error) if describe else error.message[:300]


def _meant(error: ValidationError) -> list[ValidationError]:
    """Return the errors in the branch that the value was intended for; none if no branch is clearly closest.

    Out of question are the branches that fail for the type of the whole value, and those that the *tag* excludes, the
    property whose values tell the branches apart. Of the others the one with the fewest errors is the nearest; of
    several, what is wrong with all of them.
    """
    possible = [causes for causes in _branches(error) if not any(map(_excludes, causes))]
    tag = _tag(possible)
    accepting = [causes for causes in possible if tag not in _tags(causes)]
    if tag is not None and not accepting:
        return [_unlike_any([_tags(causes)[tag] for causes in possible])]
    nearest = sorted(accepting, key=len)[:2]
    if len(nearest) == 2 and (len(nearest[0]) == len(nearest[1]) or all(map(_is_shallow, nearest[0]))):
        return [cause for cause in nearest[0] if all(_is_among(cause, causes) for causes in accepting)]
    return nearest[0] if nearest else []


def _branches(error: ValidationError) -> list[list[ValidationError]]:
    """Return what is wrong with each branch of a union."""
    branches: dict[Any, list[ValidationError]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.schema_path[0], []).append(cause)
    return list(branches.values())


def _is_among(cause: ValidationError, causes: list[ValidationError]) -> bool:
    return any((cause.path, _describe(cause)) == (other.path, _describe(other)) for other in causes)


def _tag(branches: list[list[ValidationError]]) -> str | int | None:
    """Return the property that most branches refuse for its one value, or that all refuse for its values."""
    refusals = [_tags(causes) for causes in branches]
    counts = Counter(name for tags in refusals for name in tags)
    telling = [
        name
        for name, count in counts.items()
        if count == len(branches) or all(len(_choices(tags[name])) == 1 for tags in refusals if name in tags)
    ]
    return max(telling, key=lambda name: counts[name], default=None)


def _tags(causes: list[ValidationError]) -> dict[str | int, ValidationError]:
    return {
        cause.relative_path[0]: cause
        for cause in causes
        if cause.validator in ("enum", "const") and len(cause.relative_path) == 1
    }


def _unlike_any(tags: list[ValidationError]) -> ValidationError:
    values = {_comparable(value): value for tag in tags for value in _choices(tag)}
    return ValidationError(
        "",
        validator="enum",
        validator_value=list(values.values()),
        instance=tags[0].instance,
        path=tags[0].path,
    )


def _excludes(cause: ValidationError) -> bool:
    return cause.validator in ("type", "enum", "const") and not cause.relative_path


def _choices(error: ValidationError) -> list[Any]:
    value: Any = error.validator_value
    return list(value) if error.validator == "enum" else [value]


def _shown(value: Any) -> str:
    """Return a value as JSON, cut to its beginning. A large one is not written first."""
    value = value[: MAX_SHOWN_VALUE + 1] if isinstance(value, str) else value
    pieces = islice(json.JSONEncoder(ensure_ascii=False).iterencode(value), MAX_SHOWN_VALUE)
    text = "".join(pieces)
    return text if len(text) <= MAX_SHOWN_VALUE else f"{text[:MAX_SHOWN_VALUE]}…"


def _types(error: ValidationError) -> str:
    types: Any = error.validator_value
    return f"expected {' or '.join(types) if isinstance(types, list) else types}"


def _alternatives(error: ValidationError) -> str:
    problems = dict.fromkeys(_in_one_branch(causes[0]) for causes in _branches(error))
    return "; or ".join(list(problems)[:6]) or "matches none of the alternatives"


def _in_one_branch(cause: ValidationError) -> str:
    """Report what is wrong with a branch, with its place below the union."""
    if _is_shallow(cause) and cause.validator == "required":
        return f"needs {cause.relative_path[-1]}"
    # A union inside is not told: unions of unions would be told over and over.
    problem = "matches none of the alternatives" if cause.validator in ("anyOf", "oneOf") else _describe(cause)
    return f"{pointer_to(cause.relative_path)} {problem}".lstrip()


def _is_shallow(cause: ValidationError) -> bool:
    return len(cause.relative_path) == (1 if cause.validator == "required" else 0)


def _one_of(error: ValidationError) -> str:
    choices = _choices(error)
    values = dict.fromkeys(map(_shown, visible_values(choices[:MAX_SHOWN_CHOICES])))
    return "expected one of " + ", ".join(values) + (" …" if len(choices) > MAX_SHOWN_CHOICES else "")


def _dependent(error: ValidationError) -> str:
    given: Any = error.instance
    needs: Any = error.validator_value
    lacking = {name: [other for other in needs[name] if other not in given] for name in needs if name in given}
    return "; ".join(f"{name} needs {', '.join(others)} beside it" for name, others in lacking.items() if others)


def _beside(error: ValidationError, keyword: str, default: Any) -> Any:
    """Return the value of another keyword of the schema that the error is about."""
    schema: Any = error.schema
    return schema.get(keyword, default)


def _contained(error: ValidationError) -> str:
    return _shown(_beside(error, "contains", True))


#: The expected value, by the keyword that was violated.
EXPLANATIONS: dict[str, Callable[[ValidationError], str]] = {
    "None": lambda error: "no value is accepted",
    "type": _types,
    "enum": _one_of,
    "const": _one_of,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "not": lambda error: f"expected anything that does not match {_shown(error.validator_value)}",
    "dependentRequired": _dependent,
    "minimum": lambda error: f"expected at least {error.validator_value}",
    "maximum": lambda error: f"expected at most {error.validator_value}",
    "exclusiveMinimum": lambda error: f"expected more than {error.validator_value}",
    "exclusiveMaximum": lambda error: f"expected less than {error.validator_value}",
    "multipleOf": lambda error: f"expected a multiple of {error.validator_value}",
    "minLength": lambda error: f"expected at least {error.validator_value} characters",
    "maxLength": lambda error: f"expected at most {error.validator_value} characters",
    "minItems": lambda error: f"expected at least {error.validator_value} items",
    "maxItems": lambda error: f"expected at most {error.validator_value} items",
    "items": lambda error: f"expected at most {len(_beside(error, 'prefixItems', ()))} items",
    "uniqueItems": lambda error: "expected unique items",
    "contains": lambda error: f"expected an item that matches {_shown(error.validator_value)}",
    "minContains": lambda error: f"expected at least {error.validator_value} items that match {_contained(error)}",
    "maxContains": lambda error: f"expected at most {error.validator_value} items that match {_contained(error)}",
    "minProperties": lambda error: f"expected at least {error.validator_value} properties",
    "maxProperties": lambda error: f"expected at most {error.validator_value} properties",
    "pattern": lambda error: f"expected text that matches {error.validator_value}",
}

#: Keywords whose explanation is not about the value as a whole.
COMPLETE = frozenset({"required", "additionalProperties", "unevaluatedProperties", "dependentRequired"})
