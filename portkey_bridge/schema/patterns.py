"""The keywords of JSON Schema that hold regular expressions, for documents from anywhere.

Patterns are ECMAScript's (JSON Schema 2020-12 core section 6.4), and of untrusted documents. One that no
engine here reads, or that takes for ever, says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from typing import Any

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from portkey_bridge.errors import likely
from portkey_bridge.schema.deadline import remaining

Errors = Iterator[ValidationError]

#: Seconds that one match of a pattern may take.
MATCH_TIMEOUT = 0.1


class Patterns:
    """Matches patterns, and remembers those that cannot be used.

    `names` returns the names of the properties that a schema declares.
    """

    def __init__(self, names: Callable[[Any], Collection[str]]) -> None:
        self._names = names
        self._compiled = cache(regex.compile)
        self._unusable: set[str] = set()

    @property
    def keywords(self) -> dict[str, Callable[[Any, Any, Any, Any], Iterable[ValidationError]]]:
        """The keywords, for `jsonschema.validators.extend`."""
        return {
            "pattern": self._pattern,
            "patternProperties": self._pattern_properties,
            "additionalProperties": self._additional_properties,
            "unevaluatedProperties": self._unevaluated_properties,
        }

    def _pattern(self, validator: Any, pattern: str, value: Any, schema: Any) -> Errors:
        if isinstance(value, str) and self._matches(pattern, value) is False:
            yield ValidationError("does not match")

    def _pattern_properties(self, validator: Any, patterns: dict[str, Any], value: Any, schema: Any) -> Errors:
        for pattern, below in patterns.items():
            for name in value if isinstance(value, dict) else ():
                if self._matches(pattern, name):
                    yield from validator.descend(value[name], below, path=name, schema_path=pattern)

    def _additional_properties(self, validator: Any, below: Any, value: Any, schema: Any) -> Errors:
        """`additionalProperties`, which is not about what the parts of the schema declare: it closes all of them."""
        known, patterns = self._names(schema), schema.get("patternProperties", ())
        for name in value if isinstance(value, dict) else ():
            if name in known or any(self._matches(each, name) is not False for each in patterns):
                continue
            remaining()
            if below is False:
                yield ValidationError(f"there is no such property; {likely(name, known)}", path=[name])
            else:
                yield from validator.descend(value[name], below, path=name)

    def _unevaluated_properties(self, validator: Any, below: Any, value: Any, schema: Any) -> Errors:
        """`unevaluatedProperties`, which the library matches without a bound in time: not by patterns that need one."""
        names = value if isinstance(value, dict) else ()
        if all(self._matches(each, name) is not None for each in _patterns_in(schema) for name in names):
            yield from unless_it_fails(Draft202012Validator.VALIDATORS["unevaluatedProperties"])(
                validator, below, value, schema
            )

    def _matches(self, pattern: str, text: str) -> bool | None:
        """Check whether a pattern occurs in the text; None for a pattern that cannot be used."""
        if pattern in self._unusable:
            return None
        try:
            patience = min(MATCH_TIMEOUT, remaining())
            return self._compiled(pattern).search(text, timeout=patience, concurrent=True) is not None
        except TimeoutError:
            remaining()  # a pattern that had less than its time may be usable
            self._unusable.add(pattern)
            return None
        except regex.error:
            self._unusable.add(pattern)
            return None


def _patterns_in(schema: Any) -> Iterator[str]:
    """Yield the patterns of names in a schema and the schemas inside, up to references."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from each.get("patternProperties", ())
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def unless_it_fails(keyword: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Any, Any, Any, Any], Errors]:
    """Let a keyword of the library say nothing where it meets a pattern, or a circle, that it cannot follow."""

    def check(validator: Any, below: Any, value: Any, schema: Any) -> Errors:
        try:
            yield from list(keyword(validator, below, value, schema) or ())
        except (re.error, RecursionError):
            return

    return check
