"""The page of the reference: one HTML document that loads nothing and allows no other script or style than its own."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

#: The files of the page, and the scripts of one that also calls tools.
TEMPLATE, STYLE = "reference.html", "reference.css"
READING, CALLING = ("reference.js",), ("reference.js", "fields.js", "login.js", "calls.js")


class PageDocument(NamedTuple):
    """An HTML document, and the Content-Security-Policy that it needs (CSP Level 3)."""

    text: str
    policy: str


def page_document(title: str, data: Any, *, calls: bool = False) -> PageDocument:
    """Return a page that carries its data as JSON. One that `calls` also reaches the server that it came from."""
    style, script = _read(STYLE), "\n".join(map(_read, CALLING if calls else READING))
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",
        **({"media-src": "data:", "connect-src": "'self'"} if calls else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    said = "; ".join(f"{name} {value}" for name, value in policy.items())
    # Inside a script element only `<` could end it (HTML section 4.12.1.3).
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"POLICY": said, "TITLE": html.escape(title), "STYLE": style, "SCRIPT": script, "DATA": written}
    pieces = _read(TEMPLATE).split("__")  # so that nothing is looked for in what is filled in
    return PageDocument("".join(parts.get(piece, piece) for piece in pieces), said)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _read(name: str) -> str:
    return (files("portkey_bridge.serve") / "page" / name).read_text(encoding="utf-8")
