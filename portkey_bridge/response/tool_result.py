"""The result of a tool call as plain values: CallToolResult and its content (Model Context Protocol, "Tool Result").

`serve/fastmcp_seam` turns them into what the SDK expects. Nothing that makes or shows a result needs the SDK,
which takes a second to import.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Block(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="type"):
    pass


class TextContent(_Block, frozen=True, tag="text"):
    """A text."""

    text: str


class ImageContent(_Block, frozen=True, tag="image"):
    """A picture, in base64."""

    data: str
    mime_type: str


class AudioContent(_Block, frozen=True, tag="audio"):
    """A sound, in base64."""

    data: str
    mime_type: str


class ResourceLink(_Block, frozen=True, tag="resource_link"):
    """A link to a resource of `size` bytes that the client can read."""

    uri: str
    name: str
    mime_type: str
    size: int


class BlobResourceContents(msgspec.Struct, frozen=True, rename="camel"):
    """The bytes of a resource, in base64."""

    uri: str
    mime_type: str
    blob: str


class EmbeddedResource(_Block, frozen=True, tag="resource"):
    """A resource, contents included."""

    resource: BlobResourceContents


ContentBlock = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource


class ToolResult(msgspec.Struct):
    """What a tool call returns. `structured_content` is the object that the content shows, if it is one."""

    content: list[ContentBlock]
    structured_content: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    is_error: bool = False


def text_block(words: str) -> TextContent:
    """Return a block of text."""
    return TextContent(words)


def error_result(words: str) -> ToolResult:
    """Return a result with `isError` that says `words`."""
    return ToolResult([TextContent(words)], is_error=True)
