"""XML from a value by the `xml` hints of its schema (OpenAPI 3.2 section 4.26, `nodeType` included)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from portkey_bridge.errors import Unwritable
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.openapi.pointers import decode_token
from portkey_bridge.request.styles import literal
from portkey_bridge.schema.readings import ValuePath
from portkey_bridge.schema.shapes import Shapes

#: The characters that XML 1.0 cannot hold (section 2.2), and what a name is (Namespaces in XML 1.0 section 4).
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
XML_NAME = re.compile(r"([^\W\d][\w.-]*:)?[^\W\d][\w.-]*")

#: How an element says that it is null (XML Schema part 1, section 2.6.2).
NIL = {"xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "xsi:nil": "true"}


def to_xml(value: Any, schema: Schema, shapes: Shapes) -> bytes:
    """Write `value` as one XML document in UTF-8, the root named by its hint, else by its component.

    Raises Unwritable for names and characters that XML does not have.
    """
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    name = decode_token(reference.rpartition("/")[2]) if isinstance(reference, str) else "root"
    hints = shapes(schema).get("xml", {})
    elements = list(_elements(name, value, schema, shapes, ()))
    root = elements[0] if not isinstance(value, list) or _is_wrapped(hints) else _new(name, hints, ())
    if root not in elements:
        root.extend(elements)
    _bind(root, frozenset({"xml"}))
    # A carriage return that is not written as a reference is read as a line feed (XML 1.0 section 2.11).
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)).replace(b"\r", b"&#13;")


def _bind(element: ET.Element, known: frozenset[str]) -> None:
    """Leave out prefixes that no element around declares, which would break the document."""
    known = known | {name.partition(":")[2] for name in element.attrib if name.startswith("xmlns:")}
    element.tag = _bound(element.tag, known)
    attributes = {name if name.startswith("xmlns") else _bound(name, known): text for name, text in element.items()}
    element.attrib.clear()
    element.attrib.update(attributes)
    for child in element:
        _bind(child, known)


def _bound(name: str, known: frozenset[str]) -> str:
    prefix, _, local = name.rpartition(":")
    return name if prefix in known else local


def _is_wrapped(hints: dict[str, Any]) -> bool:
    return hints.get("wrapped") is True or hints.get("nodeType") == "element"


def _elements(name: str, value: Any, schema: Schema, shapes: Shapes, path: ValuePath) -> Iterator[ET.Element]:
    """Yield the elements of a property: one, or one an item for an array that is not wrapped."""
    hints = shapes(schema).get("xml", {})
    if not isinstance(value, list):
        yield _element(name, value, schema, shapes, path)
        return
    # The hint's name is the wrapper's; items without a name of their own have the wrapper's, too.
    wrapped, items = _is_wrapped(hints), shapes.of_items(schema)
    inner = str(hints.get("name", name)) if wrapped else name
    children = [
        element for at, item in enumerate(value) for element in _elements(inner, item, items, shapes, (*path, at))
    ]
    if not wrapped:
        yield from children
        return
    wrapper = _new(name, hints, path)
    wrapper.extend(children)
    yield wrapper


def _element(name: str, value: Any, schema: Schema, shapes: Shapes, path: ValuePath) -> ET.Element:
    element = _new(name, shapes(schema).get("xml", {}), path)
    if value is None:
        element.attrib.update(NIL)
    elif isinstance(value, dict):
        _fill(element, value, schema, shapes, path)
    else:
        element.text = _text(value, path)
    return element


def _fill(element: ET.Element, value: dict[str, Any], schema: Schema, shapes: Shapes, path: ValuePath) -> None:
    """Put the members of an object into its element: attributes, text and elements."""
    for key, member in value.items():
        below = shapes.of_property(schema, key)
        hints, there = shapes(below).get("xml", {}), (*path, key)
        kind = "attribute" if hints.get("attribute") is True else hints.get("nodeType")
        if kind == "attribute" and member is not None:
            if hints.get("prefix"):  # a namespace without one means nothing for an attribute
                element.attrib.update(_declaration(hints))
            element.set(_name(key, hints, there), _text(member, there))
        elif kind in ("text", "cdata"):
            element.text = "" if member is None else _text(member, there)
        elif kind == "none" and isinstance(member, dict):
            _fill(element, member, below, shapes, there)
        elif kind != "attribute":
            element.extend([*_elements(key, member, below, shapes, there)])


def _new(name: str, hints: dict[str, Any], path: ValuePath) -> ET.Element:
    return ET.Element(_name(name, hints, path), _declaration(hints))


def _name(name: str, hints: dict[str, Any], path: ValuePath) -> str:
    prefix = f"{hints['prefix']}:" if hints.get("prefix") else ""
    written = f"{prefix}{hints.get('name', name)}"
    if not XML_NAME.fullmatch(written):
        raise Unwritable(path, f"{written!r} is not a valid XML name")
    return written


def _declaration(hints: dict[str, Any]) -> dict[str, str]:
    """Return the attribute that declares the namespace of an element or attribute, if it has one."""
    if not hints.get("namespace"):
        return {}
    return {f"xmlns:{hints['prefix']}" if hints.get("prefix") else "xmlns": str(hints["namespace"])}


def _text(value: Any, path: ValuePath) -> str:
    text = literal(value)
    if FORBIDDEN.search(text):
        raise Unwritable(path, "XML cannot contain control characters")
    return text
