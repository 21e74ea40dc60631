"""Answers to GET that are kept in memory, so that asking again costs a 304 (RFC 9111; RFC 9110 section 13).

The API is asked each time whether an answer still counts, unless a person allows fresh ones to be used without that.
An answer counts only for the same caller and the very same request, with all its headers and so its credentials.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime

import httpx

from portkey_bridge.http.policy import SAFE_METHODS
from portkey_bridge.response.answer import FRESH, VALIDATED, Answer

#: Most answers that are kept, the bytes of all their bodies, and of one.
MAX_ANSWERS, MAX_ALL_BYTES, MAX_ANSWER_BYTES = 512, 32 << 20, 4 << 20

#: Headers of a request that says itself what it wants of a cache, or of a part.
OF_ITS_OWN = frozenset(
    (
        *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"),
        *(b"if-range", b"range", b"cache-control"),
    )
)

#: Headers of a 304 that say nothing of the kept answer (RFC 9111 section 3.2).
OF_THE_MESSAGE = frozenset(("content-length", "content-encoding", "content-type", "content-range", "transfer-encoding"))

CODING = b"accept-encoding"

#: Seconds after which a change cannot have the same `Last-Modified` (RFC 9110 section 8.8.2.2).
SURELY_OLDER = 60

#: What is said of an answer that was not validated.
UNVALIDATED = "This answer is {:.0f} seconds old; the API said that it may be used for {} (--answer-cache fresh)."

NOT_MODIFIED = 304

Fetch = Callable[[httpx.Request], Awaitable[Answer]]
"""Sends a request and returns the answer."""


@dataclass(frozen=True)
class _Entry:
    """A kept answer: the headers that ask whether it has changed, its address, and until when it is fresh."""

    answer: Answer = field(repr=False)
    conditions: Mapping[str, str]
    address: str
    received: float
    seconds: float


class AnswerCache:
    """Keeps answers. With `fresh`, one is used without asking as long as its `Cache-Control` allows."""

    def __init__(self, fresh: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh, self._clock = fresh, clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._size = 0

    async def answer(self, request: httpx.Request, owner: str | None, fetch: Fetch) -> Answer:
        """Return the answer to a request of a caller: `fetch`'s, or the kept one if the API says that it still counts.

        A request that may change something makes answers of its path forgotten.
        """
        if request.method not in SAFE_METHODS:
            try:
                return await fetch(request)
            finally:
                if self._entries:
                    self._invalidate(_address(request.url))
        if not self._entries:  # most APIs have no validators, and their calls pay for nothing more
            answer = await fetch(request)
            is_kept = _conditions(answer) and _takes_kept(request)
            return self._kept(_key(request, owner), request, answer) if is_kept else answer
        if not _takes_kept(request):
            return await fetch(request)
        key = _key(request, owner)
        entry = self._entries.get(key)
        if entry is None:
            return self._kept(key, request, await fetch(request))
        age = self._clock() - entry.received
        if self._fresh and age < entry.seconds:
            remark = UNVALIDATED.format(age, f"{entry.seconds:.0f} seconds")
            return replace(entry.answer, remark=remark, cached=FRESH)
        return await self._validated(key, entry, request, fetch)

    async def _validated(self, key: bytes, entry: _Entry, request: httpx.Request, fetch: Fetch) -> Answer:
        bare = httpx.Headers(request.headers)
        request.headers.update(entry.conditions)
        answer = await fetch(request)
        if answer.status != NOT_MODIFIED:
            return self._kept(key, request, answer)
        if answer.url != entry.answer.url:  # it was redirected, and another resource has not changed
            again = httpx.Request("GET", request.url, headers=bare)
            return self._kept(key, again, await fetch(again))
        headers = entry.answer.headers.copy()
        headers.update({name: value for name, value in answer.headers.items() if name not in OF_THE_MESSAGE})
        return replace(self._kept(key, request, replace(entry.answer, headers=headers)), cached=VALIDATED)

    def _kept(self, key: bytes, request: httpx.Request, answer: Answer) -> Answer:
        """Keep an answer if it can be validated later, and forget what it replaces. Return it."""
        self._forget(key)
        conditions = _conditions(answer)
        if not conditions or answer.url != request.url or len(answer.body) > MAX_ANSWER_BYTES:
            return answer
        age = answer.by_name.get("age", "0")
        seconds = _freshness(answer) - (int(age) if age.isdecimal() and len(age) < 10 else 0)
        self._entries[key] = _Entry(answer, conditions, _address(request.url), self._clock(), seconds)
        self._size += len(answer.body)
        while len(self._entries) > MAX_ANSWERS or self._size > MAX_ALL_BYTES:
            self._forget(next(iter(self._entries)))
        return answer

    def _forget(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        self._size -= len(entry.answer.body) if entry else 0

    def _invalidate(self, address: str) -> None:
        for key in [key for key, entry in self._entries.items() if entry.address == address]:
            self._forget(key)


def _takes_kept(request: httpx.Request) -> bool:
    """Check for a GET that does not say itself what it wants of a cache."""
    return request.method == "GET" and OF_ITS_OWN.isdisjoint(name.lower() for name, _ in request.headers.raw)


def _key(request: httpx.Request, owner: str | None) -> bytes:
    """Return what a kept answer is found by: no secret can be read from it.

    The coding does not count: bodies are kept decoded.
    """
    headers = sorted((name.lower(), value) for name, value in request.headers.raw if name.lower() != CODING)
    return hashlib.sha256(repr((owner, str(request.url), headers)).encode()).digest()


def _address(url: httpx.URL) -> str:
    """Return a URL without its query: what a change of a resource is about."""
    return str(url.copy_with(query=None, fragment=None))


def _conditions(answer: Answer) -> dict[str, str]:
    """Return the headers that ask whether an answer has changed; none if it must not be kept."""
    if answer.status != 200 or answer.failed or answer.stream or answer.redirected_to:
        return {}
    if "etag" not in answer.by_name and "last-modified" not in answer.by_name:
        return {}
    if "no-store" in _directives(answer) or "*" in answer.by_name.get("vary", ""):
        return {}
    if "etag" in answer.by_name:
        return {"if-none-match": answer.by_name["etag"]}
    modified = answer.by_name.get("last-modified", "")
    return {"if-modified-since": modified} if _is_surely_older(modified, answer.by_name.get("date", "")) else {}


def _is_surely_older(modified: str, date: str) -> bool:
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(modified)).total_seconds() >= SURELY_OLDER
    except (ValueError, TypeError, OverflowError):
        return False


def _freshness(answer: Answer) -> float:
    """Return for how many seconds an answer may be used without asking."""
    directives = _directives(answer)
    value = directives.get("max-age", "")
    return 0 if "no-cache" in directives or not re.fullmatch(r"[0-9]{1,9}", value) else int(value)


def _directives(answer: Answer) -> dict[str, str]:
    """Return the directives of `Cache-Control` by their names in lower case (RFC 9111 section 5.2)."""
    parts = (part.partition("=") for part in answer.by_name.get("cache-control", "").split(","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in parts}
