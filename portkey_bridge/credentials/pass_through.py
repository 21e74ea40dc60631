"""Credentials that each caller sends along with a request, in a header that is named explicitly."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.origins import Origins
from portkey_bridge.credentials.provider import CREDENTIAL_STATUSES, Provider
from portkey_bridge.credentials.schemes import Credential, needs_credential
from portkey_bridge.credentials.variables import variable
from portkey_bridge.errors import CallError
from portkey_bridge.openapi.model import Operation, Place, SecurityScheme
from portkey_bridge.text import origin_of

#: The header of most credentials (RFC 9110 section 11.6.2), which begin with the name of their scheme.
AUTHORIZATION = "authorization"


@dataclass(frozen=True)
class PassedThrough(Provider):
    """One header of the caller's own request as it is, and nothing else: the server has no credentials.

    It goes to the schemes that take it: an API key in a header of that name, and if it is `Authorization`, what begins
    with the name of the scheme. Where the document declares none that does, `home` is the origin that gets it, with
    every operation. `header` is in lower case; `url_of` and `origins` decide where it may go.
    """

    header: str
    url_of: Callable[[Operation], str | None]
    origins: Origins
    home: str | None = None

    @property
    def holds_secrets(self) -> bool:
        """Return False: every call carries its caller's own credential."""
        return False

    @property
    def name(self) -> str:
        """What the header is called where a variable would be."""
        return self.header.upper().replace("-", "_")

    def secret(self, caller: Caller) -> str | None:
        """Return the value of the caller's header, None if there is none."""
        return caller.headers.get(self.header) or None

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the caller's credential for the schemes that take it. Raises CallError if the caller sent none."""
        value = self.secret(caller) or ""
        if value and not (value.isascii() and value.isprintable()):
            raise CallError(f"Nothing was sent: the header {self.header} has characters that no credential has.")
        taken = {variable(scheme) or "" for scheme in self._taking(operation) if value and self._fits(scheme, value)}
        if needs_credential(operation.security, taken, filled):
            if not self._taking(operation):
                raise CallError(f"Nothing was sent: the API takes no credential in the header {self.header} here.")
            raise CallError(f"Nothing was sent: {self._remedy(operation)}.")
        if not value or not (taken or self._is_home(operation)):
            return ()
        refusals = self.origins.refusals([self.name], self.url_of(operation))
        if refusals:
            raise CallError(f"Nothing was sent: {refusals[self.name]}.")
        self.origins.used([self.name])
        written = next((scheme.name for scheme in self._taking(operation)), self.header)
        return (Credential(self.name, "header", written, value),)

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return whether the rejected request carried the caller's header."""
        value = self.secret(caller)
        if status not in CREDENTIAL_STATUSES:
            return []
        is_taken = value and any(self._fits(scheme, value) for scheme in self._taking(operation))
        if is_taken or (value and self._is_home(operation)):
            return [f"The request carried the header {self.header} of your own request: check its value."]
        if not self._taking(operation) and not self._is_home(operation):
            return [f"The document declares no credential in the header {self.header} here, so none was sent."]
        return [f"Nothing was sent as a credential: {self._remedy(operation)}."]

    def _remedy(self, operation: Operation) -> str:
        schemes = [scheme.scheme.capitalize() for scheme in self._taking(operation) if scheme.type != "apiKey"]
        beginning = f", which begins with {' or '.join(dict.fromkeys(schemes))}" if schemes else ""
        where = f"the header {self.header} of each request to this server"
        return f"send your own credential for this API in {where}{beginning}"

    def _is_home(self, operation: Operation) -> bool:
        return self.home is not None and origin_of(self.url_of(operation)) == self.home

    def _taking(self, operation: Operation) -> list[SecurityScheme]:
        return [scheme for scheme in chain(*operation.security) if takes_header(scheme, self.header)]

    @staticmethod
    def _fits(scheme: SecurityScheme, value: str) -> bool:
        return scheme.type == "apiKey" or value.lower().startswith(f"{scheme.scheme} ")


def takes_header(scheme: SecurityScheme, header: str) -> bool:
    """Check whether the credential of a scheme goes into the header of this name in lower case."""
    return scheme.location == "header" and scheme.name.lower() == header
