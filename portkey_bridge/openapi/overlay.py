"""Applies OpenAPI Overlay documents (versions 1.0 and 1.1) to an OpenAPI document, before anything else reads it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from portkey_bridge.document.content import Content, text_of
from portkey_bridge.document.parse import Document, resource_of
from portkey_bridge.document.positions import TextLines
from portkey_bridge.errors import DocumentError
from portkey_bridge.openapi.coercion import mapping

#: The feature sets that can be applied (Overlay Specification 1.1, Versions).
VERSION = re.compile(r"1\.[01](\.\d+)?")

#: The extension whose words about tools only a person may loosen.
CURATION = "x-mcp"

#: Annotations that make a client more careful.
CAREFUL = {"readOnlyHint": False, "destructiveHint": True}


class SelectedNode(NamedTuple):
    """A selected node: the names and indexes that lead to it, and its value."""

    location: tuple[str | int, ...]
    value: Any


class _Action(NamedTuple):
    """An Action Object, its number, from 1, and the overlay that has it."""

    overlay: Content
    number: int
    fields: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The file, the line and the number of the action."""
        line = TextLines(text_of(self.overlay)).line(("actions", str(self.number - 1)))
        return f"{self.overlay.source}, {f'line {line}, ' if line else ''}action {self.number}"

    def error(self, problem: str) -> DocumentError:
        return DocumentError(self.place, problem, "Correct the overlay.")


def overlaid(document: Document, overlays: Sequence[Content]) -> Document:
    """Return a document after its overlays, whose values are changed in place. Raises DocumentError.

    What the document itself says in `x-mcp` is reduced first to what needs no person's consent.
    """
    if overlays:
        tighten(document.root)
    warnings = [warning for overlay in overlays for warning in apply_overlay(document.root, overlay)]
    return replace(document, repairs=(*document.repairs, *warnings))


def apply_overlay(root: dict[str, Any], overlay: Content) -> tuple[str, ...]:
    """Apply the actions of an overlay to a document in place, and return a warning for each that matches nothing.

    Raises DocumentError, which names the file, the action and its line.
    """
    warnings = []
    for number, fields in enumerate(_actions(resource_of(overlay)), 1):
        action = _Action(overlay, number, fields)
        if not isinstance(mapping(fields).get("target"), str):
            raise action.error("an action is an object with a target")
        if not _apply(root, action):
            warnings.append(f"{action.place}: {fields['target']} matches nothing.")
    return tuple(warnings)


def _actions(overlay: Document) -> list[Any]:
    """Return the actions of an Overlay Object. Raises DocumentError for anything else."""
    root, remedy = overlay.root, "It starts with a line like 'overlay: 1.0.0' and has a list of actions."
    if not isinstance(root, dict) or not VERSION.fullmatch(str(root.get("overlay"))):
        raise DocumentError(overlay.source, "not an OpenAPI Overlay of version 1.0 or 1.1", remedy)
    actions = root.get("actions")
    if not isinstance(actions, list) or not actions:
        raise DocumentError(overlay.source, "the overlay has no actions", remedy)
    return actions


def _apply(root: dict[str, Any], action: _Action) -> bool:
    """Carry out one action, and return whether its target matched anything."""
    nodes = _selected(root, action.fields["target"], action)
    if action.fields.get("remove") is True:
        _remove(root, nodes, action)
        return bool(nodes)
    if len({_kind(node.value) for node in nodes}) > 1:
        raise action.error("the target selects objects, arrays and primitives together")
    for update in _updates(root, action):
        for node in nodes:
            _put(root, node, _merged(node.value, copy.deepcopy(update), action))
    return bool(nodes)


def _updates(root: dict[str, Any], action: _Action) -> Iterator[Any]:
    """Yield the value that the action adds, if any: its `update`, or what its `copy` selects."""
    fields = action.fields
    if "update" in fields:
        yield _offering(fields["update"])
    elif isinstance(fields.get("copy"), str):
        found = _selected(root, fields["copy"], action)
        if len(found) != 1:
            raise action.error(f"copy selects {len(found)} nodes instead of one")
        yield copy.deepcopy(found[0].value)


def _offering(update: Any) -> Any:
    """Return an update whose `x-mcp` objects offer the tools that they describe, unless they say otherwise."""
    for holder in _holders(update):
        if isinstance(holder[CURATION], dict):
            holder[CURATION].setdefault("include", True)
    return update


def _selected(root: dict[str, Any], path: str, action: _Action) -> list[SelectedNode]:
    """Return the nodes that a JSONPath selects (RFC 9535), each once."""
    import jsonpath_rfc9535 as jsonpath

    try:
        nodes = jsonpath.find(path, root)
    except jsonpath.JSONPathError as error:
        raise action.error(f"{path!r} is not a JSONPath: {str(error).partition(', line')[0]}") from error
    return [*{tuple(node.location): SelectedNode(tuple(node.location), node.value) for node in nodes}.values()]


def _kind(value: Any) -> str:
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "primitive"


def _merged(target: Any, update: Any, action: _Action) -> Any:
    """Return a selected node after the update: objects merged, arrays appended to, primitives replaced."""
    if isinstance(target, list):
        target.extend(update if isinstance(update, list) else [update])
        return target
    return _combined(target, update, action)


def _combined(target: Any, update: Any, action: _Action) -> Any:
    """Combine a property of both sides. Raises DocumentError for kinds that do not go together."""
    kinds = _kind(target), _kind(update)
    if update is None and kinds[0] != "primitive":
        return target  # as in the specification's example of a structured overlay
    if kinds[0] != kinds[1] and target is not None:
        raise action.error(f"an update of kind {kinds[1]} does not go with a target of kind {kinds[0]}")
    if isinstance(target, dict) and isinstance(update, dict):
        for name, value in update.items():
            target[name] = _combined(target[name], value, action) if name in target else value
        return target
    return [*target, *update] if isinstance(target, list) and isinstance(update, list) else update


def _put(root: dict[str, Any], node: SelectedNode, value: Any) -> None:
    """Put a value where a node was. The root and other objects and arrays are changed in place already."""
    if node.location and value is not node.value:
        _parent(root, node)[node.location[-1]] = value


def _parent(root: dict[str, Any], node: SelectedNode) -> Any:
    parent: Any = root
    for name in node.location[:-1]:
        parent = parent[name]
    return parent


def _remove(root: dict[str, Any], nodes: list[SelectedNode], action: _Action) -> None:
    """Remove nodes, the last of an array first, so that the indexes of the others stay."""
    for node in sorted(nodes, key=lambda node: [(isinstance(part, str), part) for part in node.location], reverse=True):
        if not node.location:
            raise action.error("the whole document cannot be removed")
        del _parent(root, node)[node.location[-1]]


def tighten(value: Any) -> None:
    """Reduce every `x-mcp` below a value, in place, to what a document may say of itself without a person's consent.

    No place is left out, not even examples: a reference can make an operation of anything in a document. What it wants
    included has no effect: a person may have excluded it further outside.
    """
    for holder in _holders(value):
        said = tightened(holder.pop(CURATION))
        if said is not True:
            holder[CURATION] = said


def tightened(curation: Any) -> Any:
    """Return what a document may say about its tools: exclude, name, ask for confirmation, and mark as not harmless."""
    if not isinstance(curation, dict):
        return curation if isinstance(curation, bool) else None
    marks = mapping(curation.get("annotations"))
    kept = {name: value for name, value in CAREFUL.items() if marks.get(name) is value}
    name = {"name": curation["name"]} if isinstance(curation.get("name"), str) else {}
    confirm = {"confirm": True} if curation.get("confirm") is True else {}
    return {**name, **confirm, **({"annotations": kept} if kept else {})}


def _holders(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending += each
        elif isinstance(each, dict):
            pending += [below for name, below in each.items() if name != CURATION]
            if CURATION in each:
                yield each
