"""Hides secrets in everything that is shown."""

from __future__ import annotations

import base64
import html
import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from portkey_bridge.credentials.escapes import LIKELY, SIGNS, places_of, unescaped
from portkey_bridge.credentials.schemes import base64_text
from portkey_bridge.credentials.variables import OAUTH_SECRETS, VARIABLES_BY_SCHEME

#: Characters from which on a value is redacted: one that is certainly a credential, and one that may be an ordinary
#: word, such as a provider's name used as an API key.
SECRET_LENGTH, WORD_LENGTH = 8, 16

#: Number of secrets obtained at run time that are hidden; older ones have expired long ago.
LEARNED = 64

#: Encodings of two and four bytes a character, in which an answer may repeat a secret.
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


class Redactor:
    """Replaces each secret with the name of its variable, in every form that it may be written in.

    The logins and query values of `urls`, which are named by their variables, are secrets, too. `certain` are variables
    whose values are secrets for sure, `logins` those that contain `user:password`.
    """

    def __init__(
        self,
        secrets: Mapping[str, str],
        urls: Mapping[str, str | None] = {},
        certain: Collection[str] = (),
        logins: Collection[str] = (VARIABLES_BY_SCHEME["http", "basic"],),
    ) -> None:
        certain = {*VARIABLES_BY_SCHEME.values(), *OAUTH_SECRETS, *certain, *logins}
        named = [
            (name, secret)
            for name, value in sorted(secrets.items())
            for secret in _secrets_in(name, value, name in certain, name in logins)
        ]
        named += [(name, secret) for name, url in urls.items() for secret in _secrets_of_url(url or "")]
        self._named = named
        self._learned: deque[tuple[str, str]] = deque(maxlen=LEARNED)
        self._prepare(named)

    def learn(self, name: str, secret: str) -> None:
        """Hide a secret that was obtained while the program runs, such as a token, as `[name]` from now on.

        The last ones are hidden; shorter values than a credential has are not.
        """
        if len(secret) >= SECRET_LENGTH and (name, secret) not in self._learned:
            self._learned.append((name, secret))
            self._prepare([*self._named, *self._learned])

    def _prepare(self, named: Sequence[tuple[str, str]]) -> None:
        """Prepare to find the secrets. The attributes are replaced as a whole, for threads that are redacting."""
        # Of equal secrets the first name counts. The longest come first: one secret may be a part of another.
        masks = {form: f"[{name}]" for name, secret in reversed(named) for form in _forms(secret)}
        self._masks = {form: masks[form] for form in sorted(masks, key=len, reverse=True)}
        self._written = [(form.encode("utf-8", "surrogatepass"), mask.encode()) for form, mask in self._masks.items()]
        known = {plain: mask for form, mask in self._written if len(plain := unescaped(form)) >= SECRET_LENGTH}
        self._unescaped = sorted(known.items(), key=lambda item: len(item[0]), reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        return self.body(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def body(self, body: bytes) -> bytes:
        """Return the body without secrets; the same object if it contains none."""
        for written, shown in self._written:
            if written in body:
                body = body.replace(written, shown)
        for encoding in WIDE if b"\0" in body else ():
            for form, masked in self._masks.items():
                if (wide := form.encode(encoding, "surrogatepass")) in body:
                    body = body.replace(wide, masked.encode(encoding))
        if self._unescaped and any(sign in body for sign in SIGNS) and LIKELY.search(body):
            body = self._without_escaped(body)
        return body

    def _without_escaped(self, body: bytes) -> bytes:
        """Return the body without the secrets of which any character is escaped."""
        text = unescaped(body)
        for secret, mask in self._unescaped:
            if secret in text:
                parts = places_of(
                    body, ((match.start(), match.end()) for match in re.finditer(re.escape(secret), text))
                )
                kept = zip([0, *(end for _, end in parts)], [*(start for start, _ in parts), len(body)], strict=True)
                body = mask.join(body[start:end] for start, end in kept)
                text = unescaped(body)
        return body

    def settled(self, text: str) -> int:
        """Return the length of the beginning of a text in which no secret continues behind its end.

        What follows may be the beginning of a secret, but is not a part of one that began before.
        """
        begun = [at for form in self._masks if (at := _beginning(text, form)) >= 0]
        length = min(begun, default=len(text))
        while across := [at for form in self._masks if 0 <= (at := _across(text, form, length)) < length]:
            length = min(across)
        return length


def _beginning(text: str, form: str) -> int:
    """Return where the longest end of a text is that a secret may begin with; -1 if none is."""
    at = text.find(form[0], max(0, len(text) - len(form) + 1))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(form[0], at + 1)
    return at


def _across(text: str, form: str, place: int) -> int:
    """Return where a secret is that ends behind a place in a text, and begins before it if that is less; else -1."""
    return text.find(form, max(0, place - len(form) + 1), place + len(form) - 1)


def _secrets_in(name: str, value: str, is_certain: bool, is_login: bool) -> Iterator[str]:
    """Yield the secrets in the value of a variable: all of it, and the password of `user:password` alone.

    Of a whole `Authorization` header, what follows the scheme is secret on its own, too.
    """
    is_certain = is_certain or name.endswith("_AUTH") or any(map(str.isdigit, value))
    scheme, _, token = value.partition(" ")
    login = value if is_login else _decoded(token) if scheme.lower() == "basic" else ""
    for secret in (value, token if scheme.isalpha() else "", login.partition(":")[2]):
        if len(secret) >= (SECRET_LENGTH if is_certain or secret != value else WORD_LENGTH):
            yield secret


def _decoded(text: str) -> str:
    """Return what base64 encodes, or nothing if it is something else."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _secrets_of_url(url: str) -> Iterator[str]:
    """Yield the login of a URL, its password alone, and the values of its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    login = unquote(parts.netloc.rpartition("@")[0])
    values = (login, login.partition(":")[2], *(value for _, value in parse_qsl(parts.query)))
    yield from (value for value in values if len(value) >= SECRET_LENGTH)


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written: plain, in a URL, a form, JSON, HTML, and as basic authentication."""
    encoded = quote(secret, safe="")
    in_json = json.dumps(secret)[1:-1]
    yield from (secret, encoded, re.sub("%..", lambda match: match[0].lower(), encoded), quote_plus(secret))
    yield from (in_json, in_json.replace("/", "\\/"), html.escape(secret), base64_text(secret))
