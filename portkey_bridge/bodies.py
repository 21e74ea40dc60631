"""Request bodies: a value becomes the bytes of its media type. The table ENCODERS is open for more of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from portkey_bridge.errors import CallError
from portkey_bridge.operations import MediaType

Encoded = tuple[bytes, str]
"""The bytes of a body, and the value of its `Content-Type`."""


def encode_json(value: Any, media_type: MediaType) -> Encoded:
    """Encode `application/json` and every `+json` (RFC 8259)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), media_type.name


#: Which encoder a media type takes: the first pattern that matches.
ENCODERS: tuple[tuple[str, Callable[[Any, MediaType], Encoded]], ...] = (
    (r"application/json\b|[^;]*\+json\b", encode_json),
)


def encode_body(value: Any, media_type: MediaType) -> Encoded:
    """Encode a body. Raises CallError for a media type that has no encoder."""
    for pattern, encode in ENCODERS:
        if re.match(pattern, media_type.name, re.IGNORECASE):
            return encode(value, media_type)
    raise CallError(f"Nothing was sent: a body of type {media_type.name} cannot be written yet.")
