"""Explains failed exchanges in sentences that name the remedy."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from portkey_bridge.settings.options import key_in_file
from portkey_bridge.settings.values import Timeouts

MOST_REDIRECTS = 5


Sentences = tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]
"""What is said of a failure, by its kind; a sentence without its end."""


class UnaskedCoding(httpx.DecodingError):
    """An answer uses a compression that was not requested."""


class TooLarge(Exception):
    """An answer is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"larger than {limit:,} bytes")


#: What an exchange may fail with.
EXCHANGE_FAILURES = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, TooLarge)


#: The options that sentences name, by their fields.
NAMED_OPTIONS = {
    "timeouts": "OPEN_MCP_TIMEOUTS",
    "kept_results": "OPEN_MCP_KEPT_RESULTS",
    "base_url": "OPEN_MCP_BASE_URL",
    "ca_bundle": "--ca-bundle",
    "client_cert": "--client-cert",
}


def explain_failure(error: BaseException, host: str, timeouts: Timeouts, own: Sentences = (), api: str = "") -> str:
    """Report what went wrong, and what can be done, in a sentence without its end. `own` sentences go before SENTENCES.

    `api` is the name of the API in a settings file, if there is one: then keys in its table are named.

    httpx's own texts are not used: they may hold the URL, and a URL may hold a secret.
    """
    found = list(causes(error))
    for kind, sentence in (*own, *SENTENCES):
        if any(isinstance(cause, kind) for cause in found):
            return sentence.format(
                host=host,
                limit=getattr(error, "limit", 0) // 1_000_000,
                connect=timeouts.connect,
                read=timeouts.read,
                whole=timeouts.whole,
                **{field: key_in_file(api, field) or usual for field, usual in NAMED_OPTIONS.items()},
            )
    return f"the exchange with {host} broke off"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, what it came from, and the members of groups among them."""
    while error is not None:
        yield error
        for member in getattr(error, "exceptions", ()):
            yield from causes(member)
        error = error.__cause__ or error.__context__


#: Sentences for a host that the API redirected to, instead of those that concern the base URL.
AFTER_REDIRECT: Sentences = (
    (ssl.SSLCertVerificationError, "the TLS certificate of {host} is not trusted"),
    (ssl.SSLError, "no TLS connection to {host} could be made"),
    (socket.gaierror, "the name {host} could not be resolved"),
    (ConnectionRefusedError, "{host} refused the connection"),
    (httpx.ConnectTimeout, "{host} did not accept the connection within {connect:g} seconds"),
    (httpx.ConnectError, "there was no connection to {host}"),
)


#: Sentences for a host that ends a TLS connection without an answer, as one does that wants a client certificate.
WITHOUT_CERTIFICATE: Sentences = tuple(
    (kind, f"{{host}} {did}; if it wants a client certificate, {{client_cert}} presents one")
    for kind, did in (
        (httpx.WriteError, "closed the connection while the request was being sent"),
        (httpx.ReadError, "reset the connection"),
        (httpx.RemoteProtocolError, "closed the connection or violated HTTP"),
    )
)


#: What is said of a failure: the first entry that is found among the error and its causes.
SENTENCES: Sentences = (
    (
        TooLarge,
        "the answer is larger than {limit} MB and was not read to its end; ask for less of it, by filters or pages, "
        "or raise {kept_results}",
    ),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate of {host} is not trusted; if it is signed by your own authority, name its certificates by "
        "{ca_bundle} or set SSL_CERT_FILE to them",
    ),
    (
        ssl.SSLError,
        "no TLS connection to {host} could be made; check the URL's scheme and port, and whether it wants a "
        "client certificate ({client_cert})",
    ),
    ((socket.gaierror, UnicodeError), "the name {host} could not be resolved; check the base URL and the network"),
    (ConnectionRefusedError, "{host} refused the connection; check the port and whether the service is running"),
    (httpx.ProxyError, "the proxy from the environment did not pass the request on"),
    (httpx.ConnectTimeout, "{host} did not accept the connection within {connect:g} seconds"),
    (httpx.ConnectError, "could not connect to {host}; check the base URL and whether the service is running"),
    (httpx.PoolTimeout, "no connection is free; there are too many concurrent calls"),
    (httpx.WriteTimeout, "{host} took too long to accept the request"),
    (httpx.ReadTimeout, "{host} sent nothing for {read:g} seconds; {timeouts} allows more time"),
    (httpx.WriteError, "{host} closed the connection while the request was being sent"),
    (httpx.ReadError, "{host} reset the connection"),
    (UnaskedCoding, "the answer uses a compression that was not requested"),
    (httpx.DecodingError, "the compressed answer is damaged"),
    (httpx.TooManyRedirects, "the API redirected more than {most} times".replace("{most}", str(MOST_REDIRECTS))),
    (httpx.RemoteProtocolError, "{host} closed the connection or violated HTTP"),
    (
        (httpx.UnsupportedProtocol, httpx.InvalidURL),
        "the server's URL is not an http or https URL; set {base_url}",
    ),
    (TimeoutError, "it was not complete within {whole:g} seconds; {timeouts} allows more time"),
)
