"""Which page comes after an answer, and the request for it: to the origin of the call only, and none twice."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import httpx

from portkey_bridge.errors import CallError
from portkey_bridge.http.policy import origin
from portkey_bridge.request.arguments import Bound
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.pages import next_page
from portkey_bridge.tools.catalog import Tool

#: What is said where an answer has a next page.
NEXT_PAGE = "There is a next page: expandResult with resultId {} and next: true fetches and appends it."


class Following(NamedTuple):
    """The page after an answer: its URL, the call that led there, and the pages so far, so that none is read twice."""

    tool: Tool
    bound: Bound
    url: httpx.URL
    seen: frozenset[str]


def page_after(tool: Tool, bound: Bound, answer: Answer, before: Following | None = None) -> Following | None:
    """Return the next page if there is one that may be fetched: a GET on the same origin that was not fetched yet."""
    if tool.operation.method != "GET" or tool.is_confirmed or bound.has_body or answer.redirected_to:
        return None
    queries = [each.name for each in tool.operation.parameters if each.location == "query"]
    url = next_page(answer, queries)
    if url is None or answer.url is None or url.userinfo or origin(url) != origin(answer.url):
        return None
    seen = (before.seen | {str(before.url)} if before else frozenset()) | {str(answer.url)}
    if str(url) in seen:
        return None
    return Following(tool, bound, url, seen)


def paged(request: httpx.Request, page: httpx.URL, credentials: Collection[str]) -> httpx.Request:
    """Return the request for another page: with the headers, and the credentials of the query, of the call itself.

    Raises CallError if the page is on another origin than the call.
    """
    if origin(page) != origin(request.url):
        raise CallError("/next: the next page is on another server than the call. Nothing was sent.")
    for name in credentials:
        page = page.copy_set_param(name, request.url.params.get(name, ""))
    return httpx.Request("GET", page, headers=request.headers)
