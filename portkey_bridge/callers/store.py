"""The state that replicas share, behind py-key-value-aio: in memory, or encrypted in Redis or Valkey.

Values are dictionaries of JSON's types, in collections. In a remote store all of them are encrypted under a key that
every replica has; keys and names of collections are not, so they must not contain a secret.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from asyncio import Lock
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from portkey_bridge.errors import CallError, MissingExtra, SettingsError
from portkey_bridge.text import origin_of

if TYPE_CHECKING:
    from key_value.aio.protocols.key_value import AsyncKeyValue
    from limits.aio.storage import Storage
    from redis.asyncio import Redis

#: The variable of the key that values are encrypted under, and the fewest characters of it.
STORE_KEY, SHORTEST_KEY = "OPEN_MCP_STORE_KEY", 32

#: What the URL of a store begins with.
STORE_SCHEMES = ("redis", "rediss", "valkey", "valkeys")

#: Seconds that one operation may take, and seconds after which a value is forgotten unless it is put for less.
STORE_TIMEOUT, DEFAULT_TTL = 5.0, 90 * 86_400.0

#: Seconds for which one call may keep others waiting.
LONGEST_LOCK = 30.0

#: Seconds after which a failed use of the store has kept its call waiting, and for which nobody asks the store then.
WAITED, STORE_PAUSE = 1.0, 2.0

#: How often an operation is tried again, which bridges the two seconds that a store takes to restart.
RETRIES = 6

#: What the names of counts in a shared store begin with.
COUNTS = "portkey-bridge-rates"

#: Bytes of one value as JSON.
MOST_BYTES = 4 << 20


class StoreError(CallError):
    """The store did not do what it was asked for."""


class _Pause:
    """Lets one optional use of a store that hangs or is away find out whether it is back; others fail at once."""

    def __init__(self) -> None:
        self._until, self._failure = 0.0, ""

    def check(self) -> None:
        """Raise the StoreError of the last use that has kept its call waiting, if the next is not due yet."""
        now = time.monotonic()
        if now < self._until:
            raise StoreError(self._failure)
        if self._failure:
            self._until = now + STORE_TIMEOUT

    def note(self, seconds: float, failure: StoreError | None) -> None:
        """Note how a use of the store has ended."""
        if failure is None:
            self._until, self._failure = 0.0, ""
        elif seconds >= WAITED:
            self._until, self._failure = time.monotonic() + STORE_PAUSE, str(failure)


@dataclass(frozen=True, eq=False)
class Store:
    """Where state is kept: at `url`, or in the memory of this process, which then has a `secret` of its own.

    `observe` takes the seconds of each use of a shared store, and whether it has failed.
    """

    url: str | None = field(default=None, repr=False)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    observe: Callable[[float, bool], None] | None = None
    _pause: _Pause = field(default_factory=_Pause, init=False, repr=False)

    @property
    def is_shared(self) -> bool:
        """Whether other processes use the same store."""
        return self.url is not None

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose: the same in all processes that share the store, and nowhere else."""
        return hmac.digest(self.secret, purpose.encode(), "sha256")

    @property
    def redis_url(self) -> str:
        """The URL as clients of Redis want it; Valkey speaks the same protocol."""
        url = self.url or ""
        return url.replace("valkey", "redis", 1) if url.startswith("valkey") else url

    @cached_property
    def client(self) -> Redis:
        """The connections to Redis or Valkey. Raises SettingsError if its client is not installed."""
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import ExponentialWithJitterBackoff
        except ImportError as error:
            raise MissingExtra("--store", "redis", "redis") from error
        client: Redis = Redis.from_url(
            self.redis_url,
            decode_responses=True,
            socket_timeout=STORE_TIMEOUT,
            socket_connect_timeout=STORE_TIMEOUT,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), RETRIES),
        )
        return client

    @cached_property
    def values(self) -> AsyncKeyValue:
        """The values, within limits of time and size; encrypted if the store is shared. Raises SettingsError."""
        from key_value.aio.wrappers.limit_size import LimitSizeWrapper
        from key_value.aio.wrappers.ttl_clamp import TTLClampWrapper

        kept = self._encrypted() if self.is_shared else _memory()
        return LimitSizeWrapper(TTLClampWrapper(kept, 1, DEFAULT_TTL, DEFAULT_TTL), max_size=MOST_BYTES)

    @cached_property
    def counts(self) -> Storage:
        """What this process counts for itself, for as long as it runs."""
        from limits.aio.storage import MemoryStorage

        return MemoryStorage()

    @cached_property
    def shared_counts(self) -> Storage | None:
        """What all processes that share the store count together, over the same connections; None if none share it."""
        if not self.is_shared:
            return None
        from limits.aio.storage import RedisStorage

        pool: Any = self.client.connection_pool
        return RedisStorage(
            f"async+{self.redis_url}", implementation="redispy", key_prefix=COUNTS, connection_pool=pool
        )

    def _encrypted(self) -> AsyncKeyValue:
        from cryptography.fernet import Fernet
        from key_value.aio.wrappers.encryption import FernetEncryptionWrapper
        from key_value.aio.wrappers.timeout import TimeoutWrapper

        client = self.client  # explains what is missing
        from key_value.aio.stores.redis import RedisStore

        from portkey_bridge.callers.sealed import Sealed

        fernet = Fernet(base64.urlsafe_b64encode(self.key("values")))
        encrypted = FernetEncryptionWrapper(TimeoutWrapper(RedisStore(client=client), STORE_TIMEOUT), fernet=fernet)
        return Sealed(encrypted, self.key("seals"))

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Let one call at a time inside, of all processes that share the store. Raises StoreError.

        One that does not come out is not waited for longer than LONGEST_LOCK seconds.
        """
        if not self.is_shared:
            async with self._locks.setdefault(name, Lock()):
                yield
            return
        lock = self.client.lock(f"portkey-bridge-lock:{name}", timeout=LONGEST_LOCK, blocking_timeout=LONGEST_LOCK)
        with self.used():
            await lock.acquire()
        try:
            yield
        finally:
            with suppress(StoreError), self.used():  # it ends by itself
                await lock.release()

    @cached_property
    def _locks(self) -> WeakValueDictionary[str, Lock]:
        return WeakValueDictionary()

    async def ready(self) -> None:
        """Check whether the store answers. Raises StoreError."""
        if self.is_shared:
            with self.used():
                await self.client.ping()

    @contextmanager
    def used(self, *, is_optional: bool = False) -> Iterator[None]:
        """Have what happens with the store inside observed, and turn each failure into a StoreError.

        After one that took long, a use that `is_optional` fails at once for a while.
        """
        if is_optional:
            self._pause.check()
        began, failure, has_ended = time.perf_counter(), None, False
        try:
            with explained():
                yield
            has_ended = True
        except StoreError as error:
            failure = error
            raise
        finally:
            seconds = time.perf_counter() - began
            if has_ended or failure:
                self._pause.note(seconds, failure)
            if self.observe is not None:
                self.observe(seconds, not has_ended)

    async def aclose(self) -> None:
        """Close the connections."""
        if "client" in self.__dict__:
            await self.client.aclose()


def _memory() -> AsyncKeyValue:
    from key_value.aio.stores.memory import MemoryStore

    return MemoryStore()


def open_store(url: str | None, key: str | None) -> Store:
    """Return the store at a URL, or one in memory without. Raises SettingsError, which says what is missing.

    `key` is the text that values are encrypted under; replicas that share a store share it, too.
    """
    if url is None:
        return Store()
    if url.partition("://")[0] not in STORE_SCHEMES or origin_of(url) is None:
        raise SettingsError(
            "--store: expected a URL such as redis://HOST:6379/0 or rediss://USER:PASSWORD@HOST:6379/0."
        )
    if not key or len(key) < SHORTEST_KEY:
        raise SettingsError(
            f"--store: values leave this machine only encrypted. Set {STORE_KEY} to a secret of at least "
            f"{SHORTEST_KEY} characters, the same on all servers that share it: openssl rand -base64 32 makes one."
        )
    store = Store(url, hmac.digest(key.encode(), b"portkey-bridge store", "sha256"))
    _ = store.values  # what is not installed is said at once
    return store


@contextmanager
def explained() -> Iterator[None]:
    """Turn each failure of a store inside into a StoreError, which contains no value and no address."""
    from key_value.aio.errors import BaseKeyValueError

    failures: tuple[type[BaseException], ...] = (OSError, TimeoutError, BaseKeyValueError, *_failures_of_redis())
    try:
        yield
    except failures as error:
        raise StoreError(f"The store of this server {_reason(error)}.") from error


def _failures_of_redis() -> tuple[type[BaseException], ...]:
    try:
        from redis.exceptions import RedisError
    except ImportError:
        return ()
    return (RedisError,)


def _reason(error: BaseException) -> str:
    """Explain a failure in words for whoever runs the server."""
    words: dict[str, str] = {
        "OutOfMemoryError": "is full (raise its maxmemory, or set its maxmemory-policy to volatile-ttl)",
        "TimeoutError": f"did not answer within {STORE_TIMEOUT:g} seconds",
        "BusyLoadingError": "is still starting",
        "AuthenticationError": "refuses the login in --store",
        "ReadOnlyError": "takes no writes",
        "DecryptionError": f"has values under another key ({STORE_KEY} must be the same on all servers)",
        "EntryTooLargeError": f"takes at most {MOST_BYTES:,} bytes in one value",
    }
    names: list[Any] = [each.__name__ for each in type(error).__mro__]
    return next((words[name] for name in names if name in words), "cannot be reached (see --store)")
