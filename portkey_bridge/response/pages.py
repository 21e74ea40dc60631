"""Where the next page of an answer is, and how its items join those that are kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import httpx
import msgspec
from jsonpointer import JsonPointerException, resolve_pointer

from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.response.answer import Answer

#: Some of what is in the text of every answer that leads to another page in its body, in lower case.
PAGE_HINTS = (b"next", b"cursor", b"more", b"page", b"offset", b"total", b"continuation")

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
MORE_MEMBERS = frozenset(("hasmore", "hasnextpage", "hasnext", "more"))
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

#: Headers with the URL of the next page, or its number.
PAGE_NUMBER_HEADERS = ("next-page", "x-next-page")

#: A runtime expression that takes a part of the response (OpenAPI 3.2, Runtime Expressions): a header, or a pointer.
OF_RESPONSE = re.compile(r"\$response\.(?:header\.(?P<header>[^{}]+)|body#(?P<pointer>.*))", re.DOTALL)

LINK = re.compile(r"<([^>]*)>([^<]*)")
IS_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\b)", re.IGNORECASE)


Linked = Mapping[str, Any]
"""The query parameters of a Link Object that leads to the next page, and their values or runtime expressions."""


def next_page(answer: Answer, parameters: Collection[str], links: Sequence[Linked] = ()) -> httpx.URL | None:
    """Return the URL of the page after this answer to a GET with these query parameters; None if nothing names one.

    A `Link` of the relation `next` counts first (RFC 8288 section 3), then the `links` of the document, then what
    another header and the body say in a usual way.
    """
    here = answer.url
    if answer.status != 200 or answer.failed or here is None:
        return None
    for target, attributes in LINK.findall(answer.by_name.get("link", "")):
        if IS_NEXT.search(attributes):
            return _joined(here, target)
    plain = {_plain(name): name for name in parameters}
    if links:
        return _linked(here, answer, links)
    for name in PAGE_NUMBER_HEADERS:
        if name in answer.by_name:
            return _of_header(here, answer.by_name[name], plain)
    lowered = answer.body.lower()
    body = _object(answer) if any(mark in lowered for mark in PAGE_HINTS) else None
    return None if body is None else _of_body(here, body, plain)


def _object(answer: Answer) -> Mapping[str, Any] | None:
    if answer.body.lstrip()[:1] != b"{":
        return None
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _linked(here: httpx.URL, answer: Answer, links: Sequence[Linked]) -> httpx.URL | None:
    """Return where the first link leads of which the response has all values."""
    body = _object(answer)
    for link in links:
        values = {name: _evaluated(value, answer, body) for name, value in link.items()}
        if all(isinstance(value, str | int) and value not in ("", False) for value in values.values()):
            return here.copy_merge_params({name: str(value) for name, value in values.items()})
    return None


def _evaluated(value: Any, answer: Answer, body: Mapping[str, Any] | None) -> Any:
    expression = OF_RESPONSE.fullmatch(value) if isinstance(value, str) else None
    if expression is None:
        return value
    if expression["header"] is not None:
        return answer.headers.get(expression["header"])
    try:
        return resolve_pointer(body, expression["pointer"])
    except (JsonPointerException, TypeError):
        return None


def _of_header(here: httpx.URL, value: str, parameters: Mapping[str, str]) -> httpx.URL | None:
    name = next((name for plain, name in parameters.items() if plain in PAGES), None)
    if value.isdecimal() and len(value) < 18:
        return here.copy_set_param(name, value) if name else None
    return _joined(here, value) if re.match(r"https?://|[/?]", value) else None


def _joined(here: httpx.URL, target: str) -> httpx.URL | None:
    try:
        return here.join(target)
    except (httpx.InvalidURL, ValueError):
        return None


def _of_body(here: httpx.URL, body: Mapping[str, Any], parameters: Mapping[str, str]) -> httpx.URL | None:
    said = dict(_members(body, 3))
    if any(said.get(name) is False for name in MORE_MEMBERS):
        return None
    cursor = next((name for plain, name in parameters.items() if plain in CURSORS), None)
    for value in (value for name, value in said.items() if name in NEXT):
        if isinstance(value, str) and re.match(r"https?://|[/?]", value):
            return _joined(here, value)
        if cursor is not None and value not in ("", None) and isinstance(value, str | int):
            return here.copy_set_param(cursor, str(value))
    items = _items(body)
    if cursor is not None and any(said.get(name) is True for name in MORE_MEMBERS):
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


@lru_cache(maxsize=1024)  # the answers of an API have the same names again and again
def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _items(body: Mapping[str, Any]) -> list[Any]:
    return max((value for value in body.values() if isinstance(value, list)), key=len, default=[])


def join_pages(first: bytes, further: bytes) -> tuple[bytes, str, int, int] | None:
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
