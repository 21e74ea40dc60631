"""Strings that stand for bytes (OpenAPI 3.0.4 section 4.7.14.2, 3.1.1 section 4.8.14.3)."""

from __future__ import annotations

from portkey_bridge import media_types
from portkey_bridge.openapi.keywords import Shape

#: Keywords without which no string represents bytes.
OF_BYTES = frozenset({"format", "contentEncoding", "contentMediaType"})


def is_bytes(string: Shape) -> bool:
    """Check whether a string is the bytes themselves. One that contains JSON or other text is that text."""
    if string.get("format") == "binary":
        return True
    contained = string.get("contentMediaType") if "contentEncoding" not in string else None
    return contained is not None and not media_types.is_text(contained)


def alphabet(string: Shape) -> str | None:
    """Return the alphabet that a string of base64 wants, `base64` or `base64url` (RFC 4648); None for any other.

    Besides `byte`, OpenAPI 3.0.3 section 4.7.14.2 has `format: base64`, and the registry of formats has `base64url`.
    """
    stated = string.get("format")
    encoding = str(string.get("contentEncoding", "base64" if stated == "byte" else stated)).lower()
    return encoding if encoding in ("base64", "base64url") else None


def byte_format(string: Shape) -> str | None:
    """Return the `format` by which OpenAPI 3.0 says that a string stands for bytes, `binary` or `byte`."""
    if OF_BYTES.isdisjoint(string):
        return None
    return "binary" if is_bytes(string) else "byte" if alphabet(string) else None
