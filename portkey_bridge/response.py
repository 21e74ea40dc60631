"""An answer becomes MCP content, within the size that clients take, and with nothing lost.

JSON passes through as the API sent it: no number is rounded, no name moved. The table RENDERERS says what becomes of
which media type; what is said beside the content goes into a short text of its own.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import mimetypes
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pydantic_core
from fastmcp.tools.base import ToolResult
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from portkey_bridge.operations import Operation
from portkey_bridge.results import Results, excerpt, expand, is_json
from portkey_bridge.settings import RESULT_LIMIT

#: A picture or sound may take this many times as many: models do not read it as text. With the default limit this
#: stays below the 1,048,576 characters at which clients cut.
MEDIA_FACTOR = 25

#: What headers are for: to identify a request to those who run the API, to say how much one may still ask, and for a
#: model to go on: where more is, where and when to ask next, what would be allowed.
REQUEST_ID, RATE_LIMIT, GOING_ON = "request id", "rate limit", "going on"
USES = {
    REQUEST_ID: re.compile(r"(.*-)?(request|trace|correlation)-?id|cf-ray", re.IGNORECASE),
    RATE_LIMIT: re.compile(r"(.*-)?rate-?limit(-.*)?|retry-after", re.IGNORECASE),
    GOING_ON: re.compile(
        r"link|(.*-)?location|retry-after|allow|www-authenticate|content-range|x-(.*-)?(total|page|next|cursor)(-.*)?|"
        r"(.*-)?continuation(-.*)?",
        re.IGNORECASE,
    ),
}

#: Headers that say how an answer came and not what it is.
ON_THE_WAY = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "date", "server", "via", "vary", "set-cookie", "alt-svc")
)

#: Statuses whose cause is the state of a resource that a request assumed; its present state has a tag.
CONDITIONAL_STATUSES = (412, 428)

#: What has no more brackets than this is not nested too deep to be written again.
SURELY_SHALLOW = 100

#: What begins as a structured text does, whatever is declared.
STRUCTURED_TEXT = re.compile(rb"(\xef\xbb\xbf)?\s*[\[{<]")

#: Bytes that no text has.
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

#: What a text begins with in a charset that it names so (Encoding Standard section 6; UTF-32 begins like UTF-16).
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)

#: Where XML and HTML say their charset themselves.
CHARSET_INSIDE = re.compile(rb"<(?:\?xml[^>]*?encoding|meta[^>]*?charset)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)

#: Codecs that are no charsets of documents, and slow or surprising on long input.
NO_CHARSETS = frozenset(("idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"))


@dataclass(frozen=True)
class Answer:
    """A complete answer, or as much of it as came: `problem` says what broke it off.

    `stream` tells that the body was put together from a stream's events.
    """

    status: int
    phrase: str
    headers: httpx.Headers
    body: bytes = field(repr=False)
    problem: str = ""
    stream: bool = False

    @property
    def media_type(self) -> str:
        """The declared type in lower case and without parameters, or an empty text."""
        return "application/json" if self.stream else _content_type(self.headers.get("content-type", ""))[0]

    @property
    def charset(self) -> str | None:
        """The declared charset."""
        return None if self.stream else _content_type(self.headers.get("content-type", ""))[1]

    @property
    def file_name(self) -> str | None:
        """The bare name of the file that the body is (RFC 6266), without anything that leads out of a folder."""
        if "content-disposition" not in self.headers:
            return None
        disposition = _header("content-disposition", self.headers["content-disposition"])
        names = [value for name, value in disposition.get_params([], "content-disposition") if name == "filename"]
        name = collapse_rfc2231_value(names[-1]) if names else ""  # what was `filename*` is last, and goes first
        bare = re.sub(r"[^\w. ()+-]", "_", re.split(r"[/\\]", name)[-1]).strip(". ")
        return bare[-100:] or None

    @property
    def failed(self) -> bool:
        """Whether the result is an error: a status of 400 and above, or an answer that broke off."""
        return self.status >= 400 or bool(self.problem)


@lru_cache(maxsize=64)
def _content_type(value: str) -> tuple[str, str | None]:
    """Give the media type in lower case, and the charset; of several values the first counts."""
    first = re.match(r'(?:[^",]|"[^"]*")*', value)
    declared = _header("content-type", first[0] if first else "")
    charset = declared.get_param("charset")
    return declared.get_params([("", "")])[0][0].strip().lower(), charset if isinstance(charset, str) else None


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = re.sub(r"[\r\n]", " ", value)
    return message


def reason(status: int, sent: str = "") -> str:
    """Give the status's phrase: the registered one, else the server's own."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return sent


@dataclass(frozen=True)
class Rendered:
    """What a body becomes: content, what is said about it, and an object where it is one."""

    content: list[ContentBlock]
    notes: tuple[str, ...] = ()
    structured: dict[str, Any] | None = None


@dataclass(frozen=True)
class Renderer:
    """Renders answers in results of `limit` characters. Large ones are kept in `results`, or written to `files`."""

    limit: int
    results: Results
    files: tuple[Path, ...] = ()

    def render(self, operation: Operation, answer: Answer, hints: Iterable[str] = ()) -> ToolResult:
        """Give the result of an answer; `hints` are further lines that help."""
        rendered = self._body(answer)
        line = _status_line(operation, answer)
        notes = [*rendered.notes, answer.problem, *hints, *_going_on(operation, answer), *_file_name(rendered, answer)]
        said = "\n".join(filter(None, [f"{line}." if rendered.content and 202 <= answer.status < 300 else "", *notes]))
        return ToolResult(
            content=[*_titled(line, rendered.content, answer), *([text(said)] * bool(said))],
            structured_content=rendered.structured,
            meta=_meta(answer),
            is_error=answer.failed,
        )

    def _body(self, answer: Answer) -> Rendered:
        if not answer.body:
            return Rendered([])
        return _renderer(answer.media_type)(self, answer)

    def json(self, answer: Answer) -> Rendered:
        """Render JSON, or the text that was meant to be JSON. What is large crosses to the client once, as the text."""
        body, notes = _utf8(answer)
        if not is_json(body):
            rendered = self.text(answer)
            return replace(
                rendered, notes=(f"The body is declared as {answer.media_type} but is no JSON.", *rendered.notes)
            )
        if len(body) <= self.limit * 4 and len(whole := body.decode()) <= self.limit:
            return Rendered([text(whole)], notes, _structured(body) if len(whole) <= RESULT_LIMIT else None)
        return Rendered([text(self._view(body, expand))], notes)

    def text(self, answer: Answer) -> Rendered:
        """Render text, long text with head and tail."""
        whole, notes = _decoded(answer)
        if len(whole) <= self.limit:
            return Rendered([text(whole)], notes)
        return Rendered([text(self._view(msgspec.json.encode(whole), lambda *_: excerpt(whole, self.limit)))], notes)

    def undeclared_text(self, answer: Answer) -> Rendered:
        """Render what is declared as another text: as JSON where it is an object or array all the same."""
        if STRUCTURED_TEXT.match(answer.body) and is_json(_utf8(answer)[0]):
            rendered = self.json(answer)
            return replace(rendered, notes=(*rendered.notes, f"The body is JSON, declared as {_declared(answer)}."))
        return self.text(answer)

    def unknown(self, answer: Answer) -> Rendered:
        """Render a body whose type is not declared, or says little: as text if it is any."""
        return self.undeclared_text(answer) if _is_text(answer.body) else self.binary(answer)

    def image(self, answer: Answer) -> Rendered:
        """Render a picture."""
        return self._media(answer, lambda data: ImageContent(type="image", data=data, mime_type=answer.media_type))

    def audio(self, answer: Answer) -> Rendered:
        """Render a sound."""
        return self._media(answer, lambda data: AudioContent(type="audio", data=data, mime_type=answer.media_type))

    def binary(self, answer: Answer) -> Rendered:
        """Render any other body as an embedded resource."""
        media_type = answer.media_type or "application/octet-stream"
        if _base64_length(answer.body) > self.limit:
            return self._too_large(answer, media_type)
        data = base64.b64encode(answer.body).decode()
        uri = f"response:{quote(answer.file_name or 'body')}"
        blob = BlobResourceContents(uri=uri, mime_type=media_type, blob=data)
        return Rendered([EmbeddedResource(type="resource", resource=blob)])

    def _media(self, answer: Answer, block: Callable[[str], ContentBlock]) -> Rendered:
        if STRUCTURED_TEXT.match(answer.body) and _is_text(answer.body):  # clients choke on a picture that is none
            rendered = self.text(answer)
            return replace(rendered, notes=(f"The body is text, declared as {answer.media_type}.", *rendered.notes))
        if _base64_length(answer.body) > self.limit * MEDIA_FACTOR:
            return self._too_large(answer, answer.media_type)
        return Rendered([block(base64.b64encode(answer.body).decode())])

    def _too_large(self, answer: Answer, media_type: str) -> Rendered:
        """Write a large body below the files folder and link it, or say what would allow that."""
        size = f"{len(answer.body):,} bytes of {media_type}"
        if not self.files:
            return Rendered(
                [
                    text(
                        f"The answer is {size}, too large for a result. Start portkey-bridge with --files DIR "
                        "(OPEN_MCP_FILES) to have such answers written to that folder, or raise OPEN_MCP_RESULT_LIMIT."
                    )
                ]
            )
        try:
            path = write_file(self.files[0], answer)
        except OSError as error:
            return Rendered(
                [
                    text(
                        f"The answer is {size}, and could not be written below {self.files[0]}: "
                        f"{error.strerror}. Correct OPEN_MCP_FILES."
                    )
                ]
            )
        link = ResourceLink(
            type="resource_link", uri=path.as_uri(), name=path.name, mime_type=media_type, size=len(answer.body)
        )
        return Rendered([link], (f"The answer is {size}. It was written to {path}.",))

    def _view(self, body: bytes, view: Callable[[bytes, str, int], str]) -> str:
        result_id = self.results.keep(body)
        return (
            f"The answer has {len(body):,} bytes, so this is a view of it. resultId: {result_id}. Read on with "
            f"expandResult and the pointers of the stubs, [expandResult POINTER …].\n{view(body, '', self.limit)}"
        )


#: How a body is rendered: the first pattern that matches its media type.
RENDERERS: tuple[tuple[str, Callable[[Renderer, Answer], Rendered]], ...] = (
    (r"(application|text)/json|[^;]*\+json", Renderer.json),
    (r".*\+(xml|yaml)", Renderer.text),
    (r"image/.+", Renderer.image),
    (r"audio/.+", Renderer.audio),
    (
        r"text/.*|application/(xml.*|javascript|ecmascript|yaml|x-yaml|toml|sql|graphql|csv|x-www-form-urlencoded|"
        r"(x-)?(nd)?json.*)",
        Renderer.undeclared_text,
    ),
    (r"[^/]*|(multipart|message)/.*|(application|binary)/(octet-stream|vnd\..*|x-.*|.*download)", Renderer.unknown),
    (r".*", Renderer.binary),
)


@lru_cache(maxsize=64)
def _renderer(media_type: str) -> Callable[[Renderer, Answer], Rendered]:
    return next(render for pattern, render in RENDERERS if re.fullmatch(pattern, media_type))


def text(words: str) -> TextContent:
    """Give a block of text."""
    return TextContent(type="text", text=words)


def error_result(words: str) -> ToolResult:
    """Give a result with `isError` that says `words`."""
    return ToolResult(content=[text(words)], is_error=True)


def write_file(folder: Path, answer: Answer) -> Path:
    """Write the body to a new file in the folder, and give its path. The same body is written once. Raises OSError."""
    name = Path(answer.file_name or f"answer{mimetypes.guess_extension(answer.media_type) or ''}")
    digest = hashlib.sha256(answer.body).hexdigest()[:12]
    path = folder.resolve(strict=True) / f"{name.stem}-{digest}{name.suffix}"
    try:
        with path.open("xb") as file:
            file.write(answer.body)
    except FileExistsError:
        if path.is_symlink() or path.read_bytes() != answer.body:
            raise
    return path


def declared_error(operation: Operation, status: int) -> str:
    """Say what the document declares about this status of the operation; empty if it declares nothing."""
    for key, declared in _declared_responses(operation, status):
        description = declared.get("description")
        if isinstance(description, str) and description.strip():
            return f"The document says of {key}: {' '.join(description.split())[:500]}"
    return ""


def _declared_responses(operation: Operation, status: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what is declared of a status, the most exact first (OpenAPI 3.2 section 4.16)."""
    for key in (str(status), f"{status // 100}XX", f"{status // 100}xx", "default"):
        if key in operation.responses:
            yield key, operation.responses[key]


def _status_line(operation: Operation, answer: Answer) -> str:
    """Say what happened, by method and path template: the URL itself may hold a secret."""
    line = (
        f"{operation.method} {operation.path} answered {answer.status} {reason(answer.status, answer.phrase)}".rstrip()
    )
    redirect = 300 <= answer.status < 400 and "location" in answer.headers
    return f"{line}, a redirect that was not followed" if redirect else line


def _titled(line: str, content: list[ContentBlock], answer: Answer) -> list[ContentBlock]:
    """Put the status before the content where it says more than that all went well."""
    if not content:
        return [text(f"{line}." if answer.problem else f"{line}: the answer has no body.")]
    if answer.status < 300:
        return content
    first, *others = content
    if isinstance(first, TextContent):
        return [text(f"{line}:\n{first.text}"), *others]
    return [text(f"{line}."), *content]


def _going_on(operation: Operation, answer: Answer) -> Iterator[str]:
    """Yield the headers that a model needs. The answer to HEAD is its headers, and so is what the document declares."""
    declared = {
        name.lower()
        for _, response in _declared_responses(operation, answer.status)
        for name in response.get("headers") or ()
    } - {"content-type", "content-length", "transfer-encoding"}
    if answer.status in CONDITIONAL_STATUSES:
        declared.add("etag")
    for name, value in answer.headers.items():
        is_asked_for = name in declared or (operation.method == "HEAD" and name not in ON_THE_WAY)
        if GOING_ON in _uses(name) or (is_asked_for and not _uses(name)):
            yield f"{name.title()}: {value[:2000]}"


def _file_name(rendered: Rendered, answer: Answer) -> Iterator[str]:
    """Yield the file's name where no block of the content has it."""
    if answer.file_name and not any(isinstance(block, EmbeddedResource | ResourceLink) for block in rendered.content):
        yield f"File name: {answer.file_name}"


@lru_cache(maxsize=256)  # the answers of an API have the same headers again and again
def _uses(name: str) -> frozenset[str]:
    return frozenset(use for use, pattern in USES.items() if pattern.fullmatch(name))


def _meta(answer: Answer) -> dict[str, Any]:
    request_id = next((value for name, value in answer.headers.items() if REQUEST_ID in _uses(name)), None)
    limits = {name: value for name, value in answer.headers.items() if RATE_LIMIT in _uses(name)}
    known = {"status": answer.status, "requestId": request_id, "rateLimit": limits}
    return {name: value for name, value in known.items() if value}


def _declared(answer: Answer) -> str:
    return answer.media_type or "nothing"


def _base64_length(body: bytes) -> int:
    return (len(body) + 2) // 3 * 4


def _utf8(answer: Answer) -> tuple[bytes, tuple[str, ...]]:
    """Give a JSON text in UTF-8 without a byte order mark, and what is to be said of its charset.

    Other encodings are older habits (RFC 8259 section 8.1).
    """
    encoding = json.detect_encoding(answer.body[:4])
    if encoding == "utf-8" and (answer.body.isascii() or _is_utf8(answer.body)):
        return answer.body, ()
    if encoding == "utf-8":
        whole, notes = _decoded(answer)
        return whole.encode("utf-8", "replace"), notes
    return answer.body.decode(encoding, "replace").encode("utf-8", "replace"), ()


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_text(body: bytes) -> bool:
    return not CONTROL.search(body) and _is_utf8(body)


def _structured(body: bytes) -> dict[str, Any] | None:
    """Give a JSON object as a value, or None where the value would not be the same: a number of too many digits."""
    try:
        value = _exactly.decode(body)
        if body.count(b"[") + body.count(b"{") > SURELY_SHALLOW:
            pydantic_core.to_json([[[value]]])  # as it will stand in the message: fails for what is nested too deep
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _exact_float(digits: str) -> float:
    number = float(digits)
    if (len(digits) > 15 or "e" in digits.lower()) and Decimal(digits) != Decimal(repr(number)):
        raise ValueError("not a float of the same value")
    return number


_exactly = msgspec.json.Decoder(float_hook=_exact_float)


def _decoded(answer: Answer) -> tuple[str, tuple[str, ...]]:
    """Give the body as text, and what is to be said of its charset.

    A byte order mark counts before what is declared (RFC 7303 section 3). What is UTF-8 is so by no accident, and is
    read as such whatever a text says of itself.
    """
    marked = next((charset for mark, charset in BYTE_ORDER_MARKS if answer.body.startswith(mark)), None)
    said = marked or answer.charset
    inside = CHARSET_INSIDE.search(answer.body[:1024])
    for charset in filter(None, (said, "utf-8", inside and inside[1].decode())):
        with suppress(LookupError, ValueError):
            whole = answer.body.decode(_known(charset)).removeprefix("\ufeff")
            return whole, (_misnamed(said, charset),) if said and charset != said else ()
    readable = answer.body.decode("utf-8", "replace")
    if not said and not answer.problem and readable.replace("\ufffd", "").isascii():
        return answer.body.decode("windows-1252", "replace"), ("The body is no valid utf-8; read as windows-1252.",)
    return readable, (f"The body is no valid {(said or 'utf-8')[:40]}; what cannot be read stands as \ufffd.",)


def _known(charset: str) -> str:
    """Give the name of a charset's codec. Raises LookupError."""
    name = codecs.lookup(charset).name
    if name in NO_CHARSETS:
        raise LookupError(charset)
    return name


def _misnamed(charset: str, found: str) -> str:
    return f"The body is not in the charset {charset[:40]!r}, but in {found}."
