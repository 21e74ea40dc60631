"""Text that is safe to show: on a terminal, and without the secrets of a URL."""

from __future__ import annotations

import json
import re
import unicodedata
from urllib.parse import urlsplit

#: Characters that nobody sees, as a set of a regular expression: Default_Ignorable_Code_Point (Unicode Standard Annex
#: 44) and annotations. Some hide text from people, others reorder what they see.
_INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)

INVISIBLE = re.compile(f"[{_INVISIBLE}]")

#: Those, and the selectors between text and emoji, of which one may be behind a visible character, which has two looks.
HIDDEN = re.compile(rf"[{_INVISIBLE}]|(?:^|(?<=[{_INVISIBLE}\ufe0e\ufe0f]))[\ufe0e\ufe0f]")


def without_invisible(text: str) -> str:
    """Return the text without characters that nobody sees, for readers that see them: models."""
    return HIDDEN.sub("", text)


def escaped(text: str) -> str:
    """Return the text with all characters that a terminal interprets or does not show as JSON escapes; lines stay."""
    return "".join(
        character if _is_shown(character) else json.dumps(character)[1:-1] for character in text.replace("\r\n", "\n")
    )


def _is_shown(character: str) -> bool:
    is_blank = character in "\n\t" or unicodedata.category(character) == "Zs"
    return is_blank or (character.isprintable() and not INVISIBLE.match(character))


def printable(text: str) -> str:
    """Return the text in one line, without characters that a terminal interprets."""
    return "".join(character if character.isprintable() else " " for character in text)


def is_url(source: str) -> bool:
    """Check whether a source or URI is one of http or https."""
    return source[:8].lower().startswith(("http://", "https://"))


#: A login at the beginning of what was probably meant as a URL.
_LOGIN = re.compile(r"^(https?:/*)?[^/\\?#@]*:[^/\\?#@]*@", re.IGNORECASE)


def shown_url(url: str) -> str:
    """Return a URL without its login, query and fragment, any of which may be a secret. A path is returned as is.

    Every URL of a setting or document that is shown goes through this function.
    """
    if "://" not in url:
        path, mark, _ = _LOGIN.sub(r"\1", url).partition("?")
        return printable(path + ("?…" if mark else ""))
    try:
        parts = urlsplit(url)
    except ValueError:
        return printable(re.sub(r"//[^/?#]*@", "//", url)).partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    return printable(parts._replace(netloc=host, query="…" if parts.query else "", fragment="").geturl())


def shown_reference(reference: str) -> str:
    """Return a `$ref` of which the URL is shown by `shown_url`, with its fragment, which leads to a part."""
    url, mark, fragment = reference.partition("#")
    return f"{shown_url(url)}{mark}{printable(fragment)}"


def with_shown_urls(text: str) -> str:
    """Return a text in which every URL of http or https is shown by `shown_url`."""
    return re.sub(r"https?://[^\s\"'<>\\]+", lambda url: shown_url(url[0]), text)


def origin_of(url: str | None) -> str | None:
    """Return the origin of a URL (RFC 6454 section 6.2), such as `https://api.example.com`; None where it has none."""
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else _ascii_host(parts.hostname)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")


def _ascii_host(host: str) -> str:
    """Return a host name as it is sent (RFC 5891); one that cannot be sent is returned as is."""
    if host.isascii():
        return host
    import idna  # slow to import, and seldom needed

    try:
        return idna.encode(host).decode()
    except UnicodeError:
        return host


def is_sendable(url: str) -> bool:
    """Check whether httpx can send to a URL. It refuses hosts that urllib takes, such as `256.1.1.1` and `xn--a`."""
    import httpx  # slow to import, and loaded anyway where requests are sent

    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False
