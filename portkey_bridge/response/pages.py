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
PAGE_HINTS = (b"next", b"cursor", b"more", b"page", b"offset", b"total", b"contin", b"scroll", b"bookmark", b"trunc")

#: Names without separators, in lower case: objects that hold what is said about pages; members with the URL, the
#: cursor or the number of the next page; members that say whether there is one; parameters that take a cursor.
ENVELOPES = frozenset(
    """
    meta metadata responsemetadata pagination paging pageinfo listmeta page pages cursor cursors link links
    """.split()
)
NEXT = frozenset(
    """
    next nextlink odatanextlink nexturl nextpageurl nexthref nexturi nextpageuri nextpage nextpagelink
    nextrecordsurl nextcursor nexttoken nextpagetoken nextpagecursor nextmarker nextoffset nextpageoffset endcursor
    after aftercursor scrollid bookmark continuationtoken continuation continue
    """.split()
)
MORE_MEMBERS = frozenset(("hasmore", "hasnextpage", "hasnext", "hasmoreitems", "more", "istruncated"))
CURSORS = frozenset(
    [
        *("cursor", "pagetoken", "nexttoken", "nextpagetoken", "after", "startingafter", "pagecursor", "nextcursor"),
        *("startcursor", "aftercursor", "pageafter", "paginationtoken", "continuationtoken", "continuation"),
        *("continue", "nextpage", "next", "marker", "nextmarker", "scrollid", "bookmark"),
    ]
)

#: Members that say that this page is the last one; members of an object about the next page that hold its URL; those
#: that name the relation of a link in a list.
LAST_MEMBERS, TARGET_MEMBERS = frozenset(("last", "islast", "islastpage")), frozenset(("href", "url", "uri", "link"))
RELATION_MEMBERS = frozenset(("rel", "relation"))

#: Parameters with the number of a page; members with that of this page, and with that of the last one.
PAGES = frozenset(("page", "pagenumber", "pageno", "pageindex", "currentpage", "paginationpage"))
THIS_PAGE_MEMBERS = PAGES | {"number"}
LAST_PAGES = frozenset(("totalpages", "pages", "lastpage", "pagecount", "numpages"))

#: Parameters with the number of the first item; members with the number of all items. SCIM counts from 1 (RFC 7644
#: section 3.4.2.4).
OFFSETS = frozenset(("offset", "skip", "start", "startat", "startindex", "pageoffset", "paginationstart"))
TOTALS = frozenset(("total", "totalcount", "totalitems", "totalresults", "totalrecords", "totalelements"))
FROM_ONE = frozenset(("startindex",))

#: Headers with the URL of the next page, or its number; with its cursor; and with what a body says otherwise.
PAGE_NUMBER_HEADERS = ("next-page", "x-next-page")
CURSOR_HEADERS = ("x-next-cursor", "next-cursor", "x-continuation-token", "x-ms-continuationtoken")
COUNT_HEADERS = {
    **dict.fromkeys(("x-total-pages", "x-wp-totalpages"), "totalpages"),
    **dict.fromkeys(("x-total-count", "x-total"), "total"),
}

PAGING_HEADERS = frozenset((*PAGE_NUMBER_HEADERS, *CURSOR_HEADERS, *COUNT_HEADERS))

#: Bytes of a body that is searched for its next page: as values it takes ten times as much memory.
MAX_SEARCHED_BYTES = 5_000_000

#: Levels of an answer at which its items are looked for: `_embedded` and `data` may hold them.
ITEM_LEVELS = 3

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
    if links:
        return _linked(here, answer, links)
    if PAGING_HEADERS.isdisjoint(answer.by_name) and not _has_hints(answer.body):
        return None
    plain = {_plain(name): name for name in parameters}
    for name in PAGE_NUMBER_HEADERS:
        if name in answer.by_name:
            return _of_header(here, answer.by_name[name], plain)
    cursor = _parameter(plain, CURSORS)
    given = next((value for name in CURSOR_HEADERS if (value := answer.by_name.get(name))), None)
    if cursor is not None and given:
        return here.copy_set_param(cursor, given)
    counts = {
        name: int(answer.by_name[each]) for each, name in COUNT_HEADERS.items() if _is_number(answer.by_name.get(each))
    }
    body = _decoded(answer) if counts or _has_hints(answer.body) else None
    return None if body is None else _of_body(here, body, counts, plain)


def _parameter(parameters: Mapping[str, str], names: Collection[str]) -> str | None:
    """Return the first parameter, of those by their plain names, that has one of these."""
    return next((name for plain, name in parameters.items() if plain in names), None)


def _is_number(value: Any) -> bool:
    """Check for an integer that is not negative, or the text of one."""
    return (type(value) is int and value >= 0) or (isinstance(value, str) and value.isdecimal() and len(value) < 18)


def _has_hints(body: bytes) -> bool:
    if len(body) > MAX_SEARCHED_BYTES:
        return False
    lowered = body.lower()
    return any(map(lowered.__contains__, PAGE_HINTS))


def _decoded(answer: Answer) -> Any:
    """Return the object or array that the body is; None if it is neither, or very large."""
    if len(answer.body) > MAX_SEARCHED_BYTES or answer.body.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _linked(here: httpx.URL, answer: Answer, links: Sequence[Linked]) -> httpx.URL | None:
    """Return where the first link leads of which the response has all values."""
    body = _decoded(answer)
    for link in links:
        values = {name: _evaluated(value, answer, body) for name, value in link.items()}
        if all(isinstance(value, str | int) and value not in ("", False) for value in values.values()):
            return here.copy_merge_params({name: str(value) for name, value in values.items()})
    return None


def _evaluated(value: Any, answer: Answer, body: Any) -> Any:
    expression = OF_RESPONSE.fullmatch(value) if isinstance(value, str) else None
    if expression is None:
        return value
    if expression["header"] is not None:
        return answer.by_name.get(expression["header"].lower())
    try:
        return resolve_pointer(body, expression["pointer"])
    except (JsonPointerException, TypeError):
        return None


def _of_header(here: httpx.URL, value: str, parameters: Mapping[str, str]) -> httpx.URL | None:
    name = _parameter(parameters, PAGES)
    if _is_number(value):
        return here.copy_set_param(name, value) if name else None
    return _joined(here, value) if re.match(r"https?://|[/?]", value) else None


def _joined(here: httpx.URL, target: str) -> httpx.URL | None:
    """Return the URL that a reference leads to; with `http` for the API's own host, it is asked by `https` like here.

    Behind a proxy that ends TLS, an API does not know how it is reached. A query alone is added to the call's own.
    """
    try:
        found = here.join(target)
        if target.startswith("?"):
            return here.copy_merge_params(found.params)
    except (httpx.InvalidURL, ValueError):
        return None
    is_own = (here.scheme, found.scheme, found.host, found.port) == ("https", "http", here.host, None)
    return found.copy_with(scheme=here.scheme, port=here.port) if is_own else found


def _of_body(here: httpx.URL, body: Any, counts: Mapping[str, int], parameters: Mapping[str, str]) -> httpx.URL | None:
    said = {**counts, **(dict(_members(body, ITEM_LEVELS)) if isinstance(body, dict) else {})}
    if any(said.get(name) is False for name in MORE_MEMBERS):
        return None
    cursor = _parameter(parameters, CURSORS)
    for name, value in said.items():
        if name in NEXT and (url := _named(here, name, value, cursor, parameters)):
            return url
    items = _items(body, ITEM_LEVELS)
    is_more = any(said.get(name) is True for name in MORE_MEMBERS)
    if cursor is not None and is_more:
        last = said.get("lastid") or (items[-1].get("id") if items and isinstance(items[-1], dict) else None)
        return here.copy_set_param(cursor, str(last)) if isinstance(last, str | int) else None
    if not items or any(said.get(name) is True for name in LAST_MEMBERS):
        return None
    return _numbered(here, said, len(items), parameters, is_more)


def _named(
    here: httpx.URL, name: str, value: Any, cursor: str | None, parameters: Mapping[str, str]
) -> httpx.URL | None:
    """Return where a member about the next page leads: a URL, a cursor, or the number of a page or an item."""
    if isinstance(value, str) and re.match(r"https?://|[/?]", value):
        return _joined(here, value)
    if isinstance(value, bool) or value in ("", None) or not isinstance(value, str | int):
        return None
    if cursor is not None:
        return here.copy_set_param(cursor, str(value))
    numbers = OFFSETS if "offset" in name else PAGES if name in ("next", "nextpage") else ()
    numbered = _parameter(parameters, numbers)
    return here.copy_set_param(numbered, str(value)) if numbered and _is_number(value) else None


def _numbered(
    here: httpx.URL, said: Mapping[str, Any], count: int, parameters: Mapping[str, str], is_more: bool
) -> httpx.URL | None:
    """Return the page with the number after this one, if it is at most the last, or an answer says that there is one.

    What a call does not ask for is what the answer says of itself, else the first page or item.
    """
    this = next((said[name] for name in THIS_PAGE_MEMBERS if _is_number(said.get(name))), 1)
    for names, ends, step in ((PAGES, LAST_PAGES, 1), (OFFSETS, TOTALS, count)):
        plain, name = next(((plain, name) for plain, name in parameters.items() if plain in names), ("", None))
        end = next((int(said[each]) for each in ends if _is_number(said.get(each))), None)
        if name is None or (end is None and not is_more):
            continue
        first = int(this) if names is PAGES else int(plain in FROM_ONE)
        asked = here.params.get(name, str(first))
        at = int(asked) + step if _is_number(asked) else None
        if at is not None and (end is None or at < end + (names is PAGES or plain in FROM_ONE)):
            return here.copy_set_param(name, str(at))
    return None


def _members(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the members that describe the answer itself, the outer members last, so that they count."""
    for name, inner in value.items():
        plain = _plain(name)
        if isinstance(inner, dict) and plain in NEXT:
            yield from ((plain, each) for key, each in inner.items() if _plain(key) in TARGET_MEMBERS)
            yield from ((_plain(key), each) for key, each in inner.items() if _plain(key) in NEXT)
        elif isinstance(inner, dict) and plain in ENVELOPES and depth:
            yield from _members(inner, depth - 1)
        elif isinstance(inner, list) and plain in ENVELOPES:
            yield from (("next", target) for link in inner if (target := _target_of_next(link)))
    yield from ((_plain(name), inner) for name, inner in value.items() if not isinstance(inner, dict | list))


def _target_of_next(link: Any) -> Any:
    """Return the URL of a link in a list, if its relation is that of the next page."""
    said = {_plain(name): value for name, value in link.items()} if isinstance(link, dict) else {}
    if not any(said.get(name) == "next" for name in RELATION_MEMBERS):
        return None
    return next((said[name] for name in TARGET_MEMBERS if isinstance(said.get(name), str)), None)


@lru_cache(maxsize=1024)  # the answers of an API have the same names again and again
def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _items(body: Any, levels: int) -> list[Any]:
    """Return the longest array of an answer: itself, or one in its objects."""
    if isinstance(body, list):
        return body
    inside = (_items(value, levels - 1) for value in body.values()) if isinstance(body, dict) and levels else ()
    return max(inside, key=len, default=[])


def join_pages(first: bytes, further: bytes) -> tuple[bytes, str, int, int] | None:
    """Return two pages as one JSON text, the pointer of its items, where the new ones begin, and their number.

    The items are the page itself or its longest array, maybe inside of objects. Other arrays that differ are joined as
    well, so that nothing is lost; everything else is of the newer page. None if they have no array in common.
    """
    old, new = (dict(_arrays(msgspec.Raw(each), ITEM_LEVELS)) for each in (first, further))
    both = [place for place in old if place in new]
    if not both:
        return None
    place = max(both, key=lambda each: len(bytes(old[each])) + len(bytes(new[each])))
    joined = {
        each: msgspec.Raw(msgspec.json.encode([*_raw_items(old[each]), *_raw_items(new[each])]))
        for each in both
        if each == place or bytes(old[each]) != bytes(new[each])
    }
    whole = _with_arrays(msgspec.Raw(first), msgspec.Raw(further), joined, ())
    return bytes(whole), pointer_to(place), len(_raw_items(old[place])), len(_raw_items(new[place]))


ArrayPlace = tuple[str, ...]
"""The names that lead to a value inside of objects."""


def _arrays(value: msgspec.Raw, levels: int, place: ArrayPlace = ()) -> Iterator[tuple[ArrayPlace, msgspec.Raw]]:
    """Yield each array that is not in another one, with its place."""
    beginning = bytes(memoryview(value)[:64]).lstrip()[:1]
    if beginning == b"[":
        yield place, value
    elif beginning == b"{" and levels:
        for name, inner in msgspec.json.decode(value, type=dict[str, msgspec.Raw]).items():
            yield from _arrays(inner, levels - 1, (*place, name))


def _raw_items(value: msgspec.Raw) -> list[msgspec.Raw]:
    return msgspec.json.decode(value, type=list[msgspec.Raw])


def _with_arrays(
    old: msgspec.Raw, new: msgspec.Raw, joined: Mapping[ArrayPlace, msgspec.Raw], place: ArrayPlace
) -> msgspec.Raw:
    """Return the newer of two values with the joined arrays, and with what only the older one has around them."""
    if place in joined:
        return joined[place]
    if not any(each[: len(place)] == place for each in joined):
        return new
    one, other = (msgspec.json.decode(each, type=dict[str, msgspec.Raw]) for each in (old, new))
    inside = {name: _with_arrays(one[name], other[name], joined, (*place, name)) for name in one if name in other}
    return msgspec.Raw(msgspec.json.encode({**one, **other, **inside}))
