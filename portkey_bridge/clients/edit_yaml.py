"""YAML edited at the spans of PyYAML's marks.

New entries are written in block style. Strings that need quotes are written as JSON strings (YAML 1.2.2 section 7.3.1),
which YAML 1.1 and 1.2 parse alike. Inside a flow collection, entries are written as JSON, which is valid flow style.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from portkey_bridge.clients.spans import (
    Edit,
    KeyPath,
    String,
    Unreadable,
    appended,
    edited,
    indented,
    line_end,
    line_indentation,
    line_start,
    newline_of,
    unreadable,
    without_lines,
)
from portkey_bridge.document import yaml_values
from portkey_bridge.document.parse import check_aliases
from portkey_bridge.errors import DocumentError

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_STEP = 2
_NULL = "tag:yaml.org,2002:null"


def read(text: str) -> Any:
    """Return the value; an empty text is an empty object. Raises Unreadable."""
    try:
        parsed = yaml_values.parse_yaml(text)
        if parsed.has_aliases:
            check_aliases("", parsed.value)
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error) from None
    except DocumentError as error:
        raise Unreadable(error.problem, 1, 1) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unreadable(" ".join(str(error).split()), 1, 1) from None
    if parsed.has_more:
        raise Unreadable("contains more than one document", 1, 1)
    return {} if parsed.value is None else parsed.value


def put(text: str, container: str, name: str, entry: Mapping[str, Any], listed: bool = False) -> str:
    """Add or replace the entry of a name. Raises Unreadable."""
    root = _compose(text)
    if root is None:
        return appended(text, _block({container: [entry] if listed else {name: entry}}))
    content = [entry] if listed else {name: entry}
    pair = _pair(text, root, container)
    if pair is None:
        return edited(text, _added(text, root, container, content))
    key, value = pair
    parent = _collection(text, value)
    if parent is None:
        return edited(text, *_opened(text, root, key, value, content))
    present = _present(text, parent, name)
    if present is None:
        return edited(text, _added(text, parent, name, entry))
    start, end = present
    if parent.flow_style:
        return edited(text, Edit(start, end, _flow(content)[1:-1]))
    block = indented(_block(entry if listed else content), " " * (start - line_start(text, start)), newline_of(text))
    return edited(text, Edit(start, end, block))


def drop(text: str, container: str, name: str) -> str:
    """Remove the entry of a name. Raises Unreadable."""
    root = _compose(text)
    pair = _pair(text, root, container) if root else None
    parent = _collection(text, pair[1]) if pair else None
    present = _present(text, parent, name) if parent else None
    if pair is None or parent is None or present is None:
        return text
    if parent.flow_style:
        return edited(text, _removed_from_flow(text, *present))
    start, end = present
    begin = text.rindex("-", 0, start) if isinstance(parent, yaml.SequenceNode) else start
    lines = without_lines(text, begin, line_end(text, end))
    if len(parent.value) > 1:
        return edited(text, lines)
    colon = text.index(":", pair[0].end_mark.index) + 1
    return edited(text, Edit(colon, colon, " []" if isinstance(parent, yaml.SequenceNode) else " {}"), lines)


def strings(text: str) -> Iterator[String]:
    """Yield every string value. A value that an alias repeats is yielded once for each path."""
    root = _compose(text)
    return iter(()) if root is None else _strings(root, (), frozenset())


def _strings(node: yaml.Node, path: KeyPath, above: frozenset[int]) -> Iterator[String]:
    if id(node) in above:
        return
    if isinstance(node, yaml.ScalarNode) and node.start_mark.index < node.end_mark.index:
        yield String(path, node.start_mark.index, node.end_mark.index)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _strings(value, (*path, str(key.value)), above | {id(node)})
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _strings(value, (*path, _name(value) or index), above | {id(node)})


def _compose(text: str) -> yaml.MappingNode | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error) from None
    if root is None or root.tag == _NULL:
        return None
    if not isinstance(root, yaml.MappingNode):
        raise unreadable(text, root.start_mark.index, "expected a mapping")
    return root


def _unreadable(error: yaml.MarkedYAMLError) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    return Unreadable(error.problem or "not YAML", mark.line + 1 if mark else 1, mark.column + 1 if mark else 1)


def _pair(text: str, node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the effective key and value: readers that allow a repeated key use the last one."""
    if not isinstance(node, yaml.MappingNode):
        raise unreadable(text, node.start_mark.index, "expected a mapping")
    return next((pair for pair in reversed(node.value) if pair[0].value == key), None)


def _name(node: yaml.Node) -> str | None:
    """Return the name of a list item."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value.value for key, value in node.value if key.value == "name"), None)


def _present(text: str, parent: yaml.Node, name: str) -> tuple[int, int] | None:
    """Return the span of the entry: from its key, or in a list from its first key, to the end of its last value."""
    if isinstance(parent, yaml.SequenceNode):
        found = next((node for node in parent.value if _name(node) == name), None)
        return found and (found.start_mark.index, _end(text, found))
    pair = _pair(text, parent, name)
    return pair and (pair[0].start_mark.index, max(_end(text, pair[0]), _end(text, pair[1])))


def _end(text: str, node: yaml.Node) -> int:
    """Return the end of a node's text; the end marks of block collections and scalars are after blank lines."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(_end(text, child) for child in (last if isinstance(last, tuple) else (last,)))
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(text[start:end].rstrip())


def _collection(text: str, node: yaml.Node) -> yaml.CollectionNode | None:
    """Return the value of a key as a collection; None for null, and for empty brackets without a comment in them."""
    if not isinstance(node, yaml.CollectionNode):
        if node.tag != _NULL:
            raise unreadable(text, node.start_mark.index, "expected a collection")
        return None
    return node if text[node.start_mark.index + 1 : node.end_mark.index - 1].strip() else None


def _added(text: str, parent: yaml.CollectionNode, name: str, value: Any) -> Edit:
    """Append an entry to a collection."""
    content: Any = [value] if isinstance(parent, yaml.SequenceNode) else {name: value}
    if not parent.value:
        first = parent.start_mark.index + 1
        return Edit(first, first, _flow(content)[1:-1])
    last = parent.value[-1]
    end = max(_end(text, node) for node in (last if isinstance(last, tuple) else (last,)))
    if parent.flow_style:
        return Edit(end, end, ", " + _flow(content)[1:-1])
    place = line_end(text, end)
    first = text.rindex("-", 0, _start(last)) if isinstance(parent, yaml.SequenceNode) else _start(parent.value[0])
    indent = newline_of(text) + line_indentation(text, first)
    return Edit(place, place, indent + _block(content).replace("\n", indent))


def _start(item: Any) -> int:
    """Return the node at which an item of a collection starts: its key, or in a list the item itself."""
    node = item[0] if isinstance(item, tuple) else item
    start: int = node.start_mark.index
    return start


def _opened(text: str, root: yaml.MappingNode, key: yaml.Node, value: yaml.Node, content: Any) -> Iterator[Edit]:
    """Add the first entry to a key without a value, in block style on the lines below it."""
    start, end = value.start_mark.index, value.end_mark.index
    if root.flow_style:
        yield Edit(start, end, _flow(content))
        return
    yield Edit(len(text[:start].rstrip(" \t")), end)
    indent = newline_of(text) + " " * (key.start_mark.column + _STEP)
    place = line_end(text, end)
    yield Edit(place, place, indent + _block(content).replace("\n", indent))


def _removed_from_flow(text: str, start: int, end: int) -> Edit:
    before, after = re.search(r"\s*,\s*\Z", text[:start]), re.compile(r"\s*,\s*").match(text, end)
    if after and not before:
        return Edit(start, after.end())
    return Edit(before.start() if before else start, end)


def _flow(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(value: Any) -> str:
    """Return a value in block style, without a final line ending."""
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{_scalar(key)}:{_below(child)}" for key, child in value.items())
    if isinstance(value, list) and value:
        return "\n".join("- " + _block(child).replace("\n", "\n  ") for child in value)
    return _scalar(value)


def _below(value: Any) -> str:
    """Return the text after a key: on the same line, or on indented lines below."""
    if isinstance(value, Mapping | list) and value:
        return "\n  " + _block(value).replace("\n", "\n  ")
    return " " + _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return _flow(value)
