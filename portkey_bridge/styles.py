"""Parameter styles: a value becomes text in a path, a query, a header or a cookie.

The table of OpenAPI 3.2 section 4.12.2.3 ("Style Examples") decides, and RFC 6570 for what it leaves open: `null` is
undefined there, so it is left out, alone and inside arrays and objects (section 2.3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from portkey_bridge.errors import Unwritable

Escape = Callable[[str], str]
Pair = tuple[str, str]

#: RFC 3986 section 2.3: the characters that never need escaping. `quote` keeps letters and digits by itself.
UNRESERVED = "-._~"


def escape(text: str) -> str:
    """Percent-encode everything but unreserved characters (RFC 6570 section 3.2.1)."""
    return quote(text, safe=UNRESERVED)


#: What `allowReserved` lets pass besides. `&`, `#` and `+` would become another parameter, a fragment and a space;
#: brackets are not allowed in a query (RFC 3986 section 3.4).
RESERVED_IN_QUERY = ":/?@!$'()*,;="


def escape_reserved(text: str) -> str:
    """Let reserved characters and encoded octets pass (RFC 6570 section 3.2.3), but for what would end the value."""
    return re.sub(
        r"%[0-9A-Fa-f]{2}|(.[^%]*)",
        lambda match: quote(match[1], safe=UNRESERVED + RESERVED_IN_QUERY) if match[1] else match[0],
        text,
        flags=re.DOTALL,
    )


def literal(value: Any) -> str:
    """Write a value as text: strings as they are, everything else as JSON writes it, whole numbers without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _items(value: Any) -> list[str]:
    """Give the texts of an array's items, or of the one value."""
    return [literal(item) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _members(value: dict[str, Any]) -> list[Pair]:
    return [(name, literal(member)) for name, member in value.items() if member is not None]


def simple(name: str, value: Any, explode: bool, escape: Escape) -> str:
    """Style `simple` (RFC 6570 section 3.2.2), in paths and headers."""
    if isinstance(value, dict):
        joint = "=" if explode else ","
        return ",".join(f"{escape(key)}{joint}{escape(text)}" for key, text in _members(value))
    return ",".join(map(escape, _items(value)))


def label(name: str, value: Any, explode: bool, escape: Escape) -> str:
    """Style `label` (RFC 6570 section 3.2.5), in paths."""
    if not explode or not isinstance(value, dict | list):
        return "." + simple(name, value, explode, escape)
    if isinstance(value, dict):
        return "".join(f".{_dotless(escape(key))}={_dotless(escape(text))}" for key, text in _members(value))
    return "".join(f".{_dotless(escape(text))}" for text in _items(value))


def _dotless(text: str) -> str:
    """Keep a dot inside an exploded item from being read as the start of the next one."""
    return text.replace(".", "%2E")


def matrix(name: str, value: Any, explode: bool, escape: Escape) -> str:
    """Style `matrix` (RFC 6570 section 3.2.7), in paths. An empty string has no `=`."""
    if explode and isinstance(value, dict):
        pairs = _members(value)
    elif explode and isinstance(value, list):
        pairs = [(name, text) for text in _items(value)]
    else:
        return f";{escape(name)}{_with('=', simple(name, value, False, escape))}"
    return "".join(f";{escape(key)}{_with('=', escape(text))}" for key, text in pairs)


def _with(sign: str, text: str) -> str:
    return f"{sign}{text}" if text else ""


#: The styles of path parameters. `simple` is the style of headers, too.
PATH_STYLES: dict[str, Callable[[str, Any, bool, Escape], str]] = {"simple": simple, "label": label, "matrix": matrix}


def form(name: str, value: Any, explode: bool, escape: Escape) -> Iterator[Pair]:
    """Style `form` (RFC 6570 section 3.2.8), in queries, cookies and form bodies: escaped names and values."""
    if explode and isinstance(value, dict):
        yield from ((escape(key), escape(text)) for key, text in _members(value))
    elif explode and isinstance(value, list):
        yield from ((escape(name), escape(text)) for text in _items(value))
    elif value not in (None, [], {}):
        yield escape(name), simple(name, value, False, escape)


def _delimited(delimiter: str) -> Callable[[str, Any, bool, Escape], Iterator[Pair]]:
    def style(name: str, value: Any, explode: bool, escape: Escape) -> Iterator[Pair]:
        """Arrays and objects in one value, with a delimiter that items cannot have. Exploded, they are `form`."""
        if explode or not isinstance(value, dict | list):
            yield from form(name, value, explode, escape)
            return
        parts = [part for pair in _members(value) for part in pair] if isinstance(value, dict) else _items(value)
        if any(delimiter in part for part in parts):
            raise Unwritable((), f"{delimiter!r} separates the items here, so no item can have it")
        if parts:
            yield escape(name), quote(delimiter).join(map(escape, parts))

    return style


def deep_object(name: str, value: Any, explode: bool, escape: Escape) -> Iterator[Pair]:
    """Style `deepObject`: `name[key]=value`.

    The specification ends at one level. Below it, brackets go on: `name[a][b]=`, `name[list][]=`, and with an index
    where an item has members of its own, `name[list][0][b]=`.
    """
    for path, text in _paths(value):
        yield escape(name) + "".join(f"%5B{escape(part)}%5D" for part in path), escape(text)


def _paths(value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from (((key, *path), text) for path, text in _paths(member))
    elif isinstance(value, list):
        flat = not any(isinstance(item, dict | list) for item in value)
        for index, item in enumerate(value):
            yield from ((("" if flat else str(index), *path), text) for path, text in _paths(item))
    elif value is not None:
        yield (), literal(value)


#: The styles that give name-value pairs, for queries, cookies and form bodies.
PAIR_STYLES: dict[str, Callable[[str, Any, bool, Escape], Iterator[Pair]]] = {
    "form": form,
    "spaceDelimited": _delimited(" "),
    "pipeDelimited": _delimited("|"),
    "tabDelimited": _delimited("\t"),
    "deepObject": deep_object,
}


def header(value: Any, explode: bool) -> str:
    """Style `simple` in a header, where nothing is percent-encoded (OpenAPI 3.2 appendix D)."""
    parts = [part for pair in _members(value) for part in pair] if isinstance(value, dict) else _items(value)
    if isinstance(value, dict | list) and any("," in part for part in parts):
        raise Unwritable((), "a comma separates the items in a header, so no item can have one")
    return simple("", value, explode, str)


def cookie(name: str, value: Any, explode: bool) -> Iterator[Pair]:
    """Style `cookie` (OpenAPI 3.2, RFC 6265 section 4.2.1): cookies of their own where exploded, and no escaping."""
    for key, text in form(name, value, explode, str):
        if re.search(r"[\x00-\x20\x7f;,\"\\]|[^\x00-\x7f]", text):
            raise Unwritable((), "a cookie cannot have blanks, quotes, commas, semicolons or characters beyond ASCII")
        yield key, text
