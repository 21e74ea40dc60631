"""A complete HTTP response, before it is rendered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import cached_property, lru_cache
from http import HTTPStatus
from itertools import chain
from typing import cast

import httpx

#: Why a kept answer was used: the API said that it is valid, or before that it may be used for a while.
VALIDATED, FRESH = "validated", "fresh"


@dataclass(frozen=True)
class Answer:
    """A complete response, or as much of it as arrived: `problem` explains why it broke off.

    `stream` is whether the body was merged from the events of a stream, and `remark` a sentence about it.
    `url` is where the answer came from, which may contain a credential.
    `cached` is why the answer was used although it is a kept one: it is VALIDATED or FRESH.
    `redirected_to` is the origin of whoever answered, if it is not the one that the request was sent to.
    """

    status: int
    phrase: str
    headers: httpx.Headers
    body: bytes = field(repr=False)
    problem: str = ""
    stream: bool = False
    remark: str = ""
    url: httpx.URL | None = field(default=None, repr=False)
    redirected_to: str = ""
    cached: str = ""

    @property
    def media_type(self) -> str:
        """The declared type in lower case and without parameters, or an empty text."""
        return self._declared[0]

    @cached_property
    def by_name(self) -> Mapping[str, str]:
        """Each header with its values, the names in lower case. They are read several times, and decoding is slow."""
        try:
            texts = b"\n".join(chain.from_iterable(self.headers.raw)).decode("ascii").split("\n")
        except UnicodeDecodeError:
            return dict(self.headers.items())
        by_name = dict(zip(map(str.lower, texts[::2]), texts[1::2], strict=False))
        return by_name if 2 * len(by_name) == len(texts) else dict(self.headers.items())  # a name is repeated

    @property
    def charset(self) -> str | None:
        """The declared charset."""
        return self._declared[1]

    @property
    def _declared(self) -> tuple[str, str | None]:
        return ("application/json", None) if self.stream else _content_type(self.by_name.get("content-type", ""))

    @property
    def file_name(self) -> str | None:
        """The bare file name of the body (RFC 6266 section 4.3), without any path, or None."""
        if "content-disposition" not in self.by_name:
            return None
        parameters = _parameters("content-disposition", self.by_name["content-disposition"])[0]
        names = [value for name, value in parameters if name == "filename"]
        name = collapse_rfc2231_value(names[-1]) if names else ""  # `filename*` comes last, and has precedence
        bare = re.sub(r"[^\w. ()+-]", "_", re.split(r"[/\\]", name)[-1]).strip(". ")
        return bare[-100:] or None

    @property
    def unreadable(self) -> list[str]:
        """The names of the headers of which parameters cannot be read, such as continuations beside a whole value."""
        named = ("content-type", "content-disposition")
        return [name for name in named if name in self.by_name and _parameters(name, self.by_name[name])[1]]

    @property
    def received(self) -> tuple[int, int]:
        """The status, and the bytes of the body, that the API sent: none for a kept answer, and 304 if it is valid."""
        if self.cached:
            return (HTTPStatus.NOT_MODIFIED if self.cached == VALIDATED else self.status), 0
        return self.status, len(self.body)

    @property
    def failed(self) -> bool:
        """Whether the result is an error: a status of 400 and above, or an answer that broke off."""
        return self.status >= 400 or bool(self.problem)


def declared_media_type(headers: httpx.Headers) -> str:
    """Return the declared type in lower case and without parameters, or an empty text."""
    return _content_type(headers.get("content-type", ""))[0]


@lru_cache(maxsize=64)
def _content_type(value: str) -> tuple[str, str | None]:
    """Return the media type in lower case, and the charset; of several values the first counts."""
    first = re.match(r'(?:[^",]|"[^"]*")*', value)
    parameters, _ = _parameters("content-type", first[0] if first else "")
    charset = next((value for name, value in parameters[1:] if name.lower() == "charset"), None)
    return parameters[0][0].strip().lower(), charset if isinstance(charset, str) else None


Parameters = list[tuple[str, str | tuple[str | None, str | None, str]]]


@lru_cache(maxsize=64)
def _parameters(name: str, value: str) -> tuple[Parameters, bool]:
    """Return the value and the parameters of a header, and whether some are left out because they cannot be read.

    HTTP has no continuations (`filename*0=`, RFC 8187 section 3.1). They are read as in mail where they are whole.
    """
    message = Message()
    message[name] = re.sub(r"[\r\n]", " ", value)
    try:
        return cast(Parameters, message.get_params([("", "")], name)), False
    except (TypeError, ValueError, LookupError, AttributeError):
        whole = CONTINUATION.sub("", value)
        return (_parameters(name, whole)[0] if whole != value else [(value.partition(";")[0], "")]), True


#: A parameter that is continued, with its value.
CONTINUATION = re.compile(r";\s*[^;=\s]+\*\d+\*?\s*=\s*(\"[^\"]*\"|[^;]*)")


@lru_cache(maxsize=64)
def reason(status: int, sent: str = "") -> str:
    """Return the status's phrase: the registered one, else the server's own."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return sent
