"""An answer becomes MCP content: JSON and text as text, JSON objects also as structured content, errors as errors."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import Any

import httpx
from fastmcp.tools.base import ToolResult
from mcp_types import AudioContent, BlobResourceContents, ContentBlock, EmbeddedResource, ImageContent, TextContent
from pydantic_core import from_json

from portkey_bridge.operations import Operation

TEXT_TYPES = ("text/", "application/xml", "application/javascript", "application/x-ndjson", "application/yaml")


def render(operation: Operation, response: httpx.Response) -> ToolResult:
    """Give the result of a complete answer. A status of 300 and above is an error with status and body."""
    if response.status_code >= 300:
        return error_result(_status_line(operation, response) + _body_text(response))
    if not response.content:
        return ToolResult(content=[_text(f"{response.status_code} {reason(response)}: the answer has no body.")])
    value = _json(response)
    return ToolResult(content=[_content(response)], structured_content=value if isinstance(value, dict) else None)


def error_result(text: str) -> ToolResult:
    """Give a result with `isError` that says `text`."""
    return ToolResult(content=[_text(text)], is_error=True)


def reason(response: httpx.Response) -> str:
    """Give the status's phrase: the registered one, else the server's own."""
    try:
        return HTTPStatus(response.status_code).phrase
    except ValueError:
        return response.reason_phrase


def _status_line(operation: Operation, response: httpx.Response) -> str:
    """Say what happened, by method and path template: the URL itself may hold a secret."""
    line = f"{operation.method} {operation.path} answered {response.status_code} {reason(response)}"
    location = response.headers.get("location", "").partition("?")[0]  # its query may repeat a credential
    return f"{line}, a redirect to {location}, which was not followed" if location else line


def _body_text(response: httpx.Response) -> str:
    if not response.content:
        return " without a body."
    return f":\n{response.text}" if _is_text(response) else f" with {len(response.content)} bytes of {_type(response)}."


def _content(response: httpx.Response) -> ContentBlock:
    media_type = _type(response)
    if _is_text(response):
        return _text(response.text)
    data = base64.b64encode(response.content).decode()
    if media_type.startswith("image/"):
        return ImageContent(type="image", data=data, mime_type=media_type)
    if media_type.startswith("audio/"):
        return AudioContent(type="audio", data=data, mime_type=media_type)
    blob = BlobResourceContents(uri="response:body", mime_type=media_type, blob=data)
    return EmbeddedResource(type="resource", resource=blob)


def _type(response: httpx.Response) -> str:
    declared: str = response.headers.get("content-type", "application/octet-stream")
    return declared.partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _is_text(response: httpx.Response) -> bool:
    media_type = _type(response)
    if "content-type" in response.headers:
        return _is_json(media_type) or media_type.startswith(TEXT_TYPES) or media_type.endswith("+xml")
    try:
        response.content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _json(response: httpx.Response) -> Any:
    if not _is_json(_type(response)):
        return None
    try:
        # Python's own parser lets through what cannot be written again, such as half a surrogate pair: it would end
        # the whole connection.
        return from_json(response.content, allow_inf_nan=False)
    except ValueError:
        return None


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
