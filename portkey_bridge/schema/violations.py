"""What an error of jsonschema says to the caller: its place, what would be right, and what was given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from jsonschema.exceptions import ValidationError

from portkey_bridge.errors import Violation
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.schema.exact_values import comparable
from portkey_bridge.schema.visible_values import visible_values

#: Characters of a given value that a violation repeats, and values that it says are possible.
MAX_SHOWN_VALUE, MAX_SHOWN_CHOICES = 80, 30


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
    words = EXPLANATIONS.get(str(error.validator))
    if words is None:
        return error.message[:300]
    return words.format(error.validator_value) if isinstance(words, str) else words(error)


def _meant(error: ValidationError) -> list[ValidationError]:
    """Return the errors in the branch that the value was intended for; none if no branch is clearly closest.

    Out of question are the branches that fail for the type of the whole value, and those that the *tag* excludes, the
    property whose values tell the branches apart. Of the others the one with the fewest errors is the nearest; of
    several, what is wrong with all of them.
    """
    possible = [causes for causes in errors_by_branch(error) if not any(map(_excludes, causes))]
    tag = _tag(possible)
    accepting = [causes for causes in possible if tag not in _tags(causes)]
    if tag is not None and not accepting:
        return [_unlike_any([_tags(causes)[tag] for causes in possible])]
    nearest = sorted(accepting, key=len)[:2]
    if len(nearest) == 2 and (len(nearest[0]) == len(nearest[1]) or all(map(_is_shallow, nearest[0]))):
        return [cause for cause in nearest[0] if all(_is_among(cause, causes) for causes in accepting)]
    return nearest[0] if nearest else []


def errors_by_branch(error: ValidationError) -> list[list[ValidationError]]:
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
    values = {comparable(value): value for tag in tags for value in _choices(tag)}
    return ValidationError(
        "", validator="enum", validator_value=list(values.values()), instance=tags[0].instance, path=tags[0].path
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
    problems = dict.fromkeys(_in_one_branch(causes[0]) for causes in errors_by_branch(error))
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


#: What a keyword expects, by the keyword that was violated, as words around its value, or made of the error.
EXPLANATIONS: dict[str, str | Callable[[ValidationError], str]] = {
    "None": "no value is accepted",
    "type": _types,
    "enum": _one_of,
    "const": _one_of,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "not": lambda error: f"expected anything that does not match {_shown(error.validator_value)}",
    "dependentRequired": _dependent,
    "minimum": "expected at least {}",
    "maximum": "expected at most {}",
    "exclusiveMinimum": "expected more than {}",
    "exclusiveMaximum": "expected less than {}",
    "multipleOf": "expected a multiple of {}",
    "minLength": "expected at least {} characters",
    "maxLength": "expected at most {} characters",
    "minItems": "expected at least {} items",
    "maxItems": "expected at most {} items",
    "items": lambda error: f"expected at most {len(_beside(error, 'prefixItems', ()))} items",
    "uniqueItems": "expected unique items",
    "contains": lambda error: f"expected an item that matches {_shown(error.validator_value)}",
    "minContains": lambda error: f"expected at least {error.validator_value} items that match {_contained(error)}",
    "maxContains": lambda error: f"expected at most {error.validator_value} items that match {_contained(error)}",
    "minProperties": "expected at least {} properties",
    "maxProperties": "expected at most {} properties",
    "pattern": "expected text that matches {}",
}

#: Keywords whose explanation is not about the value as a whole.
COMPLETE = frozenset({"required", "additionalProperties", "unevaluatedProperties", "dependentRequired"})
