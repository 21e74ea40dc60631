"""Edits a text at spans; every byte outside them stays the same.

A span is a start and an end, both counted in characters. The formats (`edit_jsonc`, `edit_yaml`, `edit_toml`)
find the spans, each with the same four functions:

- `read(text)` returns the value, as the client that owns the file would parse it
- `put(text, container, name, entry, listed)` adds or replaces one entry of a container at the top level
- `drop(text, container, name)` removes it, with its comma or its line
- `strings(text)` yields every string value with its path

All raise Unreadable with the position. An entry's container is an object by name or, if `listed`, a list of
objects with a `name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

KeyPath = tuple[str | int, ...]


class Unreadable(Exception):
    """The text cannot be parsed or safely edited. Line and column count characters from 1."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        self.problem = problem
        self.line = line
        self.column = column
        super().__init__(f"{line}:{column}: {problem}")


@dataclass(frozen=True)
class Edit:
    """Replacement of a span by `text`."""

    start: int
    end: int
    text: str = ""


@dataclass(frozen=True)
class String:
    """A string value: the path to it, and its span."""

    path: KeyPath
    start: int
    end: int


class Format(Protocol):
    """The functions of `edit_jsonc`, `edit_yaml` and `edit_toml`."""

    def read(self, text: str) -> Any: ...  # noqa: D102  # see the module's docstring

    def put(self, text: str, container: str, name: str, entry: Mapping[str, Any], listed: bool) -> str: ...  # noqa: D102

    def drop(self, text: str, container: str, name: str) -> str: ...  # noqa: D102

    def strings(self, text: str) -> Iterator[String]: ...  # noqa: D102


def edited(text: str, *edits: Edit) -> str:
    """Apply all edits. They must not overlap; edits at the same position are applied in the given order."""
    pieces, done = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        pieces += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join([*pieces, text[done:]])


def unreadable(text: str, at: int, problem: str) -> Unreadable:
    """Return the error for a place in the text."""
    return Unreadable(problem, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def newline_of(text: str) -> str:
    """Return the line ending of the text, which is that of its first line."""
    first = re.search(r"\r?\n", text)
    return first[0] if first else "\n"


def line_start(text: str, at: int) -> int:
    """Return the start of the line at a position."""
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    """Return the end of the line at a position, before its line ending."""
    found = re.compile(r"[^\r\n]*").match(text, at)
    return found.end() if found else at


def indentation(text: str, at: int) -> str | None:
    """Return the whitespace before a position, or None if other text precedes it on the line."""
    before = text[line_start(text, at) : at]
    return None if before.strip(" \t") else before


def line_indentation(text: str, at: int) -> str:
    """Return the indentation of the line at a position."""
    line = text[line_start(text, at) : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def without_lines(text: str, start: int, end: int) -> Edit:
    """Return the edit that removes a span, and its lines if nothing else is on them."""
    tail = re.compile(r"[ \t]*(\r?\n|\Z)").match(text, end)
    if tail is None or indentation(text, start) is None:
        return Edit(start, end)
    begin = line_start(text, start)
    if not tail[1]:
        begin = len(text[:begin].removesuffix("\n").removesuffix("\r"))
    return Edit(begin, tail.end())


def appended(text: str, block: str) -> str:
    """Return the text with the lines of a block after its last line."""
    newline = newline_of(text)
    lead = text if not text or text.endswith("\n") else text + newline
    return lead + indented(block, "", newline) + newline


def indented(block: str, indent: str, newline: str) -> str:
    """Indent every line of a block but the first, and use the given line ending."""
    return block.replace("\n", newline + indent)
