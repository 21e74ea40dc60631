"""Values that belong to their names: whoever writes to the store itself can neither forge nor exchange them.

The encryption of py-key-value-aio passes on what is not encrypted, and does not know what a value is the value of.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.protocols.key_value import AsyncKeyValue
from key_value.aio.wrappers.base import BaseWrapper


class Sealed(BaseWrapper):
    """Puts each value together with a code that only follows from its names and the key; forgets others."""

    def __init__(self, key_value: AsyncKeyValue, key: bytes) -> None:
        self.key_value, self._key = key_value, key

    def _code(self, key: str, collection: str | None) -> str:
        return hmac.digest(self._key, f"{collection or ''}\0{key}".encode("utf-8", "surrogatepass"), "sha256").hex()

    def _seal(self, key: str, value: Mapping[str, Any], collection: str | None) -> dict[str, Any]:
        return {"code": self._code(key, collection), "value": dict(value)}

    def _opened(self, key: str, sealed: dict[str, Any] | None, collection: str | None) -> dict[str, Any] | None:
        if sealed is None or not hmac.compare_digest(str(sealed.get("code")), self._code(key, collection)):
            return None
        value: dict[str, Any] = sealed["value"]
        return value

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """Return a value; None if it is not there, or not sealed as this one."""
        return self._opened(key, await self.key_value.get(key, collection=collection), collection)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        """Return several values, as `get` does."""
        found = await self.key_value.get_many(keys, collection=collection)
        return [self._opened(key, sealed, collection) for key, sealed in zip(keys, found, strict=True)]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        """Return a value and the seconds that are left to it."""
        sealed, seconds = await self.key_value.ttl(key, collection=collection)
        value = self._opened(key, sealed, collection)
        return value, None if value is None else seconds

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        """Return several values and the seconds that are left to them."""
        return [await self.ttl(key, collection=collection) for key in keys]

    async def put(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> None:
        """Put a sealed value."""
        await self.key_value.put(key, self._seal(key, value, collection), collection=collection, ttl=ttl)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Put several sealed values."""
        sealed = [self._seal(key, value, collection) for key, value in zip(keys, values, strict=True)]
        await self.key_value.put_many(keys, sealed, collection=collection, ttl=ttl)
