"""Secrets that expire: obtained when first needed, once for all who wait, and again before or after they expire."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from portkey_bridge.errors import CallError

#: A secret is renewed this many seconds before it expires, or earlier by this part of its lifetime if it is short.
LEEWAY, LEEWAY_PART = 60.0, 0.1

#: Seconds for which a failure to obtain a secret is the answer to further calls: many attempts could lock an account.
FAILED_FOR = 5.0


@dataclass(frozen=True)
class Expiring:
    """A secret that was obtained. `expires` is in seconds since the epoch, None where nobody said when.

    `scopes` are those that it was granted (RFC 6749 section 3.3), None where that is unknown. `refresh` obtains the
    next one.
    """

    value: str = field(repr=False)
    expires: float | None = None
    renew_at: float | None = None
    scopes: frozenset[str] | None = None
    refresh: str = field(default="", repr=False)

    @classmethod
    def of(cls, value: str, seconds: float | None, scopes: frozenset[str] | None = None, refresh: str = "") -> Expiring:
        """Return a secret that was obtained now and is valid for so many seconds."""
        if seconds is None:
            return cls(value, scopes=scopes, refresh=refresh)
        now = time.time()
        return cls(value, now + seconds, now + seconds - min(LEEWAY, seconds * LEEWAY_PART), scopes, refresh)

    @property
    def is_due(self) -> bool:
        """Whether it should be renewed before it is used again."""
        return self.renew_at is not None and time.time() >= self.renew_at


def jwt_claims(token: str) -> Mapping[str, Any]:
    """Return the claims that a JWT has (RFC 7519 section 3.1), unverified; {} for any other text."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


class Renewable(Protocol):
    """Something that expires."""

    @property
    def is_due(self) -> bool:
        """Whether it should be renewed before it is used again."""


T = TypeVar("T", bound=Renewable)


class Renewed(Generic[T]):
    """Keeps a secret that `obtain` returns; its argument is the one that is to be replaced, if there is one.

    Calls that need it at the same time share one attempt to obtain it, and its failure for a few seconds.
    """

    def __init__(self, obtain: Callable[[T | None], Awaitable[T | None]]) -> None:
        self._obtain = obtain
        self._obtaining: asyncio.Task[T | None] | None = None
        self._failed_at = -FAILED_FOR
        self._failure: CallError | None = None
        self.current: T | None = None

    async def get(self) -> T | None:
        """Return the secret, obtained or renewed if necessary; None if there is none. Raises CallError."""
        if self.current is not None and not self.current.is_due:
            return self.current
        return await self._shared(self.current)

    async def replace(self, is_rejected: Callable[[T], bool]) -> bool:
        """Replace the secret if it was rejected; return whether it is another one now. Raises CallError.

        Nothing is obtained if another call has replaced it since.
        """
        if self.current is not None and is_rejected(self.current):
            await self._shared(self.current)
        return self.current is not None and not is_rejected(self.current)

    async def _shared(self, previous: T | None) -> T | None:
        if self._failure is not None and time.monotonic() - self._failed_at < FAILED_FOR:
            raise self._failure
        if self._obtaining is None:
            self._obtaining = asyncio.ensure_future(self._renew(previous))
            self._obtaining.add_done_callback(self._done)
        return await asyncio.shield(self._obtaining)  # a cancelled call does not cancel it for the others

    async def _renew(self, previous: T | None) -> T | None:
        try:
            self.current = await self._obtain(previous)
        except CallError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise
        self._failure = None
        return self.current

    def _done(self, task: asyncio.Task[T | None]) -> None:
        self._obtaining = None
        if not task.cancelled():
            task.exception()  # is retrieved even if all who waited were cancelled
