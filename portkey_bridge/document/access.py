"""What a person says about getting documents from an origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from portkey_bridge.errors import DocumentError
from portkey_bridge.http.policy import HEADERS_FOR_STRANGERS
from portkey_bridge.http.trust import Trust
from portkey_bridge.text import origin_of

#: Headers that another origin gets.
FOR_STRANGERS = (*HEADERS_FOR_STRANGERS, "host", "connection", "if-none-match", "if-modified-since")


@dataclass(frozen=True)
class Access:
    """What a person says about the documents of an origin: the credentials to send there, and what TLS trusts.

    `signer` computes a credential from the request.
    """

    origin: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    trust: Trust = field(default_factory=Trust)
    signer: httpx.Auth | None = field(default=None, repr=False, compare=False)

    def allow(self, request: httpx.Request, host: str) -> None:
        """Add the credentials to a request to the origin, and remove them from any other.

        Raises DocumentError for a redirect from `host` to another one that must be treated differently.
        """
        is_own = origin_of(str(request.url)) == self.origin
        is_repeated = not is_own and any(value in self.query.values() for value in request.url.params.values())
        if is_repeated or self.trust.of(request.url.host) != self.trust.of(host):
            raise DocumentError(host, f"redirects to {request.url.host}", "Use the URL that it leads to.")
        for name in [] if is_own else [name for name in request.headers if name not in FOR_STRANGERS]:
            del request.headers[name]
        if is_own:
            request.headers.update(self.headers)
        if is_own and self.query:
            request.url = request.url.copy_merge_params(self.query)

    def without_credentials(self, url: httpx.URL) -> httpx.URL:
        """Return a URL that was requested as it is shown and kept."""
        for name in self.query:
            url = url.copy_remove_param(name)
        return url.copy_with(userinfo=b"", fragment=None)
