"""One example of the arguments of a complicated tool, where a listing has room for it.

It is the document's own: of the media type, else of the schema of the body. One that the document itself would refuse
helps nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from portkey_bridge.openapi.coercion import sequence
from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.request.arguments import Binding
from portkey_bridge.schema.deadline import OutOfTime, within
from portkey_bridge.schema.view_parts import compact_json
from portkey_bridge.tools.catalog import Tool

#: Characters of the longest example.
MAX_EXAMPLE = 400

#: Seconds that the check of one example may take: far more than it needs, so that a listing is always the same.
EXAMPLE_CHECK_SECONDS = 1.0


def listed_description(tool: Tool, view: Shape, budget: float) -> str:
    """Return the description of a tool in a listing: with an example where the view of its schema leaves room for it.

    A tool is complicated if one of its arguments has an object in it.
    """
    room = budget - len(compact_json(view))
    example = next((text for text in _examples(tool, view) if len(text) <= room), None) if room > 0 else None
    return tool.description if example is None else f"{tool.description}\nExample: {example}"


def with_example(tool: Tool, view: Shape) -> Shape:
    """Return the view of the whole input schema that is shown on request, with an example of a complicated tool."""
    example = next(_examples(tool, view), None)
    return view if example is None else {**view, "examples": [json.loads(example)]}


def _has_object(view: Schema) -> bool:
    """Check whether a view is of an object, an array of objects, or has a branch of one; all may be true or false."""
    if not isinstance(view, dict):
        return False
    branches: list[Schema] = [view, view.get("items", False), *view.get("anyOf", ())]
    return any(isinstance(branch, dict) and branch.get("type") == "object" for branch in branches)


def _examples(tool: Tool, view: Shape) -> Iterator[str]:
    """Yield the valid examples of a complicated tool, those of the media type first.

    A tool whose arguments a person has changed has none.
    """
    arguments = tool.arguments
    is_complicated = any(map(_has_object, view.get("properties", {}).values()))
    if arguments.media_type is None or tool.curation.arguments or not is_complicated:
        return
    needed = {name: each for name, each in arguments.bindings.items() if each.required and each.parameter}
    given = {name: _value(tool, binding) for name, binding in needed.items()}
    schema = tool.shapes(arguments.media_type.schema)
    for body in (*arguments.media_type.examples, *sequence(schema.get("examples"))):
        whole = given | arguments.of_body(body)
        if whole and len(text := compact_json(whole)) <= MAX_EXAMPLE and _is_valid(tool, whole):
            yield text


def _value(tool: Tool, binding: Binding) -> Any:
    """Return a value for a required parameter: an example, the default, the first of an enumeration, else its name."""
    shape = tool.shapes(binding.schema)
    default = [shape["default"]] if "default" in shape else []
    given = (*sequence(shape.get("examples")), *default, *sequence(shape.get("enum")))
    return next(iter(given), f"<{binding.argument}>")


def _is_valid(tool: Tool, arguments: dict[str, Any]) -> bool:
    try:
        with within(EXAMPLE_CHECK_SECONDS):
            return not any(True for _ in tool.arguments.violations(arguments))
    except OutOfTime:
        return False
