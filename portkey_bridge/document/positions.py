"""The lines of JSON pointers in the text of a document, computed only on demand.

JSON is read by the standard library's own scanner, one object at a time; YAML by the marks of its nodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from json import JSONDecodeError, JSONDecoder
from typing import Any, NamedTuple

_SCAN = JSONDecoder(strict=False).raw_decode
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")[ \t\r\n]*(:?)|[{}\[\]]', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")


def repeated_keys(text: str) -> Iterator[tuple[int, str]]:
    """Yield each key of a JSON text that its object has already, with its line, from 1."""
    line, counted = 1, 0
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token[0] in "{[":
            keys.append(set())
        elif token[0] in "}]":
            keys.pop()
        elif token[2]:
            line, counted = line + text.count("\n", counted, token.start()), token.start()
            name = json.loads(token[1], strict=False)
            if name in keys[-1]:
                yield line, name
            keys[-1].add(name)


class TextLines:
    """The lines of one text of JSON or YAML. A text that is neither has none."""

    def __init__(self, text: str) -> None:
        self._root: _Json | _Yaml | None = _of_json(text) or _of_yaml(text)
        self._members: dict[int, dict[str, _Member]] = {}

    def line(self, tokens: Sequence[str]) -> int | None:
        """Return the line, from 1, of what the tokens of a pointer lead to, or of the nearest that is there.

        None where the text cannot be read, or not even the first token leads anywhere.
        """
        found: int | None = None
        value: _Json | _Yaml | None = self._root
        for token in tokens:
            member = self._below(value).get(token) if value is not None else None
            if member is None:
                break
            found, value = member.line, member.value
        return found

    def _below(self, value: _Json | _Yaml) -> dict[str, _Member]:
        if value.key not in self._members:
            self._members[value.key] = {member.name: member for member in value.members()}
        return self._members[value.key]


class _Member(NamedTuple):
    name: str
    line: int
    value: _Json | _Yaml


class _Json(NamedTuple):
    """A value of JSON; `key` is where it starts, and distinguishes it from others."""

    text: str
    key: int

    def members(self) -> Iterator[_Member]:
        opened = self.text[self.key : self.key + 1]
        if opened not in ("{", "["):
            return
        at, line, counted, index = _blank(self.text, self.key + 1), self.text.count("\n", 0, self.key) + 1, self.key, 0
        while self.text[at : at + 1] not in ("}", "]", ""):
            line, counted = line + self.text.count("\n", counted, at), at
            name = str(index)
            if opened == "{":
                name, at = _SCAN(self.text, at)
                at = _blank(self.text, _blank(self.text, at) + 1)  # behind the colon
            yield _Member(name, line, _Json(self.text, at))
            at = _blank(self.text, _SCAN(self.text, at)[1])
            at, index = _blank(self.text, at + 1) if self.text[at : at + 1] == "," else at, index + 1


class _Yaml(NamedTuple):
    """A node of YAML."""

    node: Any

    @property
    def key(self) -> int:
        return id(self.node)

    def members(self) -> Iterator[_Member]:
        from yaml import MappingNode, SequenceNode

        if isinstance(self.node, MappingNode):
            for key, value in self.node.value:
                yield _Member(str(key.value), key.start_mark.line + 1, _Yaml(value))
        elif isinstance(self.node, SequenceNode):
            for index, item in enumerate(self.node.value):
                yield _Member(str(index), item.start_mark.line + 1, _Yaml(item))


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _of_json(text: str) -> _Json | None:
    start = _blank(text, 0)
    try:
        end = _SCAN(text, start)[1]
    except (JSONDecodeError, RecursionError):
        return None
    return _Json(text, start) if _blank(text, end) == len(text) else None


def _of_yaml(text: str) -> _Yaml | None:
    import yaml

    from portkey_bridge.document.yaml_values import LOADER, as_yaml_1_1

    try:
        loader: Any = LOADER(as_yaml_1_1(text))
        node = loader.get_node() if loader.check_node() else None  # of the first document, which is the one that counts
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return None if node is None else _Yaml(node)
