"""Requests as text for people: as HTTP, and as a curl command. Nothing is sent."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator

import httpx

from portkey_bridge.request.bodies import Body
from portkey_bridge.request.multipart import Part
from portkey_bridge.request.uploads import Upload
from portkey_bridge.request.writer import Written

#: Placeholder of a secret in a request that is only shown. URLs do not escape it, and a shell quotes it.
STAND_IN = "STANDS-IN-FOR-{}~"

#: Precedes a credential in a query, whose value is escaped once its variable is set.
BEFORE_CREDENTIAL = re.compile(rf"[?&](?=[^?&=]*={STAND_IN.partition('{')[0]})")


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
