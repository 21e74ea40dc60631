"""The command `call`: calls one tool from the shell, or shows the exact request."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from portkey_bridge.bridge.argument_check import CHECK_SECONDS
from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.configured_bridge import build_bridge
from portkey_bridge.bridge.load import warn
from portkey_bridge.bridge.preview import preview
from portkey_bridge.bridge.service import Service
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import find_in, require_services
from portkey_bridge.cli.terminal import print_text
from portkey_bridge.errors import CallError, SettingsError
from portkey_bridge.response.tool_result import (
    AudioContent,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    ToolResult,
)
from portkey_bridge.schema.deadline import OutOfTime, within
from portkey_bridge.tools.catalog import Tool

#: What is said of an answer that has a next page.
NEXT_PAGE_HINT = "There is a next page: --pages N shows up to N pages as one answer."


def call(invocation: Invocation) -> int:
    """Call a tool and print its result, or show its request. Return 1 if the call failed. Raises SettingsError."""
    owner, tool = find_in(require_services(invocation.apis), invocation.options["tool"])
    arguments = dict(_arguments(invocation.options.get("arguments", ()), tool))
    settings = replace(owner.settings, resources=False)  # nobody would read them after this call
    bridge = replace(build_bridge(owner.api, settings, [tool], owner.shapes), next_page_hint=NEXT_PAGE_HINT)
    if invocation.options.get("dry_run"):
        return _show(owner, bridge, tool, arguments)
    return _print(asyncio.run(_call(bridge, tool, arguments)))


async def _call(bridge: Bridge, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
    try:
        return await bridge.call(tool, arguments)
    finally:
        await bridge.transport.aclose()


def _arguments(words: Sequence[str], tool: Tool) -> Iterator[tuple[str, Any]]:
    for word in words:
        name, equals, text = word.partition("=")
        if word == "-":
            yield from _object(sys.stdin.read() if sys.stdin else "", "standard input").items()
        elif word.startswith("@"):
            yield from _object(_read(word[1:]), word[1:]).items()
        elif word.lstrip().startswith("{"):
            yield from _object(word, "the argument").items()
        elif equals:
            yield name, _value(name, text, tool)
        else:
            raise SettingsError(f"{word!r} is not an argument; use name=value, a JSON object, @FILE or -.")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}). Use @ and a file that contains a JSON object."
        ) from error


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{source} does not parse as JSON: {error}. Use a JSON object.") from error
    if not isinstance(value, dict):
        raise SettingsError(f'{source} is not a JSON object. Pass the arguments by name, like {{"limit": 5}}.')
    return value


def _value(name: str, text: str, tool: Tool) -> Any:
    """Parse a value as JSON, or return it unchanged if the argument takes text, but no object or array."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    with suppress(OutOfTime), within(CHECK_SECONDS):
        if isinstance(value, dict | list) and tool.arguments.takes(name, value):
            return value
        return text if tool.arguments.takes(name, text) else value
    return value


def _print(result: ToolResult) -> int:
    for block in result.content:
        _print_block(block, sys.stderr if result.is_error else sys.stdout)
    return 1 if result.is_error else 0


def _print_block(block: ContentBlock, stream: Any) -> None:
    if isinstance(block, TextContent):
        print_text(block.text, stream)
        return
    data = base64.b64decode(_data(block))
    if sys.stdout.isatty():
        print(f"{len(data)} bytes. Redirect the output to a file to keep them.", file=sys.stderr)
    else:
        sys.stdout.buffer.write(data)


def _data(block: ContentBlock) -> str:
    if isinstance(block, ImageContent | AudioContent):
        return block.data
    return getattr(block.resource, "blob", "") if isinstance(block, EmbeddedResource) else ""


def _show(owner: Service, bridge: Bridge, tool: Tool, arguments: Mapping[str, Any]) -> int:
    """Print the request as HTTP text and as a curl command, with variables instead of secrets.

    Return 1 if a call would be refused.
    """
    try:
        request, refusals = preview(owner, bridge, tool, arguments)
    except CallError as error:
        print_text(error, sys.stderr)
        return 1
    warn(refusals)
    print_text("\n\n".join(filter(None, request)))
    return 0
