"""`enum`, `uniqueItems` and `multipleOf` by the values that JSON writes, in bounded time."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from jsonschema.exceptions import ValidationError

from portkey_bridge.schema.deadline import remaining
from portkey_bridge.schema.patterns import Errors


def enum(validator: Any, values: list[Any], value: Any, schema: Any) -> Errors:
    """`enum`, whose message does not repeat all values for each error: there may be thousands of both."""
    given = comparable(value)
    if not any(comparable(each) == given for each in values):
        yield ValidationError("is none of the values")


def unique_items(validator: Any, unique: bool, value: Any, schema: Any) -> Errors:
    """`uniqueItems` in linear time."""
    if unique and isinstance(value, list) and len(set(map(comparable, value))) < len(value):
        yield ValidationError("has equal items")


def comparable(value: Any) -> Any:
    """Return what is equal and hashable for equal JSON values: 1 and 1.0 are equal, 1 and true are not.

    Raises OutOfTime.
    """
    remaining()
    if isinstance(value, dict):
        return dict, frozenset((name, comparable(each)) for name, each in value.items())
    if isinstance(value, list):
        return list, tuple(map(comparable, value))
    return isinstance(value, bool), value


def multiple_of(validator: Any, divisor: float, value: Any, schema: Any) -> Errors:
    """`multipleOf` by the digits that are written: 0.07 is a multiple of 0.01, whatever the quotient of the floats."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(value) < math.inf and _exactly(value) % _exactly(divisor):
        yield ValidationError("is not a multiple")


def _exactly(number: float) -> Fraction:
    return Fraction(number if isinstance(number, int) else repr(number))
