"""What is shown of the headers of a response: what leads on, what identifies it, what limits it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from portkey_bridge.openapi.model import Operation
from portkey_bridge.response.answer import Answer

#: What headers are for: to identify a request to those who run the API, to say how much one may still ask, and for a
#: model to go on: where more is, where and when to ask next, what would be allowed.
REQUEST_ID, RATE_LIMIT, GOING_ON = "request id", "rate limit", "going on"

USES = {
    REQUEST_ID: re.compile(r"(.*-)?(request|trace|correlation)-?id|cf-ray", re.IGNORECASE),
    RATE_LIMIT: re.compile(r"(.*-)?rate-?limit(-.*)?|retry-after", re.IGNORECASE),
    GOING_ON: re.compile(
        r"link|(.*-)?location|retry-after|allow|www-authenticate|content-range|accept(-post|-patch|-query)?|"
        r"azure-asyncoperation|"
        r"(x-)?count|(.*-)?(total|page(?!-?speed)|pagin|next(?!js)|prev|cursor|continuation|has-?more|"
        r"(results?|items?|records?|objects?)-?count)[a-z]*(-.*)?",
        re.IGNORECASE,
    ),
}

#: Headers that say how an answer came and not what it is.
ON_THE_WAY = frozenset("connection keep-alive transfer-encoding date server via vary set-cookie alt-svc".split())

#: The status whose answer may say only by its limits when to ask again.
TOO_MANY_REQUESTS = 429

#: Statuses whose cause is the state of a resource that a request assumed; its present state has a tag.
CONDITIONAL_STATUSES = (412, 428)


def declared_error(operation: Operation, status: int) -> str:
    """Report what the document declares about this status of the operation; empty if it declares nothing."""
    for key, declared in _declared_responses(operation, status):
        description = declared.get("description")
        if isinstance(description, str) and description.strip():
            return f"The document says of {key}: {' '.join(description.split())[:500]}"
    return ""


def _declared_responses(operation: Operation, status: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the declared responses of a status, the most exact first (OpenAPI 3.2 section 4.16)."""
    for key in (str(status), f"{status // 100}XX", f"{status // 100}xx", "default"):
        if key in operation.responses:
            yield key, operation.responses[key]


def shown_headers(operation: Operation, answer: Answer) -> Iterator[str]:
    """Yield the headers that a model needs. The answer to HEAD is its headers, and so is what the document declares."""
    declared = {
        name.lower()
        for _, response in _declared_responses(operation, answer.status)
        for name in response.get("headers") or ()
    } - {"content-type", "content-length", "transfer-encoding"}
    if answer.status in CONDITIONAL_STATUSES:
        declared.add("etag")
    is_head, says_when = operation.method == "HEAD", answer.status == TOO_MANY_REQUESTS
    for name, value in answer.by_name.items():
        uses = _uses(name)
        is_asked_for = not uses and (name in declared or (is_head and name not in ON_THE_WAY))
        if is_asked_for or GOING_ON in uses or (says_when and RATE_LIMIT in uses):
            yield f"{name.title()}: {value[:2000]}"


@lru_cache(maxsize=256)  # the answers of an API have the same headers again and again
def _uses(name: str) -> frozenset[str]:
    return frozenset(use for use, pattern in USES.items() if pattern.fullmatch(name))


def meta_of(answer: Answer) -> dict[str, Any]:
    """Return what a result says of its response besides: status, request id and rate limits."""
    used = [(name, uses) for name in answer.by_name if (uses := _uses(name))]
    request_id = next((answer.by_name[name] for name, uses in used if REQUEST_ID in uses), None)
    limits = {name: answer.by_name[name] for name, uses in used if RATE_LIMIT in uses}
    known = {"status": answer.status, "requestId": request_id, "rateLimit": limits}
    return {name: value for name, value in known.items() if value}
