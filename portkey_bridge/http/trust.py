"""Which certificates are trusted, and which one is presented, for each host."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from portkey_bridge.errors import SettingsError


@dataclass(frozen=True)
class Trust:
    """What a person says about TLS. CA bundles of the environment are trusted, too; `passphrase` opens the key.

    The client certificate is presented to the hosts in `presented_to` only, and no certificate of a host in `insecure`
    is verified.
    """

    ca_bundle: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    passphrase: str = field(default="", repr=False)
    insecure: frozenset[str] = frozenset()
    presented_to: frozenset[str] = field(default=frozenset(), compare=False)

    def of(self, host: str) -> HostTrust:
        """Return what counts for a host."""
        return HostTrust(self, host not in self.insecure, self.client_cert is not None and host in self.presented_to)


@dataclass(frozen=True)
class HostTrust:
    """What counts for a host: the same for all hosts that are treated alike."""

    trust: Trust
    is_verified: bool
    is_presented: bool

    def context(self) -> ssl.SSLContext:
        """Return a context for connections. Raises SettingsError for certificates that cannot be used."""
        return _context(self)


def _context(host: HostTrust) -> ssl.SSLContext:
    trust = host.trust
    context = httpx.create_ssl_context(verify=host.is_verified)
    context.set_alpn_protocols(["http/1.1"])
    if trust.ca_bundle is not None and host.is_verified:
        try:
            context.load_verify_locations(cafile=trust.ca_bundle)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"--ca-bundle {trust.ca_bundle}: not a file of PEM certificates ({error}).") from error
    if trust.client_cert is not None and host.is_presented:
        try:
            context.load_cert_chain(trust.client_cert, trust.client_key, trust.passphrase or _refuse_passphrase)
        except (OSError, ssl.SSLError) as error:
            key = trust.client_key or trust.client_cert
            raise SettingsError(
                f"--client-cert {trust.client_cert}: the certificate or its key in {key} cannot be used ({error}). Use "
                "PEM files; --client-key names the key if it is in another file than the certificate, and "
                "--client-key-passphrase the variable of its passphrase."
            ) from error
    return context


def _refuse_passphrase() -> str:
    raise SettingsError(
        "the key of --client-cert has a passphrase. Set a variable to it, and name that with --client-key-passphrase."
    )
