"""TOML 1.0 edited at the spans of its statements: a table's header, or a key with its value.

A statement has the same path in every notation: `[a.b]` then `c = 1`, `[a]` then `b.c = 1`, and `a.b.c = 1` are all
a, b, c. An entry is all statements whose path starts with its own. The standard library parses values.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portkey_bridge.clients.spans import (
    Edit,
    String,
    Unreadable,
    edited,
    indented,
    newline_of,
    unreadable,
    without_lines,
)

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\r\n]*)
    | (?P<string> \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<newline>\r?\n)
    | (?P<blank>[ \t]+)
    | (?P<equals>=)
    | (?P<other>[^\s\#"'\[\]{}=]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Statement:
    """A header, or a key with its value, without the comment after it. `value` is the start of the value."""

    path: tuple[str, ...]
    start: int
    end: int
    value: int | None = None


def read(text: str) -> Any:
    """Return the value. Raises Unreadable."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = _PLACE.fullmatch(str(error))
        if found is None or found[2] is None:
            raise unreadable(text, len(text), found[1] if found else str(error)) from None
        raise Unreadable(found[1], int(found[2]), int(found[3])) from None


def put(text: str, container: str, name: str, entry: Mapping[str, Any], listed: bool = False) -> str:
    """Add or replace the entry of a name; a new one becomes the last table. Raises Unreadable."""
    del listed  # no client has a list of servers in TOML
    read(text)
    newline = newline_of(text)
    block = indented(_table(container, name, entry), "", newline)
    runs = _runs(text, (container, name))
    if runs and runs[0][0].value is None:
        start, end = runs[0][0].start, runs[0][-1].end
        return edited(text, Edit(start, end, block), *(_removed(text, run) for run in runs[1:]))
    text = drop(text, container, name)
    if not text.strip():
        return text + block + newline
    ended = text.endswith("\n")
    return text + ("" if ended else newline) + newline + block + (newline if ended else "")


def drop(text: str, container: str, name: str) -> str:
    """Remove the entry of a name, with the blank line above it. Raises Unreadable."""
    read(text)
    return edited(text, *(_removed(text, run) for run in _runs(text, (container, name))))


def strings(text: str) -> Iterator[String]:
    """Yield every string value. Inside an inline table, the path is that of the whole table."""
    read(text)
    for statement in _statements(text):
        for token in _TOKEN.finditer(
            text, statement.end if statement.value is None else statement.value, statement.end
        ):
            if token.lastgroup == "string":
                yield String(statement.path, token.start(), token.end())


def _statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a text that the standard library can parse."""
    table: tuple[str, ...] = ()
    for start, equals, end in _statement_spans(text):
        if equals is None:
            table = _path_of(text[start:end])
            yield Statement(table, start, end)
        else:
            yield Statement(table + _path_of(text[start:equals] + "=0"), start, end, equals + 1)


def _statement_spans(text: str) -> Iterator[tuple[int, int | None, int]]:
    """Yield the start of each statement, its equals sign, and its end."""
    start, equals, end, depth = None, None, 0, 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "newline" and depth == 0 and start is not None:
            yield start, equals, end
            start, equals = None, None
        if kind in ("newline", "blank", "comment"):
            continue
        start = token.start() if start is None else start
        equals = token.start() if kind == "equals" and equals is None else equals
        depth += (kind == "open") - (kind == "close")
        end = token.end()
    if start is not None:
        yield start, equals, end


def _path_of(statement: str) -> tuple[str, ...]:
    """Return the path of a header, or of a key with its value."""
    path: list[str] = []
    value: Any = tomllib.loads(statement)
    while value:
        value = value[-1] if isinstance(value, list) else value
        if not value:
            break
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)


def _runs(text: str, entry: tuple[str, str]) -> list[list[Statement]]:
    """Return the statements of an entry, grouped into consecutive runs."""
    runs: list[list[Statement]] = []
    previous = False
    for statement in _statements(text):
        belongs = statement.path[:2] == entry
        if belongs and not previous:
            runs.append([])
        if belongs:
            runs[-1].append(statement)
        previous = belongs
    return runs


def _removed(text: str, run: list[Statement]) -> Edit:
    lines = without_lines(text, run[0].start, run[-1].end)
    last = lines.end == len(text) and not text.endswith("\n")
    above = re.search(r"\r?\n[ \t]*\Z" if last else r"(?<=\n)[ \t]*\r?\n\Z", text[: lines.start])
    below = re.compile(r"[ \t]*(\r?\n|\Z)").match(text, lines.end)
    return Edit(above.start(), lines.end) if above and below else lines


def _table(container: str, name: str, entry: Mapping[str, Any]) -> str:
    keys = (f"{_key(key)} = {_value(value)}" for key, value in entry.items())
    return "\n".join((f"[{_key(container)}.{_key(name)}]", *keys))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    """Return a value on one line. TOML strings support all escapes of JSON strings."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(child)}" for key, child in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
