"""Arguments the way models send them: what a schema refuses is read in the only way that the schema accepts.

The table READINGS has the ways to read a value as another type. They are tried only where a check has failed, so that
nothing that is valid is ever changed. If two readings are valid, the value stays as it is, and is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from portkey_bridge.schema.visible_values import visible_values

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from portkey_bridge.openapi.keywords import Schema
    from portkey_bridge.schema.validation import Validation

ValuePath = tuple[str | int, ...]

#: A number in a text that can be nothing else: `05`, `1e3` and ` 5 ` may be names or codes.
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")

#: Booleans in JSON and Python.
BOOLEANS = {"true": True, "True": True, "false": False, "False": False}

#: Texts by which JSON, Python and JavaScript say that there is nothing.
NOTHING = frozenset({"null", "None", "undefined"})

#: How often a value is read again: each time, what was read may contain more that is refused.
MAX_ROUNDS = 8

#: The reading of a value that is left out.
LEFT_OUT = object()


def _number(text: str) -> int | float:
    if not NUMBER.fullmatch(text):
        raise ValueError
    number = float(text) if "." in text else int(text)
    if isinstance(number, float) and Decimal(repr(number)) != Decimal(text):
        raise ValueError  # a float would lose digits
    return number


def _boolean(text: str) -> bool:
    return BOOLEANS[text]


def _null(text: str) -> None:
    if text not in NOTHING:
        raise ValueError


def as_json_text(text: str) -> Any:
    """Parse the JSON text of an object or array. Raises ValueError for any other, and for a name that comes twice."""
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict | list):
        raise ValueError("expected an object or an array")
    return value


def _json_lines(text: str) -> list[Any]:
    """Parse several JSON texts of objects or arrays, one a line. Raises ValueError for anything else."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise ValueError("one line")
    return [as_json_text(line) for line in lines]


def _numbered(members: dict[str, Any]) -> list[Any]:
    """Return the values of an object whose names count from 0, as PHP writes an array."""
    names = [str(index) for index in range(len(members))]
    if not names:
        raise ValueError("nothing is counted")
    return [members[name] for name in names]


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name comes twice")
    return members


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _text(value: float) -> str:
    """Write a number or boolean as text; what could be written in more than one way (1.0, 1e30) is refused."""
    text = json.dumps(value)
    if isinstance(value, float) and not (NUMBER.fullmatch(text) and value % 1):
        raise ValueError
    return text


class Reading(NamedTuple):
    """A way to read values of one JSON Schema type as another. `read` raises ValueError or KeyError for all others.

    Some are possible only in a place of a request where both are written alike.
    """

    given: str
    wanted: str
    read: Callable[[Any], Any]
    as_text: bool = False


READINGS = (
    Reading("string", "integer", _number),
    Reading("string", "number", _number),
    Reading("string", "boolean", _boolean),
    Reading("string", "null", _null),
    Reading("string", "array", as_json_text),
    Reading("string", "array", _json_lines),
    Reading("object", "array", _numbered),
    Reading("string", "object", as_json_text),
    Reading("number", "string", _text, as_text=True),
    Reading("boolean", "string", _text, as_text=True),
)


def is_unset(value: Any) -> bool:
    """Check whether a value is one by which models say that they leave an argument or a property out."""
    return value is None or value == ""


def _means_unset(value: Any, errors: list[ValidationError]) -> bool:
    """Check whether a refused value is unset: also a text for it, where no text at all is accepted."""
    is_text = isinstance(value, str) and value in NOTHING
    return is_unset(value) or (is_text and all(error.validator == "type" for error in errors))


class Reader:
    """Reads values for one schema, which `validation` checks.

    `is_text` reports for a path into the value whether a number is sent there in the same way as its text.
    """

    def __init__(self, validation: Validation, is_text: Callable[[ValuePath], bool]) -> None:
        self._validation = validation
        self._is_text = is_text

    def read(self, value: Any) -> Any:
        """Return the value with everything that the schema refuses read in the only possible way, or unchanged.

        The given value is not changed. Raises OutOfTime.
        """
        try:
            return self._read(value, None, ())[0]
        except RecursionError:  # nested too deeply to be checked
            return value

    def _read(self, value: Any, schema: Schema | None, at: ValuePath) -> tuple[Any, bool]:
        """Return the value as read for a schema, which is at a path, and whether it is valid."""
        left_out: dict[ValuePath, Any] = {}
        needed: set[ValuePath] = set()
        for _ in range(MAX_ROUNDS):
            errors = self._validation.errors(value, schema)
            missed = [path for error in errors if error.validator == "required" and (path := _path(error)) in left_out]
            readings = {path: left_out[path] for path in missed} or self._readings(value, errors, at, needed)
            if not readings:
                return value, not errors
            needed.update(missed)
            left_out |= {path: _value_at(value, path) for path, read in readings.items() if read is LEFT_OUT}
            value = _replaced(value, readings)
        return value, not self._validation.errors(value, schema)

    def _readings(
        self, value: Any, errors: list[ValidationError], at: ValuePath, needed: set[ValuePath]
    ) -> dict[ValuePath, Any]:
        """Return for each path that is refused the only reading of its value, if there is one."""
        refused: dict[ValuePath, list[ValidationError]] = {}
        for error in errors:
            refused.setdefault(_path(error), []).append(error)
        readings: dict[ValuePath, Any] = {}
        for path in sorted(refused.keys() - needed, key=len):
            if any(path[:length] in readings for length in range(len(path))):
                continue
            given = _value_at(value, path)
            own = [error for error in refused[path] if error.instance is given]  # not those of a property's name
            if own and len(read := self._of_place(given, own, (*at, *path))) == 1:
                readings[path] = read[0]
            elif own and path and isinstance(path[-1], str) and _means_unset(given, own):
                readings[path] = LEFT_OUT
        return readings

    def _of_place(self, value: Any, errors: list[ValidationError], path: ValuePath) -> list[Any]:
        """Return the different readings of one value; of several errors the first that leaves only one decides."""
        found = [
            _distinct(READ_BY_KEYWORD[error.validator](self, value, error, path))
            for error in errors
            if error.validator in READ_BY_KEYWORD
        ]
        return min(filter(None, found), key=len, default=[])

    def _of_type(self, value: Any, error: ValidationError, path: ValuePath) -> Iterator[Any]:
        types: Any = error.validator_value
        for kind in types if isinstance(types, list) else [types]:
            yield from self._as_type(value, kind, path)

    def _of_values(self, value: Any, error: ValidationError, path: ValuePath) -> Iterator[Any]:
        schema: Any = {error.validator: error.validator_value}
        values: Any = error.validator_value if error.validator == "enum" else [error.validator_value]
        if isinstance(value, str):  # as listings show it
            yield from (each for each, shown in zip(values, visible_values(values), strict=True) if shown == value)
        for kind in dict.fromkeys(reading.wanted for reading in READINGS):
            for read in self._as_type(value, kind, path):
                if not self._validation.errors(read, schema):
                    yield read

    def _of_union(self, value: Any, error: ValidationError, path: ValuePath) -> Iterator[Any]:
        branches: Any = error.validator_value
        union: Any = {error.validator: branches}
        if isinstance(value, str):  # what a JSON text says is not changed if the union accepts it
            with suppress(ValueError):
                if not self._validation.errors(parsed := as_json_text(value), union):
                    yield parsed
                    return
        for branch in branches:
            read, is_valid = self._read(value, branch, path)
            if is_valid:
                yield read

    def _as_type(self, value: Any, kind: str, path: ValuePath) -> Iterator[Any]:
        for given, wanted, read, as_text in READINGS:
            if wanted == kind and self._validation.is_type(value, given) and (not as_text or self._is_text(path)):
                with suppress(ValueError, KeyError):
                    if self._validation.is_type(result := read(value), wanted):
                        yield result


#: Keywords that refuse a value which may have another reading.
READ_BY_KEYWORD: dict[Any, Callable[[Reader, Any, ValidationError, ValuePath], Iterator[Any]]] = {
    "type": Reader._of_type,
    "enum": Reader._of_values,
    "const": Reader._of_values,
    "anyOf": Reader._of_union,
    "oneOf": Reader._of_union,
}


def _path(error: ValidationError) -> ValuePath:
    return tuple(error.relative_path)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _value_at(value: Any, path: ValuePath) -> Any:
    """Return what is at a path; None if there is nothing, as for a property that is missing."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        else:
            value = value[part] if isinstance(value, list) and isinstance(part, int) else None
    return value


def _replaced(value: Any, readings: dict[ValuePath, Any]) -> Any:
    """Return the value with the readings at their paths. Only what contains them is copied."""
    top: list[Any] = [value]
    copied: set[int] = set()
    for path, read in readings.items():
        container: Any = top
        *parts, last = (0, *path)
        for part in parts:
            if id(container[part]) not in copied:
                container[part] = container[part].copy()
                copied.add(id(container[part]))
            container = container[part]
        if read is LEFT_OUT:
            del container[last]
        else:
            container[last] = read
    return top[0]
