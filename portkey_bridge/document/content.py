"""The bytes of a document, before they are parsed."""

from __future__ import annotations

from dataclasses import dataclass

from portkey_bridge.errors import DocumentError

#: Bytes of a document, compressed or not.
MAX_DOCUMENT_BYTES = 100_000_000


@dataclass(frozen=True)
class Content:
    """The bytes of a document: `source` as a person knows it, `uri` to resolve against, `notes` to say of it."""

    source: str
    uri: str
    data: bytes
    notes: tuple[str, ...] = ()


def bounded(source: str, data: bytes) -> bytes:
    """Return the bytes of a document. Raises DocumentError if there are more than MAX_DOCUMENT_BYTES."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise too_large(source)
    return data


def too_large(source: str) -> DocumentError:
    """Return the refusal of a document of more than MAX_DOCUMENT_BYTES."""
    return DocumentError(source, f"larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB", "Split the document.")
