"""How often something may happen: rates such as `100/minute`, counted in the store that replicas share.

While a shared store does not answer, each process counts for itself: a limit is then looser, and calls go on.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

from limits import RateLimitItem, parse_many
from limits.aio.strategies import MovingWindowRateLimiter

from portkey_bridge.callers.store import Store, StoreError
from portkey_bridge.errors import CallError

#: Seconds that counting may wait for the store.
COUNT_TIMEOUT = 0.5

#: Seconds for which a store that did not answer is not asked.
STORE_PAUSE = 5.0


class RateExceeded(CallError):
    """Something happens too often. `seconds` is when it may happen again."""

    def __init__(self, whose: str, rate: str, seconds: int, variable: str) -> None:
        self.seconds = seconds
        super().__init__(
            f"{whose} {rate} ({variable}), and that is used up. Nothing was sent. Try again in {seconds} seconds."
        )


class Rates:
    """Counts what happens at these rates, in `store`."""

    def __init__(self, rates: str, store: Store, purpose: str) -> None:
        self._rates = parse_many(rates)
        self._store = store
        self._key = store.key(f"rates of {purpose}")
        self._here = MovingWindowRateLimiter(store.counts)
        self._shared = MovingWindowRateLimiter(store.shared_counts) if store.shared_counts else None
        self._shared_from = 0.0

    async def count(self, whose: str | None) -> tuple[str, int] | None:
        """Count one event. If it is one too many, return the rate that it exceeds, and seconds to wait."""
        who = hmac.digest(self._key, (whose or "").encode("utf-8", "surrogatepass"), "sha256").hex()[:32]
        for rate in self._rates:
            seconds = await self._hit(rate, who)
            if seconds is not None:
                return _words(rate), seconds
        return None

    async def _hit(self, rate: RateLimitItem, who: str) -> int | None:
        if self._shared is not None and time.monotonic() >= self._shared_from:
            try:
                with self._store.used():
                    async with asyncio.timeout(COUNT_TIMEOUT):
                        return await _hit(self._shared, rate, who)
            except StoreError:
                self._shared_from = time.monotonic() + STORE_PAUSE
        return await _hit(self._here, rate, who)


def _words(rate: RateLimitItem) -> str:
    unit = rate.GRANULARITY.name
    return (
        f"{rate.amount} times per {unit}" if rate.multiples == 1 else f"{rate.amount} times in {rate.multiples} {unit}s"
    )


async def _hit(limiter: MovingWindowRateLimiter, rate: RateLimitItem, who: str) -> int | None:
    """Count one event; return the seconds to wait if it is one too many."""
    if await limiter.hit(rate, who):
        return None
    window = await limiter.get_window_stats(rate, who)
    seconds = math.ceil(window.reset_time - time.time())
    return min(max(seconds, 1), rate.get_expiry())  # clocks of servers differ, and jump


def limit_of(rates: str | None, store: Store, api: str, option: str) -> Callable[[], Awaitable[None]] | None:
    """Return what counts a request to an API, and raises RateExceeded if it is one too many; None without rates.

    `option` is how a person names the option that has the rates.
    """
    return partial(_limit, Rates(rates, store, f"api {api}"), api, option) if rates else None


async def _limit(rates: Rates, api: str, option: str) -> None:
    exceeded = await rates.count(None)
    if exceeded is not None:
        raise RateExceeded(f"{api} takes requests at most", *exceeded, option)
