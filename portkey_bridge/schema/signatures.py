"""The view of a schema as a Python type, much like a TypedDict, from which models write better programs.

What a view leaves out stays a stub with its pointer. What is required comes first, then `# optional:`, with shorter
comments: most calls pass little of that, and a refusal explains the rest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.schema.listed import LISTED_ANYTHING
from portkey_bridge.schema.prose import shorten
from portkey_bridge.schema.shapes import Shapes

#: The types of Python by those of JSON Schema (2020-12, Validation section 6.1.1).
PYTHON_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "dict",
}

#: The type of what a schema does not restrict.
ANYTHING = "Any"

#: The type and format of the content of a file (OpenAPI 3.0). Of an answer it is text, unless it is all of it.
BINARY = ("string", "binary")


class Detail(NamedTuple):
    """What comments repeat: these keywords, and so many characters of each description that is no stub."""

    keywords: tuple[str, ...]
    room: int


#: Of what is required, and of what is optional.
REQUIRED_DETAIL = Detail(
    ("format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default"),
    sys.maxsize,
)
OPTIONAL_DETAIL = Detail(("format", "minimum", "maximum", "default"), 100)

#: What leads from a stub to the rest of it.
STUB_MARK = "[expandSchema "

#: Bounds of numbers from here on are those of their representation.
MAX_SAID_NUMBER = 2**31 - 1

#: What precedes the properties that may be missing, and the columns of a line with several.
OPTIONAL, MAX_COLUMNS_OF_LINE = "# optional:", 90

INDENT = "    "

#: What items of an answer are called.
ITEM = " one item of"


def python_type(view: Shape, pad: str = "", *, is_answer: bool = False) -> str:
    """Return the type of what a view describes; further lines begin with `pad`.

    An answer whose schema requires nothing may have any of its properties, which is not said of each object.
    """
    if view.get("anyOf") == LISTED_ANYTHING["anyOf"]:
        return ANYTHING
    if "anyOf" in view:
        branches = dict.fromkeys(python_type(branch, pad, is_answer=is_answer) for branch in view["anyOf"])
        return ANYTHING if ANYTHING in branches else " | ".join(branches)
    if "enum" in view:
        return f"Literal[{', '.join(map(_written, view['enum']))}]"
    if view.get("type") == "array":
        items = view.get("items")
        return f"list[{python_type(items, pad, is_answer=is_answer)}]" if isinstance(items, dict) else "list"
    if view.get("properties"):
        return _object(view, pad, is_answer)
    further = view.get("additionalProperties")
    if isinstance(further, dict) and further:
        return f"dict[str, {python_type(further, pad, is_answer=is_answer)}]"
    kind = view.get("type")
    if (kind, view.get("format")) == BINARY and not is_answer:
        return "bytes"
    return PYTHON_TYPES.get(kind, ANYTHING) if isinstance(kind, str) else ANYTHING


def comment(view: Shape, detail: Detail = REQUIRED_DETAIL) -> str:
    """Return what a view says besides the type: descriptions, with the pointers of stubs, and bounds.

    What is said of items and of branches is part of it, but not what is said of properties, which have their own lines.
    """
    return "; ".join(dict.fromkeys(_said(view, detail)))


def _said(view: Shape, detail: Detail) -> Iterator[str]:
    bounds = ", ".join(f"{keyword} {_written(view[keyword])}" for keyword in detail.keywords if _is_said(view, keyword))
    yield from filter(None, (bounds, _described(view, detail.room)))
    for inside in (view.get("items"), view.get("additionalProperties"), *view.get("anyOf", ())):
        if isinstance(inside, dict):
            yield from _said(inside, detail)


def _described(view: Shape, room: int) -> str:
    """Return the description of a view; one that is shortened ends in an ellipsis."""
    description = " ".join(str(view.get("description", "")).split())
    if len(description) <= room or STUB_MARK in description:
        return description
    return f"{shorten(description, room).rstrip('.…')}…"


def _is_said(view: Shape, keyword: str) -> bool:
    """Check whether a comment repeats a keyword: not what the type says, or how many bits a number has elsewhere."""
    kind = view.get("type")
    if keyword not in view or (keyword == "format" and (kind, view[keyword]) == BINARY):
        return False
    is_of_number = kind in ("integer", "number") and keyword != "default"
    return not is_of_number or (keyword != "format" and abs(view[keyword]) < MAX_SAID_NUMBER)


def _object(view: Shape, pad: str, is_answer: bool) -> str:
    required = [name for name in view.get("required", ()) if name in view["properties"]]
    optional = [name for name in view["properties"] if name not in required]
    is_marked = bool(optional) and (bool(required) or not is_answer)
    inner = pad + INDENT
    lines = [
        *_members(view, required, inner, is_answer, REQUIRED_DETAIL),
        *([inner + OPTIONAL] if is_marked else []),
        *_members(view, optional, inner, is_answer, OPTIONAL_DETAIL),
    ]
    if len(lines) == 1 and "\n" not in lines[0] and "#" not in lines[0]:
        return f"{{{lines[0].strip().removesuffix(',')}}}"
    return "\n".join(["{", *lines, f"{pad}}}"])


def _members(view: Shape, names: list[str], pad: str, is_answer: bool, detail: Detail) -> Iterator[str]:
    """Yield the lines of properties: as many in one as fit, but those with a comment or an object alone."""
    line = ""
    for name in names:
        shape = view["properties"][name]
        first, *others = f"{_written(name)}: {python_type(shape, pad, is_answer=is_answer)},".split("\n")
        said = comment(shape, detail)
        is_alone = bool(said or others)
        if line and (is_alone or len(line) + len(first) >= MAX_COLUMNS_OF_LINE):
            yield pad + line
            line = ""
        if is_alone:
            yield "\n".join([f"{pad}{first}{f'  # {said}' if said else ''}", *others])
        else:
            line = f"{line} {first}".lstrip()
    if line:
        yield pad + line


class Signature(NamedTuple):
    """A tool as a Python signature: how it is called, what is said of its answer, and the type of that.

    `parts` are those of the answer, in words, by the identity of their shapes.
    """

    name: str
    call: str
    returns: str
    answer: str = ""
    parts: Mapping[int, str] = {}

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.call, self.returns, self.answer)))


def parts_of_answer(schema: Schema, shapes: Shapes) -> dict[int, str]:
    """Return what the parts of an answer are in words, by the identity of their shapes."""
    whole = shapes(schema)
    places = {"": whole, **{f' "{name}" in': shapes(each) for name, each in whole.get("properties", {}).items()}}
    parts: dict[int, str] = {}
    for words, shape in places.items():
        parts.setdefault(id(shape), words)
        if isinstance(items := shape.get("items"), dict):
            parts.setdefault(id(shapes(items)), f"{ITEM}{words}")
    return parts


def joined(signatures: Iterable[Signature]) -> str:
    """Return signatures, of which each refers to what those before it return instead of repeating it."""
    shown: dict[int, str] = {}
    texts = []
    for signature in signatures:
        texts.append(str(_referring(signature, shown)))
        for shape, words in signature.parts.items():
            shown.setdefault(shape, f"{words} what {signature.name} returns")
    return "\n\n".join(texts)


def _referring(signature: Signature, shown: Mapping[int, str]) -> Signature:
    """Return a signature whose answer, or the items of it, are called what is shown already: the words of each shape.

    Answers of one line are as short as that.
    """
    known = {words: shown[shape] for shape, words in signature.parts.items() if shape in shown}
    if "\n" in signature.answer and "" in known:
        return signature._replace(returns=f"{signature.returns}{known['']}", answer="")
    if "\n" in signature.answer and ITEM in known:
        return signature._replace(answer=f'list["{known[ITEM].strip()}"]')
    return signature


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
