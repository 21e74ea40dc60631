"""Values of a schema as they are shown: a model reads characters that no person sees, and could be told things by them.

What is sent is the document's own value: `schema/readings` finds it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.text import escaped, without_invisible


def visible_values(values: Sequence[Any]) -> list[Any]:
    """Return the values of an enumeration without characters that nobody sees; escaped where two would look alike."""
    shown = [without_invisible(value) if isinstance(value, str) else value for value in values]
    texts = Counter(text for text in shown if isinstance(text, str))
    return [
        escaped(value) if isinstance(value, str) and value != text and (texts[text] > 1 or not text) else text
        for value, text in zip(values, shown, strict=True)
    ]


def with_visible_values(shape: Shape) -> Shape:
    """Return a shape whose enumeration, default and examples are shown so; the same object if they are already."""
    changed = {}
    if "enum" in shape and (enum := visible_values(shape["enum"])) != shape["enum"]:
        changed["enum"] = enum
    for keyword in ("default", "const", "example"):
        if isinstance(value := shape.get(keyword), str) and (text := visible_values([value])[0]) != value:
            changed[keyword] = text
    if isinstance(shape.get("examples"), list) and (examples := visible_values(shape["examples"])) != shape["examples"]:
        changed["examples"] = examples
    return {**shape, **changed} if changed else shape
