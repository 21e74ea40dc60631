"""The last good copies of documents in the store: a server that starts has them while a document cannot be had."""

from __future__ import annotations

import asyncio
import base64
import hmac
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portkey_bridge.callers.store import DEFAULT_TTL, Store, StoreError

if TYPE_CHECKING:
    from key_value.aio.protocols.key_value import AsyncKeyValue

#: Where the copies are in the store.
KEPT = {"collection": "documents"}

Use = Callable[["AsyncKeyValue", str], Awaitable[Any]]
"""What is done with the values of the store, and the key of one."""


@dataclass(frozen=True)
class SharedDocuments:
    """The copies that all servers with this store keep, by their names. A store that fails has none, and keeps none."""

    store: Store
    _known: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        """Return a copy, or None if no server has one."""
        with suppress(StoreError):
            if name not in self._known and (found := self._use(lambda values, key: values.get(key, **KEPT), name)):
                self._known[name] = zlib.decompress(base64.b64decode(found["copy"]))
        return self._known.get(name)

    def write(self, name: str, copy: bytes) -> None:
        """Keep a copy for all servers, unless it is the one that they have."""
        if self._known.get(name) == copy:
            return
        value = {"copy": base64.b64encode(zlib.compress(copy)).decode()}
        with suppress(StoreError):
            self._use(lambda values, key: values.put(key, value, ttl=DEFAULT_TTL, **KEPT), name)
            self._known[name] = copy

    def _use(self, use: Use, name: str) -> Any:
        """Return what is done with the values of the store and the key of a copy. Raises StoreError.

        Documents are loaded outside of the server's event loop, whose connections cannot be used there.
        """
        key = hmac.digest(self.store.key("documents"), name.encode(), "sha256").hex()[:32]

        async def used() -> Any:
            store = replace(self.store)
            try:
                with store.used():
                    return await use(store.values, key)
            finally:
                await store.aclose()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, used()).result()
