"""Spans of OpenTelemetry for each call and each request to an API, which continue the trace of the caller.

Nothing is recorded, and nothing is sent with requests, unless OpenTelemetry is set up. Spans have no arguments, no URL
but the path template, and no text of an error: any of them may contain a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import ProxyTracerProvider, Span, SpanKind, Status, StatusCode

from portkey_bridge import __version__
from portkey_bridge.errors import MissingExtra
from portkey_bridge.openapi.model import Operation

#: Variables that name where spans are sent to (OpenTelemetry, "OpenTelemetry Protocol Exporter").
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

#: The name of the library in spans, and of the service unless OTEL_SERVICE_NAME has another.
LIBRARY_NAME = "portkey-bridge"

#: Seconds for sending the last spans.
FLUSH = 5


def set_up_tracing(environ: Mapping[str, str]) -> None:
    """Have spans sent where the variables of OpenTelemetry say, if they do. Raises SettingsError."""
    endpoint = next((name for name in ENDPOINTS if environ.get(name)), None)
    if endpoint is None or is_traced() or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra(endpoint, "opentelemetry-sdk", "otel") from error
    attributes = {"service.name": environ.get("OTEL_SERVICE_NAME") or LIBRARY_NAME, "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    is_traced.cache_clear()


def send_remaining() -> None:
    """Send the spans that are still waiting, for FLUSH seconds at most: a process that a signal ends does not do so."""
    if flush := getattr(trace.get_tracer_provider(), "force_flush", None):
        flush(FLUSH * 1000)


@cache
def is_traced() -> bool:
    """Check whether OpenTelemetry is set up. The first answer stays, since each looks at the environment."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


@contextmanager
def continued(carrier: Mapping[str, Any]) -> Iterator[None]:
    """Continue the trace that headers or metadata of a request name (W3C Trace Context), if they do."""
    token = otel.attach(propagate.extract(carrier, otel.get_current()))
    try:
        yield
    finally:
        otel.detach(token)


@contextmanager
def call_span(tool: str, request_id: int | str, meta: Mapping[str, Any]) -> Iterator[Span]:
    """Record a call of a tool, as FastMCP does (OpenTelemetry, "MCP"). Metadata may name its parent."""
    attributes = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "jsonrpc.request.id": str(request_id),
    }
    texts = {name: value for name, value in meta.items() if isinstance(value, str)}
    with continued(texts), _span(f"tools/call {tool}", SpanKind.SERVER, attributes) as span:
        yield span


@contextmanager
def request_span(operation: Operation, request: httpx.Request) -> Iterator[Span]:
    """Record a request to an API (OpenTelemetry, "HTTP client"), and pass the trace on with its headers."""
    attributes: dict[str, str | int] = {
        "http.request.method": request.method,
        "url.template": operation.path,
        "server.address": request.url.host,
        "server.port": request.url.port or (443 if request.url.scheme == "https" else 80),
    }
    with _span(f"{request.method} {operation.path}", SpanKind.CLIENT, attributes) as span:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        request.headers.update(headers)
        yield span


def note_status(span: Span, status: int) -> None:
    """Record the status of a response; from 400 on it is an error."""
    span.set_attribute("http.response.status_code", status)
    if status >= 400:
        note_error(span, str(status))


def note_error(span: Span, kind: str) -> None:
    """Record that what a span is about failed, with the kind of error but no text of it."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def _span(name: str, kind: SpanKind, attributes: Mapping[str, str | int]) -> Iterator[Span]:
    tracer = trace.get_tracer(LIBRARY_NAME, __version__)
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            note_error(span, type(error).__qualname__)
            raise
