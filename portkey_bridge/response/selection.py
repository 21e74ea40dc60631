"""Selects what a caller wants of an answer: a JMESPath expression, checked before anything is sent.

Numbers keep the text that the API sent. No expression makes a value that is much heavier than the answer itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import EmptyExpressionError, JMESPathError, ParseError
from jmespath.functions import Functions
from jmespath.visitor import Options, TreeInterpreter

from portkey_bridge.errors import CallError
from portkey_bridge.response.exact_json import decode_exactly, encode_exactly

#: Characters of an expression, and of one part of it that a message repeats.
MAX_EXPRESSION, MAX_REPEATED = 2000, 60

#: What all values together may weigh that an expression makes: a constant, and a factor for the bytes of the answer.
MIN_WEIGHT, WEIGHT_PER_BYTE = 1 << 24, 8

#: Levels and members of the shape of an answer.
SHAPE_LEVELS, SHAPE_MEMBERS = 4, 60

JSON_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", type(None): "null", int: "number"}


class SelectError(CallError):
    """A `select` cannot be applied. The message names it, the position, and what to do."""


class _Exact(Functions):
    """The functions of JMESPath; a number in a text keeps its digits."""

    def _to_string(self, value: Any) -> str:
        return value if isinstance(value, str) else encode_exactly(value).decode()


_Exact.FUNCTION_TABLE = {
    **Functions.FUNCTION_TABLE,
    "to_string": {**Functions.FUNCTION_TABLE["to_string"], "function": _Exact._to_string},
}


class _Bounded(TreeInterpreter):
    """Evaluates an expression within a weight: without it, `[@,@]|[@,@]|…` would make a value of any size."""

    def __init__(self, weight: int) -> None:
        super().__init__(Options(custom_functions=_Exact()))
        self._left = weight
        self._known: dict[int, tuple[Any, int]] = {}  # with the value, so that no other one gets its id

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().visit(node, *args, **kwargs)
        made = isinstance(result, str) or node["type"] in ("flatten", "projection", "value_projection")
        self._spend(1 + (len(result) if made and result is not None else 0))
        if node["type"] in ("multi_select_list", "multi_select_dict"):
            self._spend(self._weight(result))
        return result

    def _spend(self, weight: int) -> None:
        self._left -= weight
        if self._left < 0:
            raise SelectError("/select: this expression makes too much of the answer. Select less.")

    def _weight(self, value: Any) -> int:
        """Return the characters and members of a value, each as often as it would be written."""
        if isinstance(value, str):
            return len(value) + 1
        if not isinstance(value, list | dict):
            return 1
        if id(value) not in self._known:
            inside = value if isinstance(value, list) else value.values()
            self._known[id(value)] = value, 1 + sum(map(self._weight, inside))
        return self._known[id(value)][1]


class Selection:
    """A JMESPath expression that can be applied. Raises SelectError for one that is invalid."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        if len(expression) > MAX_EXPRESSION:
            raise SelectError(f"/select: at most {MAX_EXPRESSION} characters, not {len(expression)}.")
        try:
            self._parsed = jmespath.compile(expression).parsed
        except EmptyExpressionError:
            raise SelectError("/select: expected a JMESPath expression such as data[].id, not an empty text.") from None
        except ParseError as error:
            raise SelectError(_misread(expression, error)) from None
        except RecursionError:
            raise SelectError("/select: this expression is nested too deep.") from None
        for problem in _misused(self._parsed, expression):
            raise SelectError(problem)

    def apply(self, body: bytes) -> bytes | None:
        """Return the JSON text of what the expression selects from a JSON text; None if that is nothing.

        Raises SelectError if the expression does not fit the answer.
        """
        try:
            value = _Bounded(MIN_WEIGHT + WEIGHT_PER_BYTE * len(body)).visit(self._parsed, decode_exactly(body))
            return None if _is_nothing(value) else encode_exactly(value)
        except (JMESPathError, RecursionError, ArithmeticError, TypeError, ValueError) as error:
            raise SelectError(f"/select: {' '.join(str(error).split())[:300]}") from error


def selection_of(value: Any) -> Selection:
    """Return the selection that an argument holds. Raises SelectError."""
    if not isinstance(value, str):
        raise SelectError("/select: expected a JMESPath expression as a text, such as data[].id.")
    return Selection(value)


def selected(body: bytes, select: Selection, result_id: str) -> tuple[bytes, str]:
    """Return what is selected of a JSON text, or its shape if that is nothing, and one line about what is left out."""
    more = f"All {len(body):,} bytes are kept: resultId {result_id}, expandResult reads or selects more."
    try:
        part = select.apply(body)
        problem = "select matched nothing"
    except SelectError as error:
        part, problem = None, str(error).removeprefix("/").removesuffix(".")
    if part is None:
        return shape(body), f"{problem}; this is the shape of the answer. {more}"
    return part, f"Selected {len(part):,} bytes. {more}"


def shape(body: bytes) -> bytes:
    """Return the names and types in a JSON text, as JSON; of an array those of its first item, and its length."""
    try:
        return msgspec.json.encode(shape_of(decode_exactly(body)))
    except ValueError:  # a number of thousands of digits
        return b"null"


def shape_of(value: Any, levels: int = SHAPE_LEVELS) -> Any:
    """Return the names and types in a value; of an array those of its first item, and its length."""
    if isinstance(value, dict):
        if not levels:
            return "object"
        shown = {name: shape_of(inner, levels - 1) for name, inner in list(value.items())[:SHAPE_MEMBERS]}
        return shown | ({"…": f"{len(value) - SHAPE_MEMBERS} more"} if len(value) > SHAPE_MEMBERS else {})
    if isinstance(value, list):
        count = f"{len(value):,} item{'s' * (len(value) != 1)}"
        return [shape_of(value[0], levels - 1), count] if value and levels else f"array of {count}"
    return JSON_TYPES.get(type(value), "number")


def _is_nothing(value: Any) -> bool:
    """Check for a value without any content, which an expression returns where its names do not exist."""
    if isinstance(value, dict):
        return all(_is_nothing(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_is_nothing(inner) for inner in value)
    return value is None


def _misread(expression: str, error: ParseError) -> str:
    at = min(error.lex_position, len(expression))
    found = f"before {expression[at : at + MAX_REPEATED]!r}" if at < len(expression) else "at the end"
    example = "data[].{id: id, name: name}"
    return f"/select: not JMESPath from character {at + 1} on, {found}. An example is {example}."


def _misused(node: Any, expression: str) -> Iterator[str]:
    """Yield the mistakes in the functions that an expression calls."""
    if node["type"] == "function_expression":
        name, count = node["value"], len(node["children"])
        at = expression.find(f"{name}(") + 1
        function = Functions.FUNCTION_TABLE.get(name)
        if function is None:
            known = ", ".join(sorted(Functions.FUNCTION_TABLE))
            yield f"/select: no function {name!r} (character {at}); known are {known}."
            return
        signature = function["signature"]
        variadic = bool(signature) and signature[-1].get("variadic")
        if count < len(signature) or (count > len(signature) and not variadic):
            yield f"/select: {name}() (character {at}) takes {len(signature)} arguments, not {count}."
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _misused(child, expression)
