"""One bound in time for all checks of one call, however many schemas and patterns they involve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

_ends: ContextVar[float] = ContextVar("ends", default=math.inf)


class OutOfTime(Exception):
    """The checks of a call take longer than they may."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound what is checked in this context, together. Checks raise OutOfTime afterwards."""
    token = _ends.set(monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def remaining() -> float:
    """Return the seconds that are left. Raises OutOfTime."""
    seconds = _ends.get() - monotonic()
    if seconds <= 0:
        raise OutOfTime
    return seconds
