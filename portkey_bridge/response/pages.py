"""Where the next page of an answer is, and how its items join those that are kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import httpx
import msgspec

from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.response.answer import Answer

#: Some of what is in the text of every answer that leads to another page in its body, in lower case.
MARKS = (b"next", b"cursor", b"more", b"page", b"offset", b"total", b"continuation")

#: Names without separators, in lower case: objects that hold what is said about pages; members with the URL or the
#: cursor of the next page; members that say whether there is one; parameters that take a cursor.
ENVELOPES = frozenset(
    ("meta", "metadata", "responsemetadata", "pagination", "paging", "pageinfo", "cursor", "cursors", "links", "page")
)
NEXT = frozenset(
    [
        "next",
        "nextlink",
        "odatanextlink",
        "nexturl",
        "nextpageurl",
        "nexthref",
        "nextpage",
        "nextcursor",
        "nexttoken",
        "nextpagetoken",
        "nextpagecursor",
        "endcursor",
        "continuationtoken",
        "continuation",
        "after",
    ]
)
MORE = frozenset(("hasmore", "hasnextpage", "hasnext", "more"))
CURSORS = frozenset(
    [
        "cursor",
        "pagetoken",
        "nexttoken",
        "nextpagetoken",
        "after",
        "startingafter",
        "pagecursor",
        "nextcursor",
        "continuationtoken",
        "continuation",
        "nextpage",
        "next",
    ]
)

#: Parameters with a number, and the members that say how far the numbers go.
PAGES, LAST_PAGES = frozenset(("page", "pagenumber", "pageno")), frozenset(("totalpages", "pages", "lastpage"))
OFFSETS, TOTALS = frozenset(("offset", "skip", "start")), frozenset(("total", "totalcount", "totalitems"))

LINK = re.compile(r"<([^>]*)>([^<]*)")
IS_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\b)", re.IGNORECASE)


def next_page(answer: Answer, parameters: Collection[str]) -> httpx.URL | None:
    """Return the URL of the page after this answer to a GET with these query parameters; None if nothing names one.

    A `Link` of the relation `next` counts first (RFC 8288 section 3), then what the body says in a usual way.
    """
    here = answer.url
    if answer.status != 200 or answer.failed or here is None:
        return None
    for target, attributes in LINK.findall(answer.by_name.get("link", "")):
        if IS_NEXT.search(attributes):
            return _joined(here, target)
    if answer.body.lstrip()[:1] != b"{":
        return None
    lowered = answer.body.lower()
    if not any(mark in lowered for mark in MARKS):
        return None
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return _of_body(here, body, {_plain(name): name for name in parameters})


def _joined(here: httpx.URL, target: str) -> httpx.URL | None:
    try:
        return here.join(target)
    except (httpx.InvalidURL, ValueError):
        return None


def _of_body(here: httpx.URL, body: Mapping[str, Any], parameters: Mapping[str, str]) -> httpx.URL | None:
    said = dict(_members(body, 3))
    if any(said.get(name) is False for name in MORE):
        return None
    cursor = next((name for plain, name in parameters.items() if plain in CURSORS), None)
    for value in (value for name, value in said.items() if name in NEXT):
        if isinstance(value, str) and re.match(r"https?://|[/?]", value):
            return _joined(here, value)
        if cursor is not None and value not in ("", None) and isinstance(value, str | int):
            return here.copy_set_param(cursor, str(value))
    items = _items(body)
    if cursor is not None and any(said.get(name) is True for name in MORE):
        last = said.get("lastid") or (items[-1].get("id") if items and isinstance(items[-1], dict) else None)
        return here.copy_set_param(cursor, str(last)) if isinstance(last, str | int) else None
    return _numbered(here, said, len(items), parameters)


def _numbered(here: httpx.URL, said: Mapping[str, Any], count: int, parameters: Mapping[str, str]) -> httpx.URL | None:
    for names, ends, first, step in ((PAGES, LAST_PAGES, 1, 1), (OFFSETS, TOTALS, 0, count)):
        name = next((name for plain, name in parameters.items() if plain in names), None)
        end = next((said[each] for each in ends if type(said.get(each)) is int), None)
        if name is None or end is None or not count:
            continue
        asked = here.params.get(name, str(first))
        at = int(asked) + step if asked.isdecimal() and len(asked) < 18 else end
        if at < end + (names is PAGES):
            return here.copy_set_param(name, str(at))
    return None


def _members(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield what an answer says about itself, the outer members last, so that they count."""
    for name, inner in value.items():
        plain = _plain(name)
        if isinstance(inner, dict) and plain in NEXT:
            yield plain, inner.get("href")
        elif isinstance(inner, dict) and plain in ENVELOPES and depth:
            yield from _members(inner, depth - 1)
    yield from ((_plain(name), inner) for name, inner in value.items() if not isinstance(inner, dict | list))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _items(body: Mapping[str, Any]) -> list[Any]:
    return max((value for value in body.values() if isinstance(value, list)), key=len, default=[])


def joined(first: bytes, further: bytes) -> tuple[bytes, str, int, int] | None:
    """Return two pages as one JSON text, the pointer of its items, where the new ones begin, and their number.

    The items are the page itself or its longest array; everything else is of the newer page. None if they have no
    array in common.
    """
    if first.lstrip()[:1] == further.lstrip()[:1] == b"[":
        old, new = (msgspec.json.decode(each, type=list[msgspec.Raw]) for each in (first, further))
        return msgspec.json.encode([*old, *new]), "", len(old), len(new)
    try:
        one, other = (msgspec.json.decode(each, type=dict[str, msgspec.Raw]) for each in (first, further))
    except msgspec.MsgspecError:
        return None
    both = [name for name, value in one.items() if bytes(value)[:1] == b"[" and bytes(other.get(name, b""))[:1] == b"["]
    if not both:
        return None
    name = max(both, key=lambda name: len(bytes(other[name])))
    old, new = (msgspec.json.decode(each[name], type=list[msgspec.Raw]) for each in (one, other))
    whole = {**one, **other, name: msgspec.Raw(msgspec.json.encode([*old, *new]))}
    return msgspec.json.encode(whole), pointer_to([name]), len(old), len(new)
