"""The check of a value against one schema: a fast answer where it is surely valid, else a thorough one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from portkey_bridge.errors import Violation
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.schema.fast_check import IsValid, fast_check
from portkey_bridge.schema.shapes import Shapes

if TYPE_CHECKING:
    from portkey_bridge.schema.validation import Validation


class Check:
    """Checks values against a schema of the document that `shapes` are of. Nothing is compiled before it is needed."""

    def __init__(self, schema: Schema, shapes: Shapes) -> None:
        self._schema, self._shapes = schema, shapes

    @cached_property
    def _is_valid(self) -> IsValid | None:
        return fast_check(self._schema, self._shapes)

    @cached_property
    def validation(self) -> Validation:
        """The thorough check."""
        from portkey_bridge.schema.validation import Validation

        return Validation(self._schema, self._shapes)

    def is_surely_valid(self, value: Any) -> bool:
        """Check whether a value is valid, as far as a fast check can tell."""
        return self._is_valid is not None and self._is_valid(value)

    def violations(self, value: Any, place: Callable[[list[str | int]], str]) -> Iterator[Violation]:
        """Yield the violations of `value`; `place` turns a path inside it into the pointer that the caller knows."""
        if not self.is_surely_valid(value):
            yield from self.validation.violations(value, place)
