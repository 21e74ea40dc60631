"""The parts of a view: a schema as views show it, those inside it, and what is shown of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple

from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.openapi.spec_tables import APPLICATORS
from portkey_bridge.schema.listed import listed
from portkey_bridge.schema.visible_values import with_visible_values

#: Keywords that refuse more where their schema accepts more: shown word for word or not at all, with what depends on
#: them. Everything else in a view may accept more than the document's schema does.
VERBATIM_WITH = {"not": (), "if": ("then", "else"), "contains": ("minContains", "maxContains")}
VERBATIM = VERBATIM_WITH.keys()

#: What a view without descriptions has.
TYPE_KEYWORDS = frozenset("type enum required properties items anyOf additionalProperties".split())

#: The only format that makes another type (OpenAPI 3.0).
OF_BYTES = ("format", "binary")


class Shown(NamedTuple):
    """A view, and its characters of compact JSON."""

    view: Shape
    size: int


class Whole(NamedTuple):
    """A view without stubs, its characters of compact JSON, and its levels."""

    view: Shape
    size: int
    height: int


class ViewNode:
    """A schema as views show it: its shape, and what is found out about its view.

    `whole` is the view without stubs once it is known, `too_small` the most room that was not enough for it.
    """

    def __init__(self, shape: Shape, *, portable: bool, described: bool) -> None:
        self.shape = shape
        self.whole: Whole | None = None
        self.too_small = 0.0
        self._portable, self._described = portable, described

    @cached_property
    def listed(self) -> Shape:
        """The shape with the keywords of a listing alone."""
        return listed(with_visible_values(self.shape))

    @cached_property
    def shown(self) -> Shape:
        """The shape without the keywords that this kind of view leaves out."""
        if self._portable:
            return self.listed
        exact = _exact(with_visible_values(self.shape))
        if self._described:
            return exact
        return {key: value for key, value in exact.items() if key in TYPE_KEYWORDS or (key, value) == OF_BYTES}

    @cached_property
    def leaf(self) -> Shown:
        """What is shown of the schema itself."""
        return sized(_leaf(self.shown))


class ViewChild(NamedTuple):
    """A schema inside another, and the path that leads to it."""

    path: tuple[str, ...]
    node: ViewNode
    required: bool

    @property
    def overhead(self) -> int:
        """Characters of compact JSON before the view."""
        return len(self.path[-1]) + 4

    def below(self, pointer: str) -> str:
        """Return the pointer of the schema, given that of the one around it."""
        return pointer + pointer_to(self.path)


def _leaf(shape: Shape) -> Shape:
    """Return the keywords of a shape that hold no schemas, and those that are shown word for word."""
    return {
        keyword: value
        for keyword, value in shape.items()
        if keyword not in APPLICATORS or keyword in VERBATIM or isinstance(value, bool)
    }


def _exact(shape: Shape) -> Shape:
    """Leave out what cannot be shown word for word because it refers elsewhere, and what depends on it."""
    referring = {keyword for keyword in VERBATIM & shape.keys() if '"$ref"' in json.dumps(shape[keyword])}
    without = {dependent for keyword in VERBATIM - shape.keys() | referring for dependent in VERBATIM_WITH[keyword]}
    return {keyword: value for keyword, value in shape.items() if keyword not in referring | without}


compact_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def sized(view: Shape) -> Shown:
    """Return a view with its characters."""
    return Shown(view, view_size(view))


@cache
def of_type(kind: str) -> Shown:
    """Return the view of a type alone."""
    return sized({"type": kind})


@cache
def of_bytes(form: str) -> Shown:
    """Return the view of bytes in a string, with the format that says so."""
    return sized({"type": "string", "format": form})


def view_size(value: Mapping[str, Any]) -> int:
    """Return the characters of a view as compact JSON."""
    return len(compact_json(value))
