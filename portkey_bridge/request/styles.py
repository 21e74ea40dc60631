"""Parameter styles: a value becomes text in a path, a query, a header or a cookie.

The table "Style Examples" of OpenAPI 3.2 section 4.12 decides, and RFC 6570 for what it leaves open: `null` is
undefined there, so it is left out, alone and inside arrays and objects (section 2.3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

from portkey_bridge.errors import Unwritable

Escape = Callable[[str], str]
Pair = tuple[str, str]

#: RFC 3986 section 2.3: the characters that never need escaping. `quote` keeps letters and digits by itself.
UNRESERVED = "-._~"

#: Further characters that `allowReserved` permits (RFC 3986 section 2.2), without those that would end the value there:
#: OpenAPI 3.2 appendix C for queries and section 4.8.2 for paths, RFC 6265 section 4.1.1 for cookies.
RESERVED_BY_LOCATION = {"query": ":/?@!$'()*,;", "path": ":@!$&'()*+,=", "cookie": ":/?#[]@!$&'()*+"}


def escape(text: str) -> str:
    """Percent-encode everything but unreserved characters (RFC 6570 section 3.2.1)."""
    return quote(text, safe=UNRESERVED)


def escape_reserved(text: str, reserved: str) -> str:
    """Let those reserved characters and encoded octets pass (RFC 6570 section 3.2.3)."""
    return re.sub(
        r"%[0-9A-Fa-f]{2}|(.[^%]*)",
        lambda match: quote(match[1], safe=UNRESERVED + reserved) if match[1] else match[0],
        text,
        flags=re.DOTALL,
    )


def escape_of(location: str, allow_reserved: bool) -> Escape:
    """Return how values are escaped in a location."""
    return partial(escape_reserved, reserved=RESERVED_BY_LOCATION[location]) if allow_reserved else escape


def literal(value: Any) -> str:
    """Write a value as text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """Write compact JSON, whole numbers as integers. Raises Unwritable for numbers that JSON does not have."""
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise Unwritable((), "JSON has no infinity or NaN (RFC 8259 section 6)") from error
    if ".0" in text or "e+" in text:  # as every whole float is written, so that most values are gone through once only
        return json.dumps(with_integers(value), ensure_ascii=ascii_only, separators=(",", ":"))
    return text


def with_integers(value: Any) -> Any:
    """Return the value with whole numbers written as integers, which is what strict readers of JSON want.

    As in ECMAScript (section 6.1.6.1.20, Number::toString), numbers of more than 21 digits keep their exponent.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {name: with_integers(member) for name, member in value.items()}
    return [with_integers(item) for item in value] if isinstance(value, list) else value


def _items(value: list[Any]) -> list[str]:
    return [literal(item) for item in value if item is not None]


def _members(value: dict[str, Any]) -> list[Pair]:
    return [(name, literal(member)) for name, member in value.items() if member is not None]


def _joined(value: Any, delimiter: str, explode: bool, escape: Escape) -> str:
    """Write a value as one text, its items apart by the delimiter, and exploded members with `=`."""
    if isinstance(value, dict):
        joint = "=" if explode else delimiter
        return delimiter.join(
            f"{_apart(key, delimiter + joint, escape)}{joint}{_apart(text, delimiter, escape)}"
            for key, text in _members(value)
        )
    if isinstance(value, list):
        return delimiter.join(_apart(text, delimiter, escape) for text in _items(value))
    return escape(literal(value))


def _apart(text: str, delimiters: str, escape: Escape) -> str:
    """Escape an item so that no delimiter in it is read as one. Raises Unwritable where nothing is escaped."""
    written = escape(text)
    for delimiter in sorted({*delimiters} & {*written}):
        if escape("%") == "%":
            raise Unwritable((), f"{delimiter!r} separates the items, so an item cannot contain it")
        written = written.replace(delimiter, f"%{ord(delimiter):02X}")
    return written


def simple(name: str, value: Any, explode: bool, escape: Escape) -> str:
    """Style `simple` (RFC 6570 section 3.2.2), in paths and headers."""
    return _joined(value, ",", explode, escape)


def label(name: str, value: Any, explode: bool, escape: Escape) -> str:
    """Style `label` (RFC 6570 section 3.2.5), in paths."""
    if not _is_defined(value):
        return ""
    exploded = explode and isinstance(value, dict | list)
    return "." + _joined(value, "." if exploded else ",", explode, escape)


def matrix(name: str, value: Any, explode: bool, escape: Escape) -> str:
    """Style `matrix` (RFC 6570 section 3.2.7), in paths. An empty string has no `=`."""
    if not _is_defined(value):
        return ""
    if explode and isinstance(value, dict):
        pairs = _members(value)
    elif explode and isinstance(value, list):
        pairs = [(name, text) for text in _items(value)]
    else:
        return f";{escape(name)}{_with('=', _joined(value, ',', False, escape))}"
    return "".join(f";{_apart(key, ';=', escape)}{_with('=', _apart(text, ';', escape))}" for key, text in pairs)


def _with(sign: str, text: str) -> str:
    return f"{sign}{text}" if text else ""


def _delimited_text(delimiter: str) -> Callable[[str, Any, bool, Escape], str]:
    """Return a style of Swagger 2.0 (Parameter Object, `collectionFormat`), which paths and headers have, too."""

    def style(name: str, value: Any, explode: bool, escape: Escape) -> str:
        return _separated(value, delimiter, escape) if isinstance(value, list) else simple(name, value, False, escape)

    return style


def _separated(value: dict[str, Any] | list[Any], delimiter: str, escape: Escape) -> str:
    """Write items with a delimiter that is escaped itself, so that it cannot be escaped inside them."""
    parts = [part for pair in _members(value) for part in pair] if isinstance(value, dict) else _items(value)
    if any(delimiter in part for part in parts):
        raise Unwritable((), f"{delimiter!r} separates the items, so an item cannot contain it")
    return escape(delimiter).join(map(escape, parts))


#: The delimiters of the styles that the specification has for queries.
DELIMITERS = {"spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t"}

#: How a list inside a list is written (Swagger 2.0, Items Object, `collectionFormat`).
COLLECTIONS = {"csv": ",", "ssv": " ", "tsv": "\t", "pipes": "|"}


def lists_as_text(value: Any, schema: Any) -> Any:
    """Write lists in a list that say a `collectionFormat` as texts. Raises Unwritable for a delimiter in an item."""
    items = schema.get("items") if isinstance(schema, dict) else None
    if not isinstance(value, list) or not isinstance(items, dict) or "collectionFormat" not in items:
        return value
    delimiter = COLLECTIONS.get(str(items["collectionFormat"]), ",")
    return [_one_list(lists_as_text(item, items), delimiter) for item in value]


def _one_list(value: Any, delimiter: str) -> Any:
    return _separated(value, delimiter, str) if isinstance(value, list) else value


#: The styles of header parameters, and with them those of path parameters.
HEADER_STYLES: dict[str, Callable[[str, Any, bool, Escape], str]] = {
    "simple": simple,
    **{style: _delimited_text(delimiter) for style, delimiter in DELIMITERS.items()},
}
PATH_STYLES = {**HEADER_STYLES, "label": label, "matrix": matrix}


def form(name: str, value: Any, explode: bool, escape: Escape) -> Iterator[Pair]:
    """Style `form` (RFC 6570 section 3.2.8), in queries, cookies and form bodies: plain names and escaped values."""
    if explode and isinstance(value, dict):
        yield from ((key, escape(text)) for key, text in _members(value))
    elif explode and isinstance(value, list):
        yield from ((name, escape(text)) for text in _items(value))
    elif _is_defined(value):
        yield name, _joined(value, ",", False, escape)


def _is_defined(value: Any) -> bool:
    """Check whether there is anything to write: null, and a list or an object of nothing else, are undefined."""
    if isinstance(value, dict | list):
        return any(item is not None for item in (value.values() if isinstance(value, dict) else value))
    return value is not None


def _delimited(delimiter: str) -> Callable[[str, Any, bool, Escape], Iterator[Pair]]:
    def style(name: str, value: Any, explode: bool, escape: Escape) -> Iterator[Pair]:
        """Arrays and objects in one value, with a delimiter that items cannot have. Exploded, they are `form`."""
        if explode or not isinstance(value, dict | list):
            yield from form(name, value, explode, escape)
        elif _is_defined(value):
            yield name, _separated(value, delimiter, escape)

    return style


def deep_object(name: str, value: Any, explode: bool, escape: Escape) -> Iterator[Pair]:
    """Style `deepObject`: `name[key]=value`.

    The specification ends at one level. Below it, brackets go on: `name[a][b]=`, `name[list][]=`, and with an index
    where an item has members of its own, `name[list][0][b]=`.
    """
    for path, text in _paths(value):
        yield name + "".join(f"[{part}]" for part in path), escape(text)


def _paths(value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            if not key or "[" in key or "]" in key:
                raise Unwritable((), f"brackets separate the names, so {key!r} can be none")
            yield from (((key, *path), text) for path, text in _paths(member))
    elif isinstance(value, list):
        flat = not any(isinstance(item, dict | list) for item in value)
        for index, item in enumerate(value):
            yield from ((("" if flat else str(index), *path), text) for path, text in _paths(item))
    elif value is not None:
        yield (), literal(value)


#: The styles that yield pairs, for queries, cookies and form bodies. Each place escapes names in its own way.
PAIR_STYLES: dict[str, Callable[[str, Any, bool, Escape], Iterator[Pair]]] = {
    "form": form,
    **{style: _delimited(delimiter) for style, delimiter in DELIMITERS.items()},
    "deepObject": deep_object,
}


def header(value: Any, style: str, explode: bool) -> str | None:
    """Write a header, where nothing is percent-encoded (OpenAPI 3.2 appendix D); None where there is nothing to say.

    Blanks around the items of a list are not theirs (RFC 9110 section 5.6.1), so no item can have them.
    """
    if not _is_defined(value):
        return None
    parts = [part for pair in _members(value) for part in pair] if isinstance(value, dict) else ()
    parts = _items(value) if isinstance(value, list) else parts
    if any(part != part.strip(" \t") for part in parts):
        raise Unwritable((), "an item in a header cannot start or end with a blank")
    return HEADER_STYLES.get(style, simple)("", value, explode, str)


#: Characters that a cookie's name or value cannot contain (RFC 6265 section 4.1.1); commas are harmless.
NO_COOKIE = re.compile(r"[\x00-\x20\x7f;\"\\]|[^\x00-\x7f]")


def cookie(name: str, value: Any, explode: bool) -> Iterator[Pair]:
    """Style `cookie` (OpenAPI 3.2, RFC 6265 section 4.2.1): cookies of their own where exploded, and no escaping."""
    for key, text in form(name, value, explode, str):
        if "=" in key or re.search(NO_COOKIE, key) or re.search(NO_COOKIE, text):
            raise Unwritable((), "a cookie cannot have blanks, quotes, semicolons or characters beyond ASCII")
        yield key, text
