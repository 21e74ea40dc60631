"""A body that may be any child of a discriminated parent: its properties, and those of the children beside them.

Which of them belong together, the property that tells the children apart says; the check of the body knows it anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.schema.shapes import Shapes

#: Children whose own properties are named beside the property that tells them apart.
MAX_NAMED_CHILDREN = 20


def with_children(shape: Shape, schema: Schema, shapes: Shapes) -> Shape:
    """Return the shape of a schema with the properties of the children that its discriminator tells apart, if any."""
    discriminator = shapes.discriminator(schema)
    if discriminator is None:
        return shape
    name, children = discriminator
    own = {name: {"type": "string"}, **shape.get("properties", {})}
    read = list(map(shapes, children))
    further: dict[str, list[Schema]] = {}
    for child in read:
        for each, value in child.get("properties", {}).items():
            if each not in own:
                further.setdefault(each, []).append(value)
    words = " ".join(
        [shapes(own[name]).get("description", ""), *_own_properties(read[:MAX_NAMED_CHILDREN], own)]
    ).strip()
    if words and isinstance(own[name], dict):
        own[name] = {**own[name], "description": words}
    joined = {**shape, "properties": own | {each: any_of(values) for each, values in further.items()}}
    if not shape.get("additionalProperties") and any(child.get("additionalProperties") for child in read):
        joined["additionalProperties"] = True
    return joined


def any_of(schemas: Sequence[Schema]) -> Schema:
    """Return a schema for what any of several accepts."""
    different = [schema for at, schema in enumerate(schemas) if schema not in schemas[:at]]
    return different[0] if len(different) == 1 else {"anyOf": different}


def _own_properties(children: Sequence[Shape], shared: Shape) -> Iterator[str]:
    """Yield a sentence for each child that has further properties: those that it needs, and those that it takes."""
    for child in children:
        told = child.get("description", "").partition(". ")[0].removesuffix(".")
        own = [name for name in child.get("properties", ()) if name not in shared]
        needed = [name for name in own if name in child.get("required", ())]
        taken = [name for name in own if name not in needed]
        if told and own:
            parts = [f"needs {', '.join(needed)}"] * bool(needed) + [f"takes {', '.join(taken)}"] * bool(taken)
            yield f"Where {told}: {'; '.join(parts)}."
