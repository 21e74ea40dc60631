"""Arguments against the full schema: every violation with its place, what was given and what would be right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonpointer import JsonPointer
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from portkey_bridge.errors import Violation
from portkey_bridge.operations import Schema
from portkey_bridge.references import follow

#: Characters of a given value that a violation repeats.
SHOWN = 80

#: Fields of the document's root that JSON Schema would take for its own.
NOT_FOR_VALIDATION = frozenset({"$schema", "$id", "$self", "$ref"})


def _required(validator: Any, required: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """`required`, but for `readOnly` properties, which no request has (OpenAPI 3.0.4 section 4.7.24.2)."""
    if not isinstance(instance, dict):
        return
    properties = schema.get("properties", {})
    for name in required:
        if name not in instance and not _is_read_only(validator, properties.get(name)):
            yield ValidationError("is required, and missing", path=[name])


def _is_read_only(validator: Any, schema: Any) -> bool:
    root = validator._resolver.lookup("").contents if isinstance(schema, dict) and "$ref" in schema else None
    resolved = follow(root, schema) if root is not None else schema
    return any(isinstance(value, dict) and value.get("readOnly") is True for value in (schema, resolved))


#: Exactly one branch of `oneOf` must fit by the letter, but the branches of many documents overlap: at least one.
Validator: Any = extend(  # type: ignore[no-untyped-call]  # the stubs have no types for it
    Draft202012Validator, {"required": _required, "oneOf": Draft202012Validator.VALIDATORS["anyOf"]}
)


class Validation:
    """The compiled check of one schema, which may refer into the document `root`."""

    def __init__(self, schema: Schema, root: Mapping[str, Any]) -> None:
        document = {key: value for key, value in root.items() if key not in NOT_FOR_VALIDATION}
        # The explicit empty registry makes a reference to elsewhere an error instead of a download.
        self._validator = Validator({**document, "allOf": [schema]}, registry=Registry())

    def violations(self, value: Any, place: Callable[[list[str | int]], str]) -> Iterator[Violation]:
        """Yield what is wrong with `value`; `place` turns a path inside it into the pointer that the caller knows."""
        for error in self._validator.iter_errors(value):
            yield from explain(error, place)


def explain(error: ValidationError, place: Callable[[list[str | int]], str]) -> Iterator[Violation]:
    """Yield what the error means: where `place` puts its path, what would be right, and what was given."""
    if error.validator in ("anyOf", "oneOf"):
        for cause in _meant(error):
            yield from explain(cause, place)
        if _meant(error):
            return
    problem = _describe(error)
    if error.validator != "required":
        problem = f"{problem}, not {_shown(error.instance)}"
    yield Violation(place(list(error.absolute_path)), problem)


def _describe(error: ValidationError) -> str:
    describe = EXPLANATIONS.get(str(error.validator))
    return describe(error) if describe else error.message[:300]


def _meant(error: ValidationError) -> list[ValidationError]:
    """Give the errors in the one branch that the value was meant for; none where no branch stands out.

    A branch that fails for the type of the whole value, or for the `enum` of one of its properties, was not meant. If
    all branches fail for the `enum` of the same property, that property is what is wrong.
    """
    branches: dict[Any, list[ValidationError]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.schema_path[0], []).append(cause)
    meant = [causes for causes in branches.values() if not any(_excludes(cause) for cause in causes)]
    if len(meant) == 1:
        return meant[0]
    tags = [cause for causes in branches.values() for cause in causes if _is_tag(cause)]
    if not meant and len(tags) == len(branches) and len({tuple(tag.relative_path) for tag in tags}) == 1:
        values = [value for tag in tags for value in _choices(tag)]
        return [_unlike_any(tags[0], values, error)]
    return []


def _unlike_any(tag: ValidationError, values: list[Any], union: ValidationError) -> ValidationError:
    return ValidationError(
        "", validator="enum", validator_value=values, instance=tag.instance, path=tag.relative_path, parent=union
    )


def _excludes(cause: ValidationError) -> bool:
    return _is_tag(cause) or (cause.validator in ("type", "enum", "const") and not cause.relative_path)


def _is_tag(cause: ValidationError) -> bool:
    return cause.validator in ("enum", "const") and len(cause.relative_path) == 1


def _choices(error: ValidationError) -> list[Any]:
    value: Any = error.validator_value
    return list(value) if error.validator == "enum" else [value]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _types(error: ValidationError) -> str:
    types = error.validator_value
    expected = " or ".join(types) if isinstance(types, list) else str(types)
    if isinstance(error.instance, str) and expected in ("object", "array") and error.instance[:1] in "{[":
        return f"expected {expected} itself and not its JSON text in a string"
    return f"expected {expected}"


def _alternatives(error: ValidationError) -> str:
    causes = dict.fromkeys(_describe(cause) for cause in error.context or () if _is_shallow(cause))
    return "; or ".join(list(causes)[:4]) or "fits none of its alternatives"


def _is_shallow(cause: ValidationError) -> bool:
    return not cause.relative_path or cause.validator == "required"


def _one_of(error: ValidationError) -> str:
    values = _choices(error)
    return "expected one of " + ", ".join(map(_shown, values[:30])) + (" …" if len(values) > 30 else "")


#: What would be right, by the keyword that a value breaks.
EXPLANATIONS: dict[str, Callable[[ValidationError], str]] = {
    "type": _types,
    "enum": _one_of,
    "const": _one_of,
    "required": lambda error: error.message,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "additionalProperties": lambda error: error.message,
    "minimum": lambda error: f"expected at least {error.validator_value}",
    "maximum": lambda error: f"expected at most {error.validator_value}",
    "exclusiveMinimum": lambda error: f"expected more than {error.validator_value}",
    "exclusiveMaximum": lambda error: f"expected less than {error.validator_value}",
    "multipleOf": lambda error: f"expected a multiple of {error.validator_value}",
    "minLength": lambda error: f"expected at least {error.validator_value} characters",
    "maxLength": lambda error: f"expected at most {error.validator_value} characters",
    "minItems": lambda error: f"expected at least {error.validator_value} items",
    "maxItems": lambda error: f"expected at most {error.validator_value} items",
    "pattern": lambda error: f"expected text that matches {error.validator_value}",
}


def pointer(path: list[str | int]) -> str:
    """Write a path inside a value as a JSON pointer (RFC 6901)."""
    return str(JsonPointer.from_parts(path).path)
