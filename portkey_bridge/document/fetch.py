"""Fetches a document from a URL, and keeps the last good copy for when it is unavailable.

No credential is sent except for a login in the URL itself, and those that a person names for its origin. Neither is
shown anywhere, and another origin that a redirect leads to gets none.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx
from httpx import USE_CLIENT_DEFAULT

from portkey_bridge import __version__
from portkey_bridge.document import cache
from portkey_bridge.document.access import Access
from portkey_bridge.document.content import MAX_DOCUMENT_BYTES, Content, too_large
from portkey_bridge.errors import DocumentError
from portkey_bridge.http.failures import Sentences, explain_failure
from portkey_bridge.settings.values import Timeouts
from portkey_bridge.text import shown_url

#: Seconds for connecting, for each read, and for all of it.
TIMEOUTS = Timeouts(connect=10, read=30, whole=120)

MAX_REDIRECTS = 5

#: Requested media types (RFC 9110 section 12.5.1), the registered types of OpenAPI documents first.
DOCUMENT_HEADERS = {
    "accept": "application/vnd.oai.openapi+json, application/vnd.oai.openapi, application/json, application/yaml, */*",
    "user-agent": f"portkey-bridge/{__version__}",
}

#: Sentences that differ from those about an API: no setting changes how a document is fetched.
DOCUMENT_SENTENCES: Sentences = (
    ((socket.gaierror, UnicodeError), "the name {host} could not be resolved"),
    (httpx.ReadTimeout, "{host} sent nothing for {read:g} seconds"),
    ((httpx.UnsupportedProtocol, httpx.InvalidURL), "not a complete http or https URL"),
    (TimeoutError, "the response was not complete within {whole:g} seconds"),
)

BEHIND_LOGIN = (
    "If --header, --query, --cookie or --scheme has its credential, name it for this origin, too, by "
    "--credentials VARIABLE@ORIGIN; else download the document and use --spec with the file."
)

#: Remedies by status; `{host}` is the host of the document.
REMEDIES_BY_STATUS = {401: BEHIND_LOGIN, 403: BEHIND_LOGIN, 404: "Correct the URL.", 410: "Correct the URL."}


class _Copy(NamedTuple):
    """A document as it was answered: the URL behind all redirects, its validators (RFC 9110 section 8.8), its bytes."""

    uri: str
    etag: str
    modified: str
    fetched: str
    data: bytes

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for nothing but a newer version (RFC 9110 section 13.1)."""
        named = {"if-none-match": self.etag, "if-modified-since": self.modified}
        return {name: value for name, value in named.items() if value}


class Copies(Protocol):
    """Copies that other processes have, too, by the names of their entries in the cache."""

    def read(self, name: str, /) -> bytes | None:
        """Return a copy, or None if there is none."""

    def write(self, name: str, copy: bytes, /) -> None:
        """Keep a copy."""


_shared: Copies | None = None


def share_copies(copies: Copies) -> None:
    """Keep the last good copies there, too, and take those from there that this machine does not have."""
    global _shared
    _shared = copies


class _Away(Exception):
    """The document is unavailable now; the message says why."""


def fetch(
    url: str, refuse: Callable[[str], None] = lambda _: None, access: Access | None = None, *, from_copy: bool = False
) -> Content:
    """Fetch the document at `url`, or return the last good copy with a note. Raises DocumentError.

    `refuse` raises DocumentError for a URL that must not be asked, and is asked about each redirect, too. `access` has
    the credentials for it. With `from_copy`, nothing is asked if there is a copy.
    """
    source, name = shown_url(url), cache.name_of("document", [url.encode()])
    refuse(url)
    kept = _kept(name)
    if kept is not None and from_copy:
        refuse(kept.uri)
        return Content(source, kept.uri, kept.data)
    try:
        copy = _ask(url, kept, refuse, access or Access())
    except _Away as error:
        if kept is None:
            raise DocumentError(source, f"cannot be fetched: {error}", "Check the URL and the network.") from error
        return Content(source, kept.uri, kept.data, (f"{source}: {error}. Using the copy of {kept.fetched}.",))
    if kept is None or (kept.uri, kept.conditions, kept.data) != (copy.uri, copy.conditions, copy.data):
        kept = copy
        cache.write(name, _entry(kept))
    if _shared is not None:
        _shared.write(name, _entry(kept))
    return Content(source, copy.uri, copy.data)


def copy_path(url: str) -> Path:
    """Return the file of the last good copy of a URL, which need not exist."""
    return cache.cache_folder() / cache.name_of("document", [url.encode()])


def _kept(name: str) -> _Copy | None:
    entry = cache.read_entry(name) or (_shared.read(name) if _shared is not None else None)
    head, _, data = (entry or b"").partition(b"\n")
    return _Copy(**json.loads(head), data=data) if head else None


def _entry(copy: _Copy) -> bytes:
    head = {name: value for name, value in copy._asdict().items() if name != "data"}
    return json.dumps(head).encode() + b"\n" + copy.data


def _ask(url: str, kept: _Copy | None, refuse: Callable[[str], None], access: Access) -> _Copy:
    def look(request: httpx.Request) -> None:
        refuse(str(request.url))
        access.allow(request, httpx.URL(url).host)

    timeout = httpx.Timeout(TIMEOUTS.read, connect=TIMEOUTS.connect)
    conditions = kept.conditions if kept else {}
    try:
        with (
            httpx.Client(
                timeout=timeout,
                follow_redirects=True,
                max_redirects=MAX_REDIRECTS,
                event_hooks={"request": [look]},
                verify=access.trust.of(httpx.URL(url).host).context(),
            ) as client,
            client.stream(
                "GET", url, headers={**DOCUMENT_HEADERS, **conditions}, auth=access.signer or USE_CLIENT_DEFAULT
            ) as response,
        ):
            return _answered(response, url, kept, access)
    except httpx.TooManyRedirects as error:
        raise DocumentError(
            shown_url(url), f"more than {MAX_REDIRECTS} redirects", "Use the URL that they lead to."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:  # the last of a name that IDNA refuses
        raise _Away(
            explain_failure(error, urlsplit(url).hostname or "the host", TIMEOUTS, DOCUMENT_SENTENCES)
        ) from error


def _answered(response: httpx.Response, url: str, kept: _Copy | None, access: Access) -> _Copy:
    if response.status_code == httpx.codes.NOT_MODIFIED and kept:
        return kept
    status = f"the response is {response.status_code} {response.reason_phrase}".rstrip()
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _Away(status)
    if response.status_code != httpx.codes.OK:
        raise DocumentError(shown_url(url), status, REMEDIES_BY_STATUS.get(response.status_code, "Check the URL."))
    return _Copy(
        uri=str(access.without_credentials(response.url)),
        etag=response.headers.get("etag", ""),
        modified=response.headers.get("last-modified", ""),
        fetched=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        data=_body(response, url),
    )


def _body(response: httpx.Response, url: str) -> bytes:
    ends, data = monotonic() + TIMEOUTS.whole, bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > MAX_DOCUMENT_BYTES:
            raise too_large(shown_url(url))
        if monotonic() > ends:
            raise TimeoutError
    return bytes(data)
