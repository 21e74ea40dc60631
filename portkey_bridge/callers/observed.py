"""What is noted about each call: one line for an audit, and the metrics of Prometheus. No argument and no secret."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

from portkey_bridge.bridge.call_record import CallRecord
from portkey_bridge.errors import SettingsError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

Observe = Callable[[str, CallRecord], None]
"""Takes the name of an API and what happened in one call of it."""

ObserveLogin = Callable[[str, str, str], None]
"""Takes the name of an API, a caller, and what happened to its login: `completed`, `failed` or `forgotten`."""

#: The variable that names the folder in which processes share their metrics (prometheus-client, "Multiprocess Mode").
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

#: The name of the local user in a line.
LOCAL_USER = "local"

#: Combinations of labels that are found without asking the library.
LABELLED = 1024

#: Upper bounds of the seconds of calls in the histogram.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


def audit_to(stream: TextIO) -> Observe:
    """Return an observer that writes one JSON line per call."""

    def write(api: str, record: CallRecord) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "requestId": secrets.token_hex(8),
            "caller": record.caller.subject or LOCAL_USER,
            "api": api,
            "tool": record.tool,
            "method": record.method,
            "path": record.path,
            "status": record.status,
            "bytes": record.size,
            "milliseconds": round(record.seconds * 1000, 1),
        }
        stream.write(f"{json.dumps(line)}\n")
        stream.flush()

    return write


def audit_logins_to(stream: TextIO) -> ObserveLogin:
    """Return an observer that writes one JSON line for what happens to a login."""

    def write(api: str, caller: str, outcome: str) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "requestId": secrets.token_hex(8), "caller": caller, "api": api, "login": outcome}
        stream.write(f"{json.dumps(line)}\n")
        stream.flush()

    return write


class Metrics:
    """Counts and measures calls, requests and the store; docs/serving.md has the table of all metrics."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry: CollectorRegistry = CollectorRegistry()
        common: dict[str, Any] = {"registry": self.registry}
        self._calls = Counter("portkey_bridge_calls", "Calls of tools.", ("api", "tool", "status", "caller"), **common)
        timed: dict[str, Any] = {"buckets": BUCKETS, **common}
        self._seconds = Histogram("portkey_bridge_call_seconds", "Duration of calls of tools.", ("api",), **timed)
        self._upstream = Histogram("portkey_bridge_upstream_seconds", "Of this, for the API.", ("api",), **timed)
        self._own = Histogram("portkey_bridge_own_seconds", "Of this, everything else.", ("api",), **timed)
        self._bytes = Counter("portkey_bridge_response_bytes", "Bytes of the APIs' responses.", ("api",), **common)
        self._retries = Counter("portkey_bridge_retries", "Requests that were sent again.", ("api",), **common)
        self._cache = Counter("portkey_bridge_answer_cache", "What GETs found in it.", ("api", "outcome"), **common)
        self._logins = Counter("portkey_bridge_logins", "Logins of callers to APIs.", ("api", "outcome"), **common)
        self._refused = Counter("portkey_bridge_refused", "Requests that got a 429.", ("reason",), **common)
        self._store = Histogram("portkey_bridge_store_seconds", "Duration of uses of the store.", **timed)
        self._store_failures = Counter("portkey_bridge_store_failures", "Uses of it that failed.", **common)
        gauge: dict[str, Any] = {"multiprocess_mode": "livesum", **common}
        self._labelled = lru_cache(maxsize=LABELLED)(_labelled)
        self.in_flight = Gauge("portkey_bridge_requests_in_flight", "Requests that run or wait.", **gauge)

    @contextmanager
    def shown_at(self, host: str, port: int) -> Iterator[None]:
        """Show the metrics at an address of their own inside of the block. Raises SettingsError."""
        from prometheus_client import start_http_server

        everything: Any = self
        try:
            server, thread = start_http_server(port, host, everything)
        except OSError as error:
            raise SettingsError(f"--metrics: cannot listen on {host}:{port}: {error.strerror or error}.") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def __call__(self, api: str, record: CallRecord) -> None:
        """Count one call. One that got no response has the status `none`."""
        kind = (record.caller.subject or LOCAL_USER).partition(" ")[0]
        kind = kind if kind in (LOCAL_USER, "token", "credential", "anonymous") else "jwt"
        self._labelled(self._calls, api, record.tool, str(record.status or "none"), kind).inc()
        self._labelled(self._seconds, api).observe(record.seconds)
        self._labelled(self._upstream, api).observe(record.upstream)
        self._labelled(self._own, api).observe(record.seconds - record.upstream)
        self._labelled(self._bytes, api).inc(record.size)
        if record.retries:
            self._retries.labels(api).inc(record.retries)
        for outcome in record.cached:
            self._labelled(self._cache, api, outcome).inc()

    def login(self, api: str, caller: str, outcome: str) -> None:
        """Count what happened to a login of a caller."""
        self._logins.labels(api, outcome).inc()

    def refused(self, reason: str) -> None:
        """Count one request that got a 429, because of a `rate` of its caller or because too many are `waiting`."""
        self._refused.labels(reason).inc()

    def store_used(self, seconds: float, has_failed: bool) -> None:
        """Count one use of the store, which has several operations where a value has several parts."""
        self._store.observe(seconds)
        if has_failed:
            self._store_failures.inc()

    def text(self) -> tuple[bytes, str]:
        """Return all metrics in the text format of Prometheus, and its media type; of workers, those of all."""
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        everything: Any = self
        return generate_latest(everything), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterable[Metric]:
        """Return all metrics, of workers those of all, as a registry of prometheus-client does."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        if FOLDER not in os.environ:
            return self.registry.collect()
        _forget_dead(os.environ[FOLDER])
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry.collect()


def _labelled(metric: Any, *labels: str) -> Any:
    """Return what counts for some labels: the library looks that up in several microseconds, behind a lock."""
    return metric.labels(*labels)


def _forget_dead(folder: str) -> None:
    """Forget what processes that are no more have in flight (prometheus-client, "Multiprocess Mode")."""
    from prometheus_client.multiprocess import mark_process_dead

    for process in {int(file.stem.rpartition("_")[2]) for file in Path(folder).glob("gauge_live*_*.db")}:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            mark_process_dead(process)  # type: ignore[no-untyped-call]


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Have the processes that are started inside share their metrics. Raises SettingsError without a place for them."""
    try:
        folder = TemporaryDirectory(prefix="portkey-bridge-metrics-")
    except OSError as error:
        raise SettingsError(
            f"--workers: no folder for the metrics of the workers can be made ({error.strerror}). Set TMPDIR to one "
            "that can be written to."
        ) from error
    with folder as path:
        os.environ[FOLDER] = path  # before the library is imported, which decides then
        try:
            yield
        finally:
            del os.environ[FOLDER]
