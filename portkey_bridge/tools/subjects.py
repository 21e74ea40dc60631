"""What the document says about each operation, as the search reads it: its words, and what its answers hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.model import Operation, Schema
from portkey_bridge.openapi.pointers import follow
from portkey_bridge.tools.vocabulary import joined, split

#: Levels of objects, and schemas altogether, that are read of a body or an answer: what is further inside says little.
LEVELS, SCHEMAS = 4, 100

#: Keywords whose schemas describe the same value, and those that describe its parts.
_SAME = ("allOf", "anyOf", "oneOf")
_PARTS = ("items", "additionalProperties")


class Words(NamedTuple):
    """The words of a message: those of its properties' names, those of the values and descriptions in it."""

    names: frozenset[str]
    details: frozenset[str]


class _Level(NamedTuple):
    """What one schema says itself: its own words, the schemas of the same value, and those of its properties."""

    words: Words
    same: list[Schema]
    properties: list[Schema]


class SchemaWords:
    """Reads what the schemas of one document say. Each is split into words once, however many messages have it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._levels: dict[int, _Level] = {}

    def __call__(self, schemas: Iterable[Schema]) -> Words:
        """Return the words of the schemas of one message, level by level as far as LEVELS and SCHEMAS go."""
        waiting = deque((schema, 0) for schema in schemas)
        seen: dict[int, _Level] = {}
        while waiting and len(seen) < SCHEMAS:
            schema, depth = waiting.popleft()
            level = self._level(schema) if id(schema) not in seen else None
            if level is None:
                continue
            seen[id(schema)] = level
            waiting.extend((inner, depth) for inner in level.same)
            if depth < LEVELS:
                waiting.extend((inner, depth + 1) for inner in level.properties)
        words = [level.words for level in seen.values()]
        return Words(
            frozenset().union(*(each.names for each in words)), frozenset().union(*(each.details for each in words))
        )

    def _level(self, schema: Schema) -> _Level:
        if id(schema) not in self._levels:
            self._levels[id(schema)] = _read(_resolved(schema, self._root))
        return self._levels[id(schema)]


def _read(schema: Schema) -> _Level:
    """Return what a schema without a reference says itself."""
    schema = schema if isinstance(schema, dict) else {}
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    texts = (schema.get("description"), *_list(schema.get("enum")))
    details = frozenset(word for text in texts if isinstance(text, str) for word in split(text))
    names = frozenset(word for name in properties for word in (*split(name), joined(name)))
    same = [inner for keyword in _SAME for inner in _list(schema.get(keyword))]
    same += [schema[keyword] for keyword in _PARTS if isinstance(schema.get(keyword), dict)]
    return _Level(Words(names, details), same, list(properties.values()))


def answers(operation: Operation, root: Mapping[str, Any]) -> Iterator[Schema]:
    """Yield the schemas of the successful responses of an operation."""
    for response in _successes(operation, root):
        content = response.get("content")
        for media_type in content.values() if isinstance(content, dict) else ():
            media_type = _resolved(media_type, root)
            if isinstance(media_type, dict):
                yield media_type.get("schema", media_type.get("itemSchema"))


def links(operation: Operation, root: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the links of an operation lead to: an operationId, or an operationRef (OpenAPI 3.2, Link Object)."""
    for response in _successes(operation, root):
        declared = response.get("links")
        for link in declared.values() if isinstance(declared, dict) else ():
            link = _resolved(link, root)
            target = link.get("operationId", link.get("operationRef")) if isinstance(link, dict) else None
            if isinstance(target, str):
                yield target


def tag_descriptions(root: Mapping[str, Any]) -> dict[str, str]:
    """Return the description of each tag that has one."""
    tags = (tag for tag in _list(root.get("tags")) if isinstance(tag, dict))
    return {str(tag.get("name")): tag["description"] for tag in tags if isinstance(tag.get("description"), str)}


def _successes(operation: Operation, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for status, response in operation.responses.items():
        response = _resolved(response, root)
        if status.startswith(("2", "default")) and isinstance(response, dict):
            yield response


def _resolved(value: Any, root: Mapping[str, Any]) -> Any:
    try:
        return follow(root, value)
    except DanglingReference:
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
