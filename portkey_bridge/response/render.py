"""An answer becomes MCP content, within the size that clients take, and with nothing lost.

JSON passes through as the API sent it: no number is rounded, no name moved. The table RENDERERS says what becomes of
which media type; notes about it go into a short text of their own.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from portkey_bridge.file_types import PICTURES, file_type
from portkey_bridge.openapi.model import Operation
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.response.answer import Answer, reason
from portkey_bridge.response.answer_files import AnswerFile, kept_text, uri_of
from portkey_bridge.response.charset import decoded, in_utf8, is_not_text, reads_as_text
from portkey_bridge.response.dropping import Drop, said
from portkey_bridge.response.headers import meta_of, shown_headers
from portkey_bridge.response.json_views import excerpt, expand, is_json
from portkey_bridge.response.results import Results
from portkey_bridge.response.structured import exact_object
from portkey_bridge.response.tables import tabulated
from portkey_bridge.response.tool_result import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    ToolResult,
    text_block,
)
from portkey_bridge.settings.options import RESULT_LIMIT, key_in_file

if TYPE_CHECKING:
    from portkey_bridge.response.selection import Selection

#: A picture or sound may take this many times as many: models do not read it as text. With the default limit this
#: stays below the 1,048,576 characters at which clients cut.
MEDIA_FACTOR = 25

#: Bytes of a file name that every common file system takes, and of its suffix.
MAX_FILE_NAME, MAX_SUFFIX = 255, 32

#: What begins as a structured text does, whatever is declared.
STRUCTURED_TEXT = re.compile(rb"(\xef\xbb\xbf)?\s*[\[{<]")


@dataclass(frozen=True)
class Rendered:
    """What a body becomes: content, notes about it, and an object if it is one."""

    content: list[ContentBlock]
    notes: tuple[str, ...] = ()
    structured: dict[str, Any] | None = None


@dataclass(frozen=True)
class Renderer:
    """Renders answers in results of `limit` characters. Large ones are kept in `results`, or written to `files`.

    `drop` is what is left out of answers in JSON that succeeded. With `links`, files are kept like large results, and
    linked as resources of the protocol. `api` is the name of the API in a settings file, if there is one.
    """

    limit: int
    results: Results
    files: tuple[Path, ...] = ()
    drop: Drop = Drop()  # noqa: RUF009  # frozen
    links: bool = False
    api: str = ""

    @property
    def _advice(self) -> str:
        files, links, limit = (key_in_file(self.api, each) for each in ("files", "resources", "result_limit"))
        return (
            f"Set {files or '--files DIR (OPEN_MCP_FILES)'} to have such answers written to that folder, or "
            f"{links or '--resources (OPEN_MCP_RESOURCES)'} to have clients read them, or raise "
            f"{limit or 'OPEN_MCP_RESULT_LIMIT'}."
        )

    def render(
        self, operation: Operation, answer: Answer, hints: Iterable[str] = (), select: Selection | None = None
    ) -> ToolResult:
        """Return the result of an answer, or of what `select` selects of it; `hints` are further lines that help."""
        rendered = self._body(answer) if select is None or answer.failed else self._selected(answer, select)
        line = _status_line(operation, answer)
        notes = [
            *rendered.notes,
            answer.problem,
            answer.remark,
            *hints,
            *shown_headers(operation, answer),
            *_file_name(rendered, answer),
        ]
        notes += [f"Parameters of the header {name.title()} cannot be read." for name in answer.unreadable]
        said = "\n".join(filter(None, [f"{line}." if rendered.content and 202 <= answer.status < 300 else "", *notes]))
        return ToolResult(
            content=[*_titled(line, rendered.content, answer), *([text_block(said)] * bool(said))],
            structured_content=rendered.structured,
            meta=meta_of(answer),
            is_error=answer.failed,
        )

    def _body(self, answer: Answer) -> Rendered:
        if not answer.body:
            return Rendered([])
        return _renderer(answer.media_type)(self, answer)

    def json(self, answer: Answer) -> Rendered:
        """Render JSON, or the text that was meant to be JSON. What is large crosses to the client once, as the text."""
        body, notes = in_utf8(answer)
        if not is_json(body):
            rendered = self.text(answer)
            return replace(
                rendered, notes=(f"The body is declared as {answer.media_type} but is not JSON.", *rendered.notes)
            )
        if answer.failed or not self.drop:
            return self._json(body, notes)
        rest, dropped = self.drop.apply(body)
        kept = (said(dropped, body, rest, self.results.keep(body)),) if dropped else ()
        return self._json(rest, (*notes, *kept))

    def _json(self, body: bytes, notes: tuple[str, ...]) -> Rendered:
        if len(body) <= self.limit * 4 and len(whole := body.decode()) <= self.limit:
            return Rendered([text_block(whole)], notes, exact_object(body) if len(whole) <= RESULT_LIMIT else None)
        return Rendered([text_block(self._view(body, _first_view))], notes)

    def _selected(self, answer: Answer, select: Selection) -> Rendered:
        """Render what is selected of a JSON answer, which is kept; any other answer is rendered whole."""
        from portkey_bridge.response.selection import selected

        is_declared = _renderer(answer.media_type) is Renderer.json
        body, notes = in_utf8(answer) if is_declared or STRUCTURED_TEXT.match(answer.body) else (b"", ())
        if not body or not is_json(body):
            whole = self._body(answer)
            return replace(whole, notes=(*whole.notes, "select was not applied: the answer is not JSON."))
        part, remark = selected(body, select, self.results.keep(body))
        return self._json(part, (*notes, remark))

    def part(self, body: bytes, remark: str) -> ToolResult:
        """Return a result of a part of a kept JSON text, and a line about it."""
        rendered = self._json(body, ())
        return ToolResult(content=[*rendered.content, text_block(remark)], structured_content=rendered.structured)

    def items(self, body: bytes, pointer: str, remark: str, result_id: str) -> ToolResult:
        """Return a result of some items of a kept JSON text, without what is dropped, and a line about them."""
        rest, dropped = self.drop.apply(body) if self.drop else (body, Counter[str]())
        try:
            part = expand(rest, pointer, self.limit)
        except PointerToNowhere:  # it was dropped
            part, dropped = expand(body, pointer, self.limit), Counter()
        remark += f" {said(dropped, body, rest, result_id)}" if dropped else ""
        return self.part(part.encode(), remark)

    def text(self, answer: Answer) -> Rendered:
        """Render text, long text with head and tail. A file that is declared as text is a file."""
        if is_not_text(answer):
            rendered = self._of_bytes(answer)
            remark = f"The body is not text, although it is declared as {_declared(answer)}."
            return replace(rendered, notes=(remark, *rendered.notes))
        whole, notes = decoded(answer)
        return Rendered([self.excerpt(whole)], notes)

    def excerpt(self, whole: str) -> TextContent:
        """Return a text as a block; of a long one, which is kept, head and tail."""
        if len(whole) <= self.limit:
            return text_block(whole)
        return text_block(self._view(msgspec.json.encode(whole), lambda *_: excerpt(whole, self.limit)))

    def view(self, body: bytes) -> ContentBlock:
        """Return a JSON text as a block; of a large one, which is kept, a view."""
        return self._json(body, ()).content[0]

    def blocks(self, answer: Answer) -> Sequence[ContentBlock]:
        """Return the body of an answer as blocks."""
        return self._body(answer).content

    def undeclared_text(self, answer: Answer) -> Rendered:
        """Render what is declared as another text: as JSON where it is an object or array all the same."""
        if STRUCTURED_TEXT.match(answer.body) and is_json(in_utf8(answer)[0]):
            rendered = self.json(answer)
            return replace(rendered, notes=(*rendered.notes, f"The body is JSON, declared as {_declared(answer)}."))
        return self.text(answer)

    def unknown(self, answer: Answer) -> Rendered:
        """Render a body whose type is not declared, or says little: as text if it is any."""
        return self.undeclared_text(answer) if reads_as_text(answer) else self.binary(answer)

    def image(self, answer: Answer) -> Rendered:
        """Render a picture, by the type that its bytes reveal. One that not all models take is a file."""
        kind = file_type(answer.body) or answer.media_type
        if kind not in PICTURES and not reads_as_text(answer):
            return self.binary(answer)
        return self._media(answer, lambda data: ImageContent(data, kind))

    def audio(self, answer: Answer) -> Rendered:
        """Render a sound."""
        return self._media(answer, lambda data: AudioContent(data, answer.media_type))

    def binary(self, answer: Answer) -> Rendered:
        """Render any other body as an embedded resource."""
        media_type = answer.media_type or "application/octet-stream"
        if self._links_to(answer) or _base64_length(answer.body) > self.limit:
            return self._too_large(answer, media_type)
        data = base64.b64encode(answer.body).decode()
        uri = f"response:{quote(answer.file_name or 'body')}"
        blob = BlobResourceContents(uri=uri, mime_type=media_type, blob=data)
        return Rendered([EmbeddedResource(blob)])

    def _of_bytes(self, answer: Answer) -> Rendered:
        """Render a body by its bytes alone."""
        headers = answer.headers.copy()
        headers["content-type"] = kind = file_type(answer.body) or "application/octet-stream"
        return (self.image if kind in PICTURES else self.binary)(replace(answer, headers=headers))

    def _media(self, answer: Answer, block: Callable[[str], ContentBlock]) -> Rendered:
        if reads_as_text(answer):  # clients fail on an image that is not one
            rendered = self.text(answer)
            return replace(rendered, notes=(f"The body is text, declared as {answer.media_type}.", *rendered.notes))
        if _base64_length(answer.body) > self.limit * MEDIA_FACTOR:
            return self._too_large(answer, answer.media_type)
        return Rendered([block(base64.b64encode(answer.body).decode())])

    def _too_large(self, answer: Answer, media_type: str) -> Rendered:
        """Write a large body below the files folder or keep it, and link it, or say what would allow that."""
        size = f"{len(answer.body):,} bytes of {media_type}"
        if self._links_to(answer):
            return self._linked(answer, media_type, size)
        if not self.files:
            return Rendered([text_block(f"The answer is {size}, too large for a result. {self._advice}")])
        try:
            path = write_file(self.files[0], answer)
        except OSError as error:
            correct = key_in_file(self.api, "files") or "OPEN_MCP_FILES"
            problem = f"could not be written to {self.files[0]}: {error.strerror}. Correct {correct}."
            return Rendered([text_block(f"The answer is {size}, and {problem}")])
        link = ResourceLink(uri=path.as_uri(), name=path.name, mime_type=media_type, size=len(answer.body))
        return Rendered([link], (f"The answer is {size}. It was written to {path}.",))

    def _links_to(self, answer: Answer) -> bool:
        """Check whether a body is kept as a file. One that would take most of the room is not."""
        return self.links and not self.files and self.results.has_room_for(_base64_length(answer.body))

    def _linked(self, answer: Answer, media_type: str, size: str) -> Rendered:
        name = _named(answer)
        result_id = self.results.keep(kept_text(AnswerFile(name, media_type, answer.body)))
        link = ResourceLink(uri=uri_of(result_id, name), name=name, mime_type=media_type, size=len(answer.body))
        readable = f"can be read for {self.results.seconds / 60:g} minutes after its last use"
        return Rendered([link], (f"The answer is {size}, a resource that {readable}.",))

    def _view(self, body: bytes, view: Callable[[bytes, str, int], str]) -> str:
        result_id = self.results.keep(body)
        return (
            f"The answer has {len(body):,} bytes, so this is a view of it. resultId: {result_id}. Read more with "
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
    (r".*", Renderer.unknown),
)


@lru_cache(maxsize=64)
def _renderer(media_type: str) -> Callable[[Renderer, Answer], Rendered]:
    return next(render for pattern, render in RENDERERS if re.fullmatch(pattern, media_type))


def _first_view(body: bytes, pointer: str, room: int) -> str:
    return tabulated(body, room) or expand(body, pointer, room)


def write_file(folder: Path, answer: Answer) -> Path:
    """Write the body to a new file in the folder, and return its path. The same body is written once. Raises OSError.

    If it cannot be written as a whole, as on a full disk, no file is left.
    """
    path = folder.resolve(strict=True) / _named(answer)
    try:
        file = path.open("xb")
    except FileExistsError:
        if path.is_symlink() or path.read_bytes() != answer.body:
            raise
        return path
    try:
        with file:
            file.write(answer.body)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _named(answer: Answer) -> str:
    """Return a file name for the body: its own with a digest, cut to what file systems take."""
    name = Path(answer.file_name or f"answer{mimetypes.guess_extension(answer.media_type) or ''}")
    digest = hashlib.sha256(answer.body).hexdigest()[:12]
    suffix = name.suffix if len(name.suffix.encode()) <= MAX_SUFFIX else ""
    rest = f"-{digest}{suffix}"
    stem = name.stem if suffix else name.name
    return stem.encode()[: MAX_FILE_NAME - len(rest.encode())].decode(errors="ignore") + rest


def _status_line(operation: Operation, answer: Answer) -> str:
    """Report what happened, by method and path template: the URL itself may hold a secret."""
    line = f"{operation} answered {answer.status} {reason(answer.status, answer.phrase)}".rstrip()
    redirect = 300 <= answer.status < 400 and "location" in answer.headers
    return f"{line}, a redirect that was not followed" if redirect else line


def _titled(line: str, content: list[ContentBlock], answer: Answer) -> list[ContentBlock]:
    """Put the status before the content where it says more than that all went well."""
    if not content:
        return [text_block(f"{line}." if answer.problem else f"{line}: the answer has no body.")]
    if answer.status < 300:
        return content
    first, *others = content
    if isinstance(first, TextContent):
        return [text_block(f"{line}:\n{first.text}"), *others]
    return [text_block(f"{line}."), *content]


def _file_name(rendered: Rendered, answer: Answer) -> Iterator[str]:
    """Yield the file's name where no block of the content has it."""
    if answer.file_name and not any(isinstance(block, EmbeddedResource | ResourceLink) for block in rendered.content):
        yield f"File name: {answer.file_name}"


def _declared(answer: Answer) -> str:
    return answer.media_type or "nothing"


def _base64_length(body: bytes) -> int:
    return (len(body) + 2) // 3 * 4
