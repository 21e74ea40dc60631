"""What the document says about each operation, as the search reads it: its words, and what its answers hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.coercion import mapping, sequence
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.openapi.model import Operation
from portkey_bridge.openapi.pointers import follow
from portkey_bridge.tools.vocabulary import join_words, split

#: Levels of objects, and schemas altogether, that are read of a body or an answer: what is further inside says little.
READ_LEVELS, READ_SCHEMAS = 4, 100

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


class SubjectReader:
    """Reads what one document says. Each of its schemas is split into words once, however many messages have it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._levels: dict[int, _Level] = {}
        tags = (tag for tag in sequence(root.get("tags")) if isinstance(tag, dict))
        self.tags = {str(tag.get("name")): text for tag in tags if isinstance(text := tag.get("description"), str)}

    def schemas(self, schemas: Iterable[Schema]) -> Words:
        """Return the words of the schemas of one message, level by level as far as LEVELS and SCHEMAS go."""
        waiting = deque((schema, 0) for schema in schemas)
        seen: dict[int, _Level] = {}
        while waiting and len(seen) < READ_SCHEMAS:
            schema, depth = waiting.popleft()
            if id(schema) in seen:
                continue
            level = seen[id(schema)] = self._level(schema)
            waiting.extend((inner, depth) for inner in level.same)
            if depth < READ_LEVELS:
                waiting.extend((inner, depth + 1) for inner in level.properties)
        names = frozenset[str]().union(*(level.words.names for level in seen.values()))
        return Words(names, frozenset[str]().union(*(level.words.details for level in seen.values())))

    def answers(self, operation: Operation) -> Iterator[Schema]:
        """Yield the schemas of the successful responses of an operation."""
        for response in self._successes(operation):
            for media_type in self._map(response, "content"):
                yield media_type.get("schema", media_type.get("itemSchema"))

    def links(self, operation: Operation) -> Iterator[str]:
        """Yield where the links of an operation lead: an operationId, or an operationRef (OpenAPI 3.2, Link Object)."""
        for response in self._successes(operation):
            for link in self._map(response, "links"):
                target = link.get("operationId", link.get("operationRef"))
                if isinstance(target, str):
                    yield target

    def _level(self, schema: Schema) -> _Level:
        if id(schema) not in self._levels:
            self._levels[id(schema)] = _read(self._resolved(schema))
        return self._levels[id(schema)]

    def _successes(self, operation: Operation) -> Iterator[Mapping[str, Any]]:
        """Yield the responses of success; `default` is one where no status of success is declared."""
        declared = [status for status in operation.responses if status.startswith("2")]
        for status in declared or [status for status in operation.responses if status == "default"]:
            response = self._resolved(operation.responses[status])
            if isinstance(response, dict):
                yield response

    def _map(self, response: Mapping[str, Any], field: str) -> Iterator[Mapping[str, Any]]:
        """Yield the objects of a map in a response, without references."""
        resolved = map(self._resolved, mapping(response.get(field)).values())
        return (value for value in resolved if isinstance(value, dict))

    def _resolved(self, value: Any) -> Any:
        try:
            return follow(self._root, value)
        except DanglingReference:
            return None


def _read(schema: Schema) -> _Level:
    """Return what a schema without a reference says itself."""
    said = mapping(schema)
    properties = mapping(said.get("properties"))
    texts = (said.get("description"), *sequence(said.get("enum")))
    details = frozenset(word for text in texts if isinstance(text, str) for word in split(text))
    names = frozenset(word for name in properties for word in (*split(name), join_words(name)))
    same = [inner for keyword in _SAME for inner in sequence(said.get(keyword))]
    same += [said[keyword] for keyword in _PARTS if isinstance(said.get(keyword), dict)]
    return _Level(Words(names, details), same, list(properties.values()))
