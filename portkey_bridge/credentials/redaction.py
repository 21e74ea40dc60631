"""Hides secrets in everything that is shown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from portkey_bridge.credentials.schemes import _base64
from portkey_bridge.credentials.variables import VARIABLES

#: Characters from which on a value is taken out of everything that is shown: what is a credential for certain, and
#: what may be a word that answers contain for other reasons, such as a provider's name instead of an API key.
SECRET_LENGTH, WORD_LENGTH = 8, 16


#: Encodings of two and four bytes a character, in which an answer may repeat a secret.
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


class Redactor:
    """Replaces each secret by its variable's name, in whatever form it is written."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        masks = {
            form: f"[{name}]"
            for name, value in sorted(secrets.items(), reverse=True)  # of equal secrets the first name counts
            for secret in _secrets_in(name, value)
            for form in _forms(secret)
        }
        # The longest first: one secret may be a part of another.
        self._masks = {form: masks[form] for form in sorted(masks, key=len, reverse=True)}

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for form, mask in self._masks.items():
            text = text.replace(form, mask)
        return text

    def body(self, body: bytes) -> bytes:
        """Return the body without secrets; the same object if there are none in it."""
        for encoding in ("utf-8", *(WIDE if b"\0" in body else ())):
            for form, mask in self._masks.items():
                if (written := form.encode(encoding)) in body:
                    body = body.replace(written, mask.encode(encoding))
        return body


def _secrets_in(name: str, value: str) -> Iterator[str]:
    """Yield what is secret in the value of a variable: all of it, and the password of `user:password` alone."""
    is_certain = name in VARIABLES.values() or name.endswith("_AUTH") or any(map(str.isdigit, value))
    if len(value) >= (SECRET_LENGTH if is_certain else WORD_LENGTH):
        yield value
    password = value.partition(":")[2] if name == VARIABLES["http", "basic"] else ""
    if len(password) >= SECRET_LENGTH:
        yield password


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written: plain, in a URL, a form, JSON, HTML, and as basic authentication."""
    encoded = quote(secret, safe="")
    in_json = json.dumps(secret)[1:-1]
    yield from (secret, encoded, re.sub("%..", lambda match: match[0].lower(), encoded), quote_plus(secret))
    yield from (in_json, in_json.replace("/", "\\/"), html.escape(secret), _base64(secret))
