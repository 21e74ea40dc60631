"""JSON pointers (RFC 6901): written, as URI fragments, and followed behind each `$ref` inside one document."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

from jsonpointer import JsonPointerException, escape, resolve_pointer, unescape

from portkey_bridge.errors import DanglingReference


class PointerToNowhere(LookupError):
    """A pointer names nothing: `prefix` is the longest part that exists, `available` what can be appended to it."""

    def __init__(self, pointer: str, prefix: str, available: list[str]) -> None:
        self.pointer = pointer
        self.prefix = prefix
        self.available = available
        near = difflib.get_close_matches(pointer[len(prefix) :], available, n=1, cutoff=0.4)
        hint = f" Did you mean {prefix}{near[0]}?" if near else ""
        there = ", ".join(available[:40]) or "nothing"
        super().__init__(f"Nothing is at {pointer}.{hint} {prefix or 'The top level'} exists; below it: {there}")


def is_reference(value: Any) -> bool:
    """Check whether a value is an object with a `$ref`."""
    return isinstance(value, dict) and isinstance(value.get("$ref"), str)


def lookup(root: Any, reference: str) -> Any:
    """Return the value that a local reference such as `#/components/schemas/Pet` names in `root`.

    Raises DanglingReference where there is none, or where the reference leaves the document.
    """
    if not reference.startswith("#"):
        raise DanglingReference(reference, "the document that it names is missing")
    try:
        return resolve_pointer(root, unquote(reference[1:]))
    except (JsonPointerException, TypeError) as error:
        raise DanglingReference(reference, "the reference leads nowhere") from error


def follow(root: Any, value: Any) -> Any:
    """Follow `value` while it is an object with a `$ref`, and return the value at the end.

    Raises DanglingReference for a reference to nothing, and for a circle of references.
    """
    seen: set[str] = set()
    while isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
        if reference in seen:
            raise DanglingReference(reference, "the reference leads back to itself")
        seen.add(reference)
        value = lookup(root, reference)
    return value


def object_at(root: Any, value: Any) -> dict[str, Any]:
    """Return the object that a value is or refers to, or an empty one where there is none."""
    try:
        found = follow(root, value)
    except DanglingReference:
        return {}
    return found if isinstance(found, dict) else {}


def encode_token(token: str) -> str:
    """Write a token of a pointer for a URI fragment (RFC 6901 section 6)."""
    if token.isalnum() and token.isascii():
        return token
    return quote(escape(token), safe="~!$&'()*+,;=:@", errors="replace")


def decode_token(token: str) -> str:
    """Read a token of a pointer from a URI fragment (RFC 6901 section 6)."""
    return str(unescape(unquote(token)))


def pointer_to(path: Iterable[str | int]) -> str:
    """Write a path inside a value as a JSON pointer (RFC 6901 section 3)."""
    return "".join(f"/{escape(str(part))}" for part in path)
