"""Edits a text at spans; every byte outside them stays the same.

A span is a start and an end, both counted in characters. The formats (`jsonc`, `yaml_spans`, `toml_spans`) find the
spans, each with the same four functions:

- `read(text)` gives the value, as the client that owns the file would read it
- `put(text, container, name, entry, listed)` adds or replaces one entry of a container at the top level
- `drop(text, container, name)` removes it, with the comma or the line that was its own
- `strings(text)` gives every string value with its path

`read` and the others raise Unreadable with the place. An entry's container is an object by name, or where `listed` a
list of objects that have a `name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Path = tuple[str | int, ...]


class Unreadable(Exception):
    """The text cannot be read or safely edited: what is wrong, and where (from 1, characters)."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        self.problem = problem
        self.line = line
        self.column = column
        super().__init__(f"{line}:{column}: {problem}")


@dataclass(frozen=True)
class Edit:
    """Put `text` where start to end was."""

    start: int
    end: int
    text: str = ""


@dataclass(frozen=True)
class String:
    """A string value: the path to it, and its span."""

    path: Path
    start: int
    end: int


class Format(Protocol):
    """What `jsonc`, `yaml_spans` and `toml_spans` offer."""

    def read(self, text: str) -> Any: ...  # noqa: D102  # the module's docstring says it

    def put(self, text: str, container: str, name: str, entry: Mapping[str, Any], listed: bool) -> str: ...  # noqa: D102

    def drop(self, text: str, container: str, name: str) -> str: ...  # noqa: D102

    def strings(self, text: str) -> Iterator[String]: ...  # noqa: D102


def edited(text: str, *edits: Edit) -> str:
    """Return the text with all edits done. They must not overlap; two at one place are done in the order given."""
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
    """Return where the line begins that `at` is on."""
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    """Return where the line's ending begins, or the end of the text."""
    found = re.compile(r"[^\r\n]*").match(text, at)
    return found.end() if found else at


def indentation(text: str, at: int) -> str | None:
    """Return the blanks before `at`, or None if something else precedes it on the line."""
    before = text[line_start(text, at) : at]
    return None if before.strip(" \t") else before


def line_indentation(text: str, at: int) -> str:
    """Return the blanks that the line begins with that `at` is on."""
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


def indented(block: str, indent: str, newline: str) -> str:
    """Return a block of lines with every line but the first indented, and the text's own line ending."""
    return block.replace("\n", newline + indent)
