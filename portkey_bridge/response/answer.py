"""A complete HTTP response, before it is rendered."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from http import HTTPStatus

import httpx


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
    """Return the media type in lower case, and the charset; of several values the first counts."""
    first = re.match(r'(?:[^",]|"[^"]*")*', value)
    declared = _header("content-type", first[0] if first else "")
    charset = declared.get_param("charset")
    return declared.get_params([("", "")])[0][0].strip().lower(), charset if isinstance(charset, str) else None


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = re.sub(r"[\r\n]", " ", value)
    return message


def reason(status: int, sent: str = "") -> str:
    """Return the status's phrase: the registered one, else the server's own."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return sent
