"""Traces: a span for each call and each request, the caller's trace continued and passed on, and no secret in any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import Recorder
from tests.support import document, serving

MARKER = "marker-of-a-secret-1234"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
ENV = {"OTEL_BSP_SCHEDULE_DELAY": "100", "X_KEY": MARKER}


def root_of(url: str) -> dict[str, Any]:
    key = {"type": "apiKey", "in": "query", "name": "x-key"}
    parameters = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    paths: dict[str, Any] = {"/things/{id}": {"get": {"operationId": "thing", "parameters": parameters}}}
    fields: dict[str, Any] = {"components": {"securitySchemes": {"key": key}}, "security": [{"key": []}]}
    return document(paths, servers=[{"url": url}], **fields)


def call(**further: Any) -> dict[str, Any]:
    params = {"name": "thing", "arguments": {"id": "an-argument-1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, **further}


def spans_of(recorder: Recorder) -> list[Any]:
    """Return all spans that the collector has got."""
    bodies = [request.body for request in recorder.requests if request.target == "/v1/traces"]
    assert not any(secret.encode() in body for body in bodies for secret in (MARKER, "an-argument-1"))
    exported = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    scopes = [scope for each in exported for resource in each.resource_spans for scope in resource.scope_spans]
    return [span for scope in scopes for span in scope.spans]


@pytest.mark.parametrize("further", [{}, {"unknown": 1}], ids=["direct", "fastmcp"])
@pytest.mark.parametrize("where", ["header", "meta"])
async def test_a_trace_is_continued_and_passed_on(
    recorder: Recorder, tmp_path: Path, further: dict[str, Any], where: str
) -> None:
    """Call and request are spans of the caller's trace, in the lane and beside it, and the API gets the trace."""
    message, headers = call(**further), dict(HEADERS)
    if where == "header":
        headers["traceparent"] = TRACEPARENT
    else:
        message["params"]["_meta"] = {"traceparent": TRACEPARENT}
    env = {**ENV, "OTEL_EXPORTER_OTLP_ENDPOINT": recorder.url}
    with serving(tmp_path, root_of(recorder.url), env=env) as (url, process):
        async with httpx.AsyncClient(headers=headers, timeout=30) as http:
            assert (await http.post(url, json=message)).json()["result"]["isError"] is False
        sent = recorder.requests[0].header("traceparent")
        process.terminate()
        process.wait(30)
    spans = {span.kind: span for span in spans_of(recorder)}
    server, client = spans[2], spans[3]  # SPAN_KIND_SERVER, SPAN_KIND_CLIENT
    assert server.trace_id.hex() == client.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == PARENT
    assert server.name.startswith("tools/call")
    assert client.parent_span_id == server.span_id
    assert client.name == "GET /things/{id}"
    assert sent == f"00-{TRACE}-{client.span_id.hex()}-01"
    noted = {each.key: each.value.int_value for each in client.attributes}
    assert noted["http.response.status_code"] == 200


async def test_nothing_is_passed_on_without_tracing(recorder: Recorder, tmp_path: Path) -> None:
    """An API gets the headers that its document describes, and no others, unless tracing is set up."""
    with serving(tmp_path, root_of(recorder.url), env={"X_KEY": MARKER}) as (url, _):
        async with httpx.AsyncClient(headers={**HEADERS, "traceparent": TRACEPARENT}) as http:
            assert (await http.post(url, json=call())).status_code == 200
    assert recorder.last.header("traceparent") is None


async def test_failed_requests_are_errors(recorder: Recorder, tmp_path: Path) -> None:
    """A status of an error and a missing answer are visible in the spans, without the text of the error."""
    recorder.answer = (500, {"content-type": "application/json"}, b'{"error": "an-argument-1"}')
    env = {**ENV, "OTEL_EXPORTER_OTLP_ENDPOINT": recorder.url}
    with serving(tmp_path, root_of(recorder.url), "--retries", "0", env=env) as (url, process):
        async with httpx.AsyncClient(headers=HEADERS, timeout=30) as http:
            assert (await http.post(url, json=call())).json()["result"]["isError"] is True
        recorder.answer = (200, {}, b"")
        process.terminate()
        process.wait(30)
    kinds = {span.kind: {each.key: each.value.string_value for each in span.attributes} for span in spans_of(recorder)}
    assert (kinds[2]["error.type"], kinds[3]["error.type"]) == ("tool_error", "500")
