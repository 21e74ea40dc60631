"""XML from a value by the `xml` hints of its schema (OpenAPI 3.2 section 4.26, `nodeType` included)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from portkey_bridge.operations import Schema
from portkey_bridge.shapes import Shapes
from portkey_bridge.styles import literal

#: The characters that XML 1.0 can hold (section 2.2).
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(value: Any, schema: Schema, shapes: Shapes) -> bytes:
    """Write `value` as one XML document in UTF-8, the root named by its hint, else by its component."""
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    name = reference.rpartition("/")[2] if isinstance(reference, str) else "root"
    elements = list(_elements(name, value, schema, shapes))
    root = elements[0] if len(elements) == 1 else ET.Element(_name(name, shapes(schema).get("xml", {})))
    if root not in elements:
        root.extend(elements)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _elements(name: str, value: Any, schema: Schema, shapes: Shapes) -> Iterator[ET.Element]:
    """Yield the elements of a property: one, or one an item for an array that is not wrapped."""
    hints = shapes(schema).get("xml", {})
    if not isinstance(value, list):
        yield _element(_name(name, hints), value, schema, shapes)
        return
    items = shapes(schema).get("items", {})
    # The hint's name belongs to the wrapper; without one the items take their own name, else the property's.
    wrapped = hints.get("wrapped") is True or hints.get("nodeType") == "element"
    children = [element for item in value for element in _elements(name, item, items, shapes)]
    if not wrapped:
        yield from children
        return
    wrapper = _qualified(ET.Element(_name(name, hints)), hints)
    wrapper.extend(children)
    yield wrapper


def _element(name: str, value: Any, schema: Schema, shapes: Shapes) -> ET.Element:
    shape = shapes(schema)
    element = _qualified(ET.Element(name), shape.get("xml", {}))
    if not isinstance(value, dict):
        element.text = _text(value)
        return element
    for key, member in value.items():
        property_schema = shape.get("properties", {}).get(key, {})
        hints = shapes(property_schema).get("xml", {})
        if hints.get("attribute") is True or hints.get("nodeType") == "attribute":
            element.set(_name(key, hints), _text(member))
        elif hints.get("nodeType") in ("text", "cdata"):
            element.text = _text(member)
        else:
            element.extend(_elements(key, member, property_schema, shapes))
    return element


def _name(name: str, hints: dict[str, Any]) -> str:
    prefix = f"{hints['prefix']}:" if hints.get("prefix") else ""
    return f"{prefix}{hints.get('name', name)}"


def _qualified(element: ET.Element, hints: dict[str, Any]) -> ET.Element:
    """Declare the namespace of an element on it."""
    if hints.get("namespace"):
        element.set(f"xmlns:{hints['prefix']}" if hints.get("prefix") else "xmlns", str(hints["namespace"]))
    return element


def _text(value: Any) -> str:
    return "" if value is None else FORBIDDEN.sub("\ufffd", literal(value))
