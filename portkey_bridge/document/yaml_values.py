"""YAML restricted to JSON's types, as OpenAPI requires (OpenAPI 3.1.1 section 4.2, YAML 1.2 section 10.2).

Dates stay strings, `on` and `yes` stay strings, and every key is the string in the file: `200:` is "200".
Tags of other types are ignored, and said. PyYAML splits the text into events; values are made of them here, in one go:
its own way makes a tree of nodes first, and knows other types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from portkey_bridge.document.limits import MAX_DEPTH, finite
from portkey_bridge.document.repairs import said_twice, summarize

#: The parser: the C library if it is installed.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Members that merge keys (`<<`) may bring into a document, all together.
MAX_MERGED = 1_000_000

_TAG = "tag:yaml.org,2002:"

#: A plain scalar by YAML 1.2's core schema (section 10.3.2), without octal and hexadecimal numbers, which JSON has not.
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), finite),
)

#: First characters of plain scalars that are not strings.
_NO_TEXT = frozenset("~nNtTfF-+.0123456789")

#: The tags of JSON's scalars: a text, and what is read as if it stood there plain.
_TEXT, _SCALARS = f"{_TAG}str", frozenset(f"{_TAG}{name}" for name in ("null", "bool", "int", "float"))

#: Tags that add nothing to the value.
_USUAL = (None, "!", f"{_TAG}map", f"{_TAG}seq")

#: The key that merges other objects into its own (yaml.org/type/merge).
_MERGE = object()

#: Line breaks of YAML 1.1, which the parser still knows. Since 1.2 they are characters like others (section 5.4).
_OLD_BREAKS = str.maketrans("\x85\u2028\u2029", "   ")

#: Tabs in blank lines and before comments, where they indent nothing (YAML 1.2 section 6.6); the parser refuses them.
_IDLE_TABS = re.compile(r"^ *\t[ \t]*(?=[#\r\n]|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class Parsed:
    """The value of the first document in a text, and what had to be decided: lines and sentences.

    If it `has_aliases`, one value may appear in several places, and in itself. Other documents may follow.
    """

    value: Any
    notes: list[tuple[int, str]]
    has_aliases: bool
    has_more: bool


def as_yaml_1_1(text: str) -> str:
    """Return a text of YAML 1.2 in which the parser, which knows 1.1, finds the same. Lines and columns stay."""
    text = text if text.isascii() else text.translate(_OLD_BREAKS)
    return _IDLE_TABS.sub(lambda blanks: " " * len(blanks[0]), text) if "\t" in text else text


def parse_yaml(text: str) -> Parsed:
    """Parse the first document of a text. Raises yaml.YAMLError, ValueError, and RecursionError for deep nesting."""
    reader = _Reader(text)
    value = reader.document()
    return Parsed(value, reader.notes, reader.has_aliases, reader.has_more())


class _Reader:
    """Makes values of the events of one text."""

    def __init__(self, text: str) -> None:
        self.notes: list[tuple[int, str]] = []
        self.has_aliases = False
        self._events: Iterator[Any] = iter(yaml.parse(as_yaml_1_1(text), Loader=LOADER))
        self._anchored: dict[str, Any] = {}
        self._depth = 0
        self._merged = 0

    def document(self) -> Any:
        """Return the value of the first document; None where there is none."""
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        return self.value(next(self._events))

    def has_more(self) -> bool:
        """Check whether another document follows."""
        return any(isinstance(event, yaml.DocumentStartEvent) for event in islice(self._events, 2))

    def value(self, event: Any) -> Any:
        """Return the value that begins with an event."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event)
            if event.anchor:
                self._anchored[event.anchor] = value
            return value
        if event.tag not in _USUAL:
            self.ignore_tag(event)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RecursionError
        value = self.array(event) if isinstance(event, yaml.SequenceStartEvent) else self.object(event)
        self._depth -= 1
        return value

    def alias(self, event: Any) -> Any:
        self.has_aliases = True
        if event.anchor not in self._anchored:
            raise ComposerError(None, None, f"the alias *{event.anchor:.80} has no anchor", event.start_mark)
        return self._anchored[event.anchor]

    def scalar(self, event: Any) -> Any:
        is_plain, is_text = event.implicit
        if is_plain or event.tag in _SCALARS:
            return _plain(event.value)
        if not is_text and event.tag != _TEXT:
            self.ignore_tag(event)
        return event.value

    def array(self, start: Any) -> list[Any]:
        made: list[Any] = []
        if start.anchor:
            self._anchored[start.anchor] = made
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            made.append(self.value(event))
        return made

    def object(self, start: Any) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if start.anchor:
            self._anchored[start.anchor] = made
        merged: list[Any] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, value = self.key(event), self.value(next(self._events))
            if key is _MERGE:
                merged.extend(self.sources(value, event))
                continue
            if key in made:
                self.notes.append((event.start_mark.line + 1, said_twice(key)))
            made[key] = value
        if merged:
            _put_before(made, merged)
        return made

    def key(self, event: Any) -> Any:
        """Return the text of a key as written."""
        if isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                self._anchored[event.anchor] = event.value
            return _MERGE if event.value == "<<" and event.implicit[0] else event.value
        key = self.alias(event) if isinstance(event, yaml.AliasEvent) else None
        if not isinstance(key, str):
            raise ConstructorError(None, None, "a key is not a string", event.start_mark)
        return key

    def sources(self, value: Any, event: Any) -> list[dict[str, Any]]:
        """Return the objects that a merge key names, the first of which win."""
        objects = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in objects):
            raise ConstructorError(None, None, "a merge key (<<) needs objects", event.start_mark)
        self._merged += sum(map(len, objects))
        if self._merged > MAX_MERGED:
            problem = f"merge keys (<<) bring more than {MAX_MERGED:,} members"
            raise ConstructorError(None, None, problem, event.start_mark)
        return objects

    def ignore_tag(self, event: Any) -> None:
        self.notes.append((event.start_mark.line + 1, f"the tag {summarize(event.tag)} is ignored."))


def _plain(text: str) -> Any:
    if text and text[0] not in _NO_TEXT:
        return text
    return next((make(text) for pattern, make in _PLAIN if pattern.fullmatch(text)), text)


def _put_before(own: dict[str, Any], sources: list[dict[str, Any]]) -> None:
    """Put the members of other objects before an object's own, which win."""
    members = {**own}
    own.clear()
    for source in sources:
        for key, value in source.items():
            own.setdefault(key, value)
    for key, value in members.items():
        own.pop(key, None)
        own[key] = value
