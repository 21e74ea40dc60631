"""Which page comes after an answer, and the request for it: to the origin of the call only, and none twice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import httpx

from portkey_bridge.errors import CallError
from portkey_bridge.http.policy import origin
from portkey_bridge.openapi.model import Operation
from portkey_bridge.openapi.pointers import object_at, pointer_to
from portkey_bridge.request.arguments import Bound
from portkey_bridge.response.answer import Answer, reason
from portkey_bridge.response.json_views import is_json
from portkey_bridge.response.pages import Linked, join_pages, next_page
from portkey_bridge.response.results import beside
from portkey_bridge.response.streams import Report
from portkey_bridge.settings.options import key_in_file
from portkey_bridge.tools.catalog import Tool

#: What is said where an answer has a next page.
NEXT_PAGE = "There is a next page: expandResult with resultId {} and next: true fetches and appends it."

#: What is said of the pages that were collected, and why no more were.
COLLECTED = "These are {} pages as one answer."
UNREADABLE = "Page {} was not appended: {}"
TIME_LIMIT_NOTE = "The time limit of the call ended the reading after page {} ({})."
TOO_MANY = "/next: {} pages were read, the most for one result. Narrow the call with its own arguments."

#: The responses whose links are read.
SUCCESSES = ("200", "2XX", "default")


class Following(NamedTuple):
    """The page after an answer: its URL and number, the call that led there, and the URLs that were read so far."""

    tool: Tool
    bound: Bound
    url: httpx.URL
    seen: frozenset[str]
    number: int = 2


class Limits(NamedTuple):
    """How far pages are collected: their number, the bytes of all, and the seconds from the first on.

    `api` is the name of the API in a settings file, if there is one.
    """

    pages: int
    bytes: int
    seconds: float
    api: str = ""

    def option(self, field: str) -> str:
        """Return how a person names an option."""
        return key_in_file(self.api, field) or f"--{field.replace('_', '-')}"


FetchPage = Callable[[Following], Awaitable[Answer]]
"""Returns the answer with the next page, with its secrets. Raises CallError."""


def page_after(tool: Tool, bound: Bound, answer: Answer, before: Following | None = None) -> Following | None:
    """Return the next page if there is one that may be fetched: a GET on the same origin that was not fetched yet."""
    if tool.operation.method != "GET" or tool.is_confirmed or bound.has_body or answer.redirected_to:
        return None
    queries = [each.name for each in tool.operation.parameters if each.location == "query"]
    url = next_page(answer, queries, [*_links(tool.operation, queries, tool.shapes.root)])
    if url is None or answer.url is None or url.userinfo or origin(url) != origin(answer.url):
        return None
    seen = (before.seen | {str(before.url)} if before else frozenset()) | {str(answer.url)}
    if str(url) in seen:
        return None
    return Following(tool, bound, url, seen, before.number + 1 if before else 2)


def _links(operation: Operation, queries: Collection[str], root: Any) -> Iterator[Linked]:
    """Yield links to the next page: from an operation to itself by query parameters (OpenAPI 3.2, Link Object)."""
    response = next((operation.responses[status] for status in SUCCESSES if status in operation.responses), None)
    links = object_at(root, response).get("links")
    for name, value in links.items() if isinstance(links, dict) else ():
        link = object_at(root, value)
        parameters = link.get("parameters")
        if "next" not in name.lower() or not isinstance(parameters, dict) or not _is_to(operation, link):
            continue
        given = {each.removeprefix("query."): said for each, said in parameters.items() if not _is_kept(said)}
        if given and all(each in queries for each in given):
            yield given


def _is_to(operation: Operation, link: Mapping[str, Any]) -> bool:
    if "operationId" in link:
        return bool(link["operationId"] == operation.operation_id)
    own = f"#{pointer_to(['paths', operation.path, operation.method.lower()])}"
    return str(link.get("operationRef")).endswith(own)


def _is_kept(value: Any) -> bool:
    """Check for a value of the request itself, which the next page has as well."""
    return isinstance(value, str) and value.startswith("$request.")


async def collected(
    answer: Answer, following: Following | None, fetch: FetchPage, limits: Limits, report: Report
) -> tuple[Answer, Following | None]:
    """Return an answer with the items of the pages after it, and the first page that was not read.

    Reading ends at the limits, and at the first page that cannot be read or appended. The remark says why.
    """
    until, count, problem = time.monotonic() + limits.seconds, 1, ""
    while following is not None and count < limits.pages:
        if time.monotonic() > until:
            problem = TIME_LIMIT_NOTE.format(count, limits.option("timeouts"))
            break
        await report(count, f"page {count + 1}")
        try:
            page = await fetch(following)
            whole, items = await _appended(answer, page, limits)
        except CallError as error:
            problem = UNREADABLE.format(count + 1, error)
            break
        following = page_after(following.tool, following.bound, page, following)
        if items or following:  # an empty page may lead to further items
            answer, count = replace(answer, body=whole, cached=""), count + 1
    said = COLLECTED.format(count) if count > 1 else ""
    return replace(answer, remark=" ".join(filter(None, (answer.remark, said, problem)))), following


async def _appended(answer: Answer, page: Answer, limits: Limits) -> tuple[bytes, int]:
    """Return both bodies as one, and the number of items that the page has. Raises CallError."""
    if page.failed or not is_json(page.body):
        raise CallError(page.problem or f"the API answered {page.status} {reason(page.status, page.phrase)}.")
    both = await beside(len(answer.body), lambda: join_pages(answer.body, page.body))
    if both is None:
        raise CallError("it has no items that could be appended.")
    if len(both[0]) > limits.bytes:
        raise CallError(f"with it the answer would exceed {limits.bytes:,} bytes ({limits.option('kept_results')}).")
    return both[0], both[3]


def paged(request: httpx.Request, page: httpx.URL, credentials: Collection[str]) -> httpx.Request:
    """Return the request for another page: with the headers, and the credentials of the query, of the call itself.

    Raises CallError if the page is on another origin than the call.
    """
    if origin(page) != origin(request.url):
        raise CallError("/next: the next page is on another server than the call. Nothing was sent.")
    for name in credentials:
        page = page.copy_set_param(name, request.url.params.get(name, ""))
    return httpx.Request("GET", page, headers=request.headers)
