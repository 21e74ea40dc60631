"""JSON with comments and trailing commas, edited at spans.

Grammar: RFC 8259 with `//` and `/* */` comments and trailing commas, as editors accept in settings. The standard
library parses scalars.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portkey_bridge.clients.spans import (
    Edit,
    KeyPath,
    String,
    appended,
    edited,
    indentation,
    indented,
    line_indentation,
    newline_of,
    unreadable,
    without_lines,
)

_BLANK = re.compile(r"(?:\s|//[^\r\n]*|/\*[\s\S]*?\*/)*")
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*(?:(?!\*/)[^\r\n])*\*/)*(?://[^\r\n]*)?(?=\r?\n)")
_CLOSING = {"{": "}", "[": "]"}
_SCALAR = json.JSONDecoder()


@dataclass(frozen=True)
class JsonNode:
    """A value and its span; an object or array has items."""

    start: int
    end: int
    value: Any
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Item:
    """An item of an object (with its key) or an array. `comma` is the position of the comma after it, if any."""

    key: str | None
    start: int
    node: JsonNode
    comma: int | None

    @property
    def end(self) -> int:
        """End of the item's value."""
        return self.node.end


def read(text: str) -> Any:
    """Return the value; an empty text, or one of comments only, is an empty object. Raises Unreadable."""
    root = _parse(text)
    return {} if root is None else root.value


def put(text: str, container: str, name: str, entry: Mapping[str, Any], listed: bool = False) -> str:
    """Add or replace the entry of a name. Raises Unreadable."""
    del listed  # no client has a list of servers in JSON
    root = _parse(text)
    if root is None:
        return appended(text, json.dumps({container: {name: entry}}, indent=2, ensure_ascii=False))
    found = _item(text, root, container)
    if found is None:
        return edited(text, *_added(text, root, root, container, {name: entry}))
    present = _item(text, found.node, name)
    if present is None:
        return edited(text, *_added(text, root, found.node, name, entry))
    return edited(text, Edit(present.node.start, present.end, _rendered(text, root, present.start, entry)))


def drop(text: str, container: str, name: str) -> str:
    """Remove every entry of a name. Raises Unreadable."""
    root = _parse(text)
    found = _item(text, root, container) if root else None
    present = _item(text, found.node, name) if found else None
    if found is None or present is None:
        return text
    return drop(edited(text, *_removed(text, found.node, present)), container, name)


def strings(text: str) -> Iterator[String]:
    """Yield every string value."""
    root = _parse(text)
    return iter(()) if root is None else _strings(root, ())


def _strings(node: JsonNode, path: KeyPath) -> Iterator[String]:
    if isinstance(node.value, str):
        yield String(path, node.start, node.end)
    for index, item in enumerate(node.items):
        yield from _strings(item.node, (*path, index if item.key is None else item.key))


def _parse(text: str) -> JsonNode | None:
    start = _skip(text, 0)
    if start == len(text):
        return None
    try:
        root = _node(text, start)
    except RecursionError:
        raise unreadable(text, start, "nested too deeply") from None
    rest = _skip(text, root.end)
    if rest < len(text):
        raise unreadable(text, rest, "unexpected text after the end of the value")
    return root


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _node(text: str, at: int) -> JsonNode:
    closing = _CLOSING.get(text[at : at + 1])
    if closing is None:
        value, end = _scalar(text, at)
        return JsonNode(at, end, value)
    items, end = _items(text, at, closing)
    pairs = [(item.key, item.node.value) for item in items]
    return JsonNode(at, end, dict(pairs) if closing == "}" else [value for _, value in pairs], items)


def _scalar(text: str, at: int) -> tuple[Any, int]:
    try:
        return _SCALAR.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise unreadable(text, error.pos, error.msg.lower()) from None
    except ValueError:  # Python limits the digits of an integer
        raise unreadable(text, at, "the number is too long") from None


def _items(text: str, opened: int, closing: str) -> tuple[tuple[Item, ...], int]:
    items: list[Item] = []
    at = _skip(text, opened + 1)
    while not text.startswith(closing, at):
        if items and items[-1].comma is None:
            raise unreadable(text, at, f"expected a comma or {closing}")
        key, start = _key(text, at) if closing == "}" else (None, at)
        node = _node(text, start)
        after = _skip(text, node.end)
        comma = after if text.startswith(",", after) else None
        items.append(Item(key, at, node, comma))
        at = after if comma is None else _skip(text, comma + 1)
    return tuple(items), at + 1


def _key(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        raise unreadable(text, at, "expected a key in double quotes")
    key, end = _scalar(text, at)
    colon = _skip(text, end)
    if not text.startswith(":", colon):
        raise unreadable(text, colon, "expected a colon")
    return key, _skip(text, colon + 1)


def _item(text: str, node: JsonNode, key: str) -> Item | None:
    """Return the effective item of a key: if it is repeated, readers use the last one."""
    if not isinstance(node.value, dict):
        raise unreadable(text, node.start, "expected an object")
    return next((item for item in reversed(node.items) if item.key == key), None)


def _added(text: str, root: JsonNode, parent: JsonNode, key: str, value: Any) -> list[Edit]:
    if not parent.items:
        return _added_first(text, root, parent, key, value)
    last = parent.items[-1]
    member = f"{json.dumps(key, ensure_ascii=False)}{_colon(text, root)}{_rendered(text, root, last.start, value)}"
    indent = indentation(text, last.start)
    comma = [] if last.comma is not None else [Edit(last.end, last.end, ",")]
    after = last.end if last.comma is None else last.comma + 1
    closing = "," if last.comma is not None else ""
    if indent is None:
        return [*comma, Edit(after, after, _gap(text, root, parent) + member + closing)]
    remark = _REST_OF_LINE.match(text, after)
    place = remark.end() if remark else after
    return [*comma, Edit(place, place, newline_of(text) + indent + member + closing)]


def _added_first(text: str, root: JsonNode, parent: JsonNode, key: str, value: Any) -> list[Edit]:
    """Add the first item to an empty object, and keep its comments."""
    member = f"{json.dumps(key, ensure_ascii=False)}{_colon(text, root)}"
    inside = text[parent.start + 1 : parent.end - 1]
    kept = parent.start + 1 + len(inside.rstrip())
    if _on_one_line(text, root) and not inside.strip():
        return [Edit(kept, parent.end - 1, member + _rendered(text, root, parent.start, value))]
    newline = newline_of(text)
    base = line_indentation(text, parent.start)
    tail = "" if "\n" in text[kept : parent.end - 1] else newline + base
    block = indented(json.dumps({key: value}, indent=_unit(text, root), ensure_ascii=False)[1:-2], base, newline)
    return [Edit(kept, parent.end - 1 if tail else kept, block + tail)]


def _rendered(text: str, root: JsonNode, beside: int, value: Any) -> str:
    """Return a value as JSON, on several lines if its neighbour at `beside` starts a line."""
    indent = indentation(text, beside)
    if indent is None or _on_one_line(text, root):
        separators = ("," + _gap(text, root, root), _colon(text, root))
        return json.dumps(value, separators=separators, ensure_ascii=False)
    return indented(json.dumps(value, indent=_unit(text, root), ensure_ascii=False), indent, newline_of(text))


def _removed(text: str, parent: JsonNode, item: Item) -> list[Edit]:
    """Remove an item with its comma, or the last item with the comma before it."""
    if len(parent.items) == 1 and not _other_than_blank(text, parent, item):
        return [Edit(parent.start + 1, parent.end - 1)]
    index = parent.items.index(item)
    end = item.end if item.comma is None else item.comma + 1
    lines = without_lines(text, item.start, end)
    own_lines = lines != Edit(item.start, end)
    if item.comma is None and index:
        comma = parent.items[index - 1].comma or 0
        if not text[comma + 1 : item.start].strip() and not own_lines:
            return [Edit(comma, item.end)]
        return [Edit(comma, comma + 1), lines]
    following = parent.items[index + 1].start if index + 1 < len(parent.items) else end
    if own_lines or text[end:following].strip() or "\n" in text[end:following]:
        return [lines]
    return [Edit(item.start, following)]


def _other_than_blank(text: str, parent: JsonNode, item: Item) -> bool:
    end = item.end if item.comma is None else item.comma + 1
    between = text[item.end : item.comma] if item.comma is not None else ""
    return bool((text[parent.start + 1 : item.start] + between + text[end : parent.end - 1]).strip())


def _on_one_line(text: str, root: JsonNode) -> bool:
    """Check whether the text is minified or on one line."""
    return bool(root.items) and "\n" not in text[root.start : root.end]


def _unit(text: str, root: JsonNode) -> str | int:
    """Return one level of indentation, taken from the first item."""
    return (indentation(text, root.items[0].start) or 2) if root.items else 2


def _colon(text: str, root: JsonNode) -> str:
    """Return the colon in the style of the text, with or without a space after it."""
    first = next(iter(root.items), None)
    return ":" if first and text[first.node.start - 1] == ":" else ": "


def _gap(text: str, root: JsonNode, parent: JsonNode) -> str:
    """Return the text after a comma on one line: a space if the text uses spaces."""
    for item, following in zip(parent.items, parent.items[1:], strict=False):
        return " " if text[(item.comma or 0) + 1 : following.start] else ""
    return _colon(text, root)[1:]
