"""Text that is safe to show: on a terminal, and without the secrets of a URL."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def printable(text: str) -> str:
    """Return the text in one line, without characters that a terminal interprets."""
    return "".join(character if character.isprintable() else " " for character in text)


def shown_url(url: str) -> str:
    """Return a URL without its login, query and fragment, any of which may be a secret. Other text is returned as is.

    Every URL of a setting or document that is shown goes through this function.
    """
    if "://" not in url:
        return printable(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return printable(re.sub(r"//[^/?#]*@", "//", url)).partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    return printable(parts._replace(netloc=host, query="…" if parts.query else "", fragment="").geturl())


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
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")
