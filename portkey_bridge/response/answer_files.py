"""Files from answers, kept as long as large results are, and read by their URIs.

A kept file is a JSON text like every kept result, so it has the same owner, the same bounds and the same store.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple
from urllib.parse import quote

import msgspec

#: The scheme and authority of the URIs (RFC 3986 section 3); the id of the kept result and the name of the file follow.
PREFIX = "portkey-bridge://answers/"

_URI = re.compile(rf"{re.escape(PREFIX)}([0-9a-f]+)/[^/]*")


class AnswerFile(NamedTuple):
    """A file: its name, media type and bytes."""

    name: str
    mimeType: str  # as the protocol has it
    blob: bytes


def kept_text(file: AnswerFile) -> bytes:
    """Return the JSON text that a file is kept as: an object with `name`, `mimeType`, and the bytes as base64."""
    return msgspec.json.encode(
        {"name": file.name, "mimeType": file.mimeType, "blob": base64.b64encode(file.blob).decode()}
    )


def file_of(text: bytes) -> AnswerFile | None:
    """Return the file that a kept JSON text is, None if it is anything else."""
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
        return AnswerFile(found["name"], found["mimeType"], base64.b64decode(found["blob"], validate=True))
    except (msgspec.MsgspecError, LookupError, ValueError):
        return None


def uri_of(result_id: str, name: str) -> str:
    """Return the URI of a kept file."""
    return f"{PREFIX}{result_id}/{quote(name, safe='')}"


def id_in(uri: str) -> str | None:
    """Return the id of the kept file that a URI names, None for any other URI."""
    match = _URI.fullmatch(uri)
    return match[1] if match else None
