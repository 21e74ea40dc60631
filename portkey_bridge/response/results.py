"""Keeps large results for `expandResult`."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from threading import Lock
from typing import Any, Self, TypeVar

import anyio

from portkey_bridge.errors import CallError
from portkey_bridge.settings.values import Bounds

#: Bytes of a text from which on a view of it takes longer than other calls should wait.
LONG_TEXT = 1 << 20

T = TypeVar("T")

Entries = OrderedDict[tuple[str | None, str], tuple[float, bytes, Any]]
"""By caller and id: when a result was last read, its JSON text, and what leads to the next page."""


async def beside(size: int, work: Callable[[], T]) -> T:
    """Do the work on a text of `size` bytes: in a thread where it is long, so that other calls go on meanwhile.

    What is short takes less time than a thread.
    """
    return work() if size < LONG_TEXT else await anyio.to_thread.run_sync(work)


class ForgottenResult(CallError):
    """A result is not kept, or not any more."""

    def __init__(self, result_id: str) -> None:
        self.result_id = result_id
        super().__init__(
            f"The result {result_id!r:.80} is not available, or no longer. Call the tool that returned it again, and "
            "use the resultId of the new answer."
        )


class Results:
    """The results that were too large to be shown whole, for threads that keep some at once. `clock` returns seconds.

    Each belongs to the caller who produced it, by default the local user. All share the bounds. `api` is the name of an
    API that is not the only one: the same text of another one has another id.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic, api: str = "") -> None:
        self._bounds = bounds
        self._api_name = api.encode()
        self._clock = clock
        self._memory: Entries = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._owner: str | None = None

    @property
    def _kept(self) -> Entries:
        return self._memory

    def of(self, owner: str | None) -> Self:
        """Return the results of a caller: nobody reads what another one has kept."""
        theirs = copy(self)
        theirs._owner = owner
        return theirs

    def keep(self, body: bytes, following: Any = None) -> str:
        """Keep a JSON text, and forget what exceeds the bounds. Return its id.

        `following` is what leads to the next page, and stays if the same text is kept again without it. The local
        user's ids follow from the text; nobody can guess those of others.
        """
        result_id = self._id(body)
        with self._lock:
            kept = self._kept.get((self._owner, result_id))
            self._touch(result_id, body, following or (kept[2] if kept else None))
            self._forget()
        return result_id

    def _id(self, body: bytes) -> str:
        if self._owner is None:
            return hashlib.sha256(self._api_name + body).hexdigest()[:16]
        return hmac.digest(self._key, self._owner.encode() + b"\0" + body, "sha256").hex()[:32]

    @property
    def seconds(self) -> float:
        """For how long a result is kept after it was read last."""
        return self._bounds.seconds

    def has_room_for(self, size: int) -> bool:
        """Check whether a text of so many bytes can be kept without most of the others being forgotten."""
        return size <= self._bounds.bytes // 2

    def following(self, result_id: str) -> Any:
        """Return what leads to the page after a result, None where nothing does. Raises ForgottenResult."""
        with self._lock:
            return self._entry(result_id)[1]

    def replace(self, result_id: str, body: bytes, following: Any) -> None:
        """Keep a text under an id that exists."""
        with self._lock:
            self._touch(result_id, body, following)
            self._forget()

    def __contains__(self, result_id: str) -> bool:
        """Check whether a result was kept, even if it is about to be forgotten."""
        with self._lock:
            return (self._owner, result_id) in self._kept

    def __getitem__(self, result_id: str) -> bytes:
        """Return a result that was kept. Raises ForgottenResult."""
        with self._lock:
            body, following = self._entry(result_id)
            self._touch(result_id, body, following)
        return body

    def _entry(self, result_id: str) -> tuple[bytes, Any]:
        self._forget()
        if (self._owner, result_id) not in self._kept:
            raise ForgottenResult(result_id)
        return self._kept[self._owner, result_id][1:]

    def _touch(self, result_id: str, body: bytes, following: Any) -> None:
        self._kept[self._owner, result_id] = self._clock(), body, following
        self._kept.move_to_end((self._owner, result_id))

    def _forget(self) -> None:
        while self._kept and self._exceeds():
            self._kept.popitem(last=False)

    def _exceeds(self) -> bool:
        oldest, _, _ = next(iter(self._kept.values()))
        size = sum(len(body) for _, body, _ in self._kept.values())
        old = self._clock() - oldest > self._bounds.seconds
        return old or len(self._kept) > self._bounds.count or size > self._bounds.bytes
