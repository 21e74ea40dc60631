"""The pages: each is one HTML document that loads nothing and allows no other script or style than its own."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

#: The style of all pages, and the template and the scripts of each: the reference, alone and with calls, and logins.
STYLE = "reference.css"
READING_FILES = ("reference.html", "elements.js", "reference.js")
CALLING_FILES = (*READING_FILES, "asking.js", "fields.js", "login.js", "calls.js")
CONNECTING_FILES = ("connect.html", "elements.js", "asking.js", "login.js", "connect.js")


class PageDocument(NamedTuple):
    """An HTML document, and the Content-Security-Policy that it needs (CSP Level 3)."""

    text: str
    policy: str


def page_document(title: str, data: Any, *, calls: bool = False) -> PageDocument:
    """Return a page that carries its data as JSON. One that `calls` also reaches the server that it came from."""
    return _document(CALLING_FILES if calls else READING_FILES, title, data)


def login_document(said: str = "", *, has_ended: bool = False) -> PageDocument:
    """Return the page on which callers log in, or the one that says how a login `has_ended`."""
    return _document(CONNECTING_FILES, "Your accounts", {"access": {}, "ended": has_ended}, said)


def _document(files_of_it: Sequence[str], title: str, data: Any, said: str = "") -> PageDocument:
    template, *scripts = files_of_it
    style, script = _read(STYLE), "\n".join(map(_read, scripts))
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",
        **({"media-src": "data:", "connect-src": "'self'"} if "asking.js" in scripts else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    stated = "; ".join(f"{name} {value}" for name, value in policy.items())
    # Inside a script element only `<` could end it (HTML section 4.12.1.3).
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"POLICY": stated, "TITLE": html.escape(title), "STYLE": style, "SCRIPT": script, "DATA": written}
    parts["SAID"] = html.escape(said)
    pieces = _read(template).split("__")  # so that nothing is looked for in what is filled in
    return PageDocument("".join(parts.get(piece, piece) for piece in pieces), stated)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _read(name: str) -> str:
    return (files("portkey_bridge.web") / "page" / name).read_text(encoding="utf-8")
