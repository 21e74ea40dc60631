"""The command `call`: calls one tool from the shell, or shows the exact request."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from fastmcp.tools.base import ToolResult
from mcp_types import AudioContent, ContentBlock, EmbeddedResource, ImageContent, TextContent

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import find_in, load_services
from portkey_bridge.cli.terminal import print_text
from portkey_bridge.credentials.environment import read_environment
from portkey_bridge.credentials.schemes import credentials, needs_credential
from portkey_bridge.credentials.variables import variable
from portkey_bridge.errors import ArgumentsError, CallError, SettingsError
from portkey_bridge.request.arguments import Bound
from portkey_bridge.request.bodies import Body
from portkey_bridge.request.multipart import Part
from portkey_bridge.request.servers import base_url
from portkey_bridge.request.uploads import Upload
from portkey_bridge.request.writer import Written, write_request
from portkey_bridge.schema.deadline import OutOfTime, within
from portkey_bridge.serve.argument_check import PATIENT, validate_patiently
from portkey_bridge.serve.bridge import Bridge
from portkey_bridge.serve.load import warn
from portkey_bridge.serve.service import Service, build_bridge, environment_credentials
from portkey_bridge.tools.catalog import Tool

#: What is said of an answer that has a next page.
NEXT_PAGE = "There is a next page: --pages N shows up to N pages as one answer."

#: Placeholder of a secret in a request that is only shown. URLs do not escape it, and a shell quotes it.
STAND_IN = "STANDS-IN-FOR-{}~"

#: Precedes a credential in a query, whose value is escaped once its variable is set.
BEFORE_CREDENTIAL = re.compile(rf"[?&](?=[^?&=]*={STAND_IN.partition('{')[0]})")


def call(invocation: Invocation) -> int:
    """Call a tool and print its result, or show its request. Return 1 if the call failed. Raises SettingsError."""
    owner, tool = find_in(load_services(invocation.apis), invocation.options["tool"])
    arguments = dict(_arguments(invocation.options.get("arguments", ()), tool))
    settings = replace(owner.settings, resources=False)  # nobody would read them after this call
    bridge = replace(build_bridge(owner.api, settings, [tool], owner.shapes), next_page_hint=NEXT_PAGE)
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
    with suppress(OutOfTime), within(PATIENT):
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

    If no variable is set, it has those of the first alternative. Return 1 if a call would be refused.
    """
    try:
        bound = _bound(bridge, tool, arguments)
        stand_ins = {name: STAND_IN.format(name) for name in _sent_from(owner, tool, bound)}
        url = base_url(tool.name, tool.operation.servers, bridge.base_url, bridge.document_uri)
        sent = credentials(tool.operation.security, stand_ins)
        written = write_request(tool.name, tool.operation, bound, sent, url, bridge.sources)
        shown, pasted = as_http(written), as_curl(written)
    except CallError as error:
        print_text(error, sys.stderr)
        return 1
    basic = {base64.b64encode(stand_in.encode()).decode(): name for name, stand_in in stand_ins.items()}
    for name, stand_in in stand_ins.items():
        shown, pasted = shown.replace(stand_in, f"${name}"), pasted.replace(stand_in, f"'\"${name}\"'")
    for encoded, name in basic.items():
        shown = shown.replace(encoded, f"base64(${name})")
        pasted = pasted.replace(encoded, f"""'"$(printf %s "${name}" | base64 | tr -d '\\n')"'""")
    signed = "".join(
        f"\n\n(signed with ${each.variable} by {each.signing}, when it is sent)" for each in sent if each.signing
    )
    login = httpx.URL(url).userinfo.decode()
    print_text(bridge.redact(f"{shown}\n\n{pasted.replace(f'//{login}@', '//…@')}{signed}"))
    return 0


def _bound(bridge: Bridge, tool: Tool, arguments: Mapping[str, Any]) -> Bound:
    """Return the arguments in their places. Raises ArgumentsError for those that would not be sent."""
    try:
        return tool.bind(validate_patiently(tool, arguments))
    except ArgumentsError as error:
        if not bridge.lenience.is_on:
            raise
        return bridge.lenience.bound(tool, arguments, error, bridge.sources)


def _sent_from(owner: Service, tool: Tool, bound: Bound) -> Collection[str]:
    """Return the variables that a call sends, and warn of those that may not go where it is sent.

    If none is set, return those of the first alternative. Raises CredentialsError where others are needed.
    """
    environment = read_environment(owner.api, owner.settings)
    if environment.secrets.keys().isdisjoint(tool.variables):
        return _first_alternative(tool)
    provider = environment_credentials(owner.api, owner.settings, environment)
    allowed, refusals = provider.allowed(tool.operation)
    if needs_credential(tool.operation.security, allowed, bound.places):
        raise provider.missing(tool.operation)
    warn(refusals)
    return allowed


def _first_alternative(tool: Tool) -> list[str]:
    return [name for scheme in next(iter(tool.operation.security), ()) if (name := variable(scheme))]


def as_http(written: Written) -> str:
    """Write a request as HTTP/1.1 text (RFC 9112); anything but text is described in angle brackets."""
    request = written.to_httpx()
    target = request.url.raw_path.decode("ascii")
    lines = [f"{request.method} {target} HTTP/1.1"]
    lines += [f"{name.decode('ascii')}: {value.decode('utf-8', 'replace')}" for name, value in request.headers.raw]
    return "\n".join([*lines, "", *_body_lines(written.body)]).rstrip()


def _body_lines(body: Body | None) -> Iterator[str]:
    if body is None:
        return
    if isinstance(body.content, tuple):
        for part in body.content:
            yield f"<part {part.name}: {_described(part.content, part.media_type)}>"
    else:
        yield _described(body.content, None)


def _described(content: bytes | Upload, media_type: str | None) -> str:
    if isinstance(content, Upload):
        return f"<{content.size} bytes of {media_type or content.media_type} from {content.name}>"
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"<{len(content)} bytes>"


def as_curl(written: Written) -> str:
    """Write a request as a curl command for a POSIX shell, which sends the same bytes. curl 7.87 escapes queries."""
    method = ["--head"] if written.method == "HEAD" else ["--request", written.method]
    url, *credentials = BEFORE_CREDENTIAL.split(str(httpx.URL(written.url)))
    groups = [["curl", *method, *(["--globoff"] if re.search(r"[][{}]", url) else []), url]]
    groups += [["--url-query", credential] for credential in credentials]
    groups += [_curl_header(name, value.decode("utf-8", "replace")) for name, value in written.headers]
    fed, options = _curl_body(written.body)
    return fed + " \\\n  ".join(map(shlex.join, groups + options))


def _curl_header(name: str, value: str) -> list[str]:
    return ["--header", f"{name}: {value}" if value else f"{name};"]


def _curl_body(body: Body | None) -> tuple[str, list[list[str]]]:
    """Return the command that is piped into curl, and the options that send the body."""
    if body is None:
        return "", []
    if isinstance(body.content, tuple) and body.content and all(map(_is_form_part, body.content)):
        return "", [_curl_part(part) for part in body.content]
    content_type = _curl_header("content-type", body.content_type)
    if isinstance(body.content, bytes) and (text := _plain_text(body.content)) is not None:
        return "", [content_type, ["--data-raw", text]]
    if isinstance(body.content, Upload) and body.content.path is not None:
        return "", [content_type, ["--data-binary", f"@{body.content.path}"]]
    commands = "; ".join(map(_command, body.pieces))
    return f"{{ {commands}; }} | ", [content_type, ["--data-binary", "@-"]]


def _command(piece: bytes | Upload) -> str:
    """Write the command whose output is a piece of a body."""
    if isinstance(piece, Upload) and piece.path is not None:
        return shlex.join(["cat", str(piece.path)])
    content = piece.read() if isinstance(piece, Upload) else piece
    if (text := _plain_text(content)) is not None:
        return shlex.join(["printf", "%s", text])
    return f"{shlex.join(['printf', '%s', base64.b64encode(content).decode()])} | base64 -d"


def _plain_text(content: bytes) -> str | None:
    """Return the text if a terminal can show it unchanged, else None."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if text.replace("\n", "").replace("\t", "").isprintable() else None


def _is_form_part(part: Part) -> bool:
    """Check whether curl's `--form` can send a part: some characters have a special meaning to it."""
    if part.headers or part.name is None or not re.fullmatch(r"[^\x00-\x1f\"\\=;]+", part.name):
        return False
    if isinstance(part.content, bytes):
        return _plain_text(part.content) is not None
    return part.content.path is not None and not re.search(r"[\x00-\x1f\"\\,;]", str(part.content.path))


def _curl_part(part: Part) -> list[str]:
    if isinstance(part.content, Upload):
        return ["--form", f"{part.name}=@{part.content.path};type={part.media_type}"]
    text = part.content.decode()
    if part.media_type is None:
        return ["--form-string", f"{part.name}={text}"]
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return ["--form", f'{part.name}="{quoted}";type={part.media_type}']
