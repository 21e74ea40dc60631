"""Credentials that each caller sends along with a request, in a header that is named explicitly."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.provider import CREDENTIAL_STATUSES
from portkey_bridge.credentials.schemes import Credential, credentials, needs_credential
from portkey_bridge.credentials.variables import variable
from portkey_bridge.errors import CallError
from portkey_bridge.openapi.model import Operation, Place, SecurityScheme
from portkey_bridge.response.answer import Answer

#: The header of bearer tokens (RFC 6750 section 2.1), and what stands before a token.
AUTHORIZATION, BEARER = "authorization", "bearer "


@dataclass(frozen=True)
class PassedThrough:
    """The value of one header of the caller's own request, and nothing else: the server has no credentials.

    It goes to the schemes that take it: an API key in a header of that name, and bearer tokens if it is
    `Authorization`. `header` is in lower case.
    """

    header: str

    @property
    def holds_secrets(self) -> bool:
        """Return False: every call carries its caller's own credential."""
        return False

    def secret(self, caller: Caller) -> str | None:
        """Return what is secret in the caller's header: a bearer token without its prefix."""
        value = caller.headers.get(self.header, "")
        if self.header == AUTHORIZATION:
            value = value[len(BEARER) :].strip() if value.lower().startswith(BEARER) else ""
        return value or None

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the caller's credential for the schemes that take it. Raises CallError if the caller sent none."""
        secret = self.secret(caller)
        if secret is not None and not (secret.isascii() and secret.isprintable()):
            raise CallError(f"Nothing was sent: the header {self.header} has characters that no credential has.")
        taking = [scheme for scheme in chain(*operation.security) if self._is_for(scheme)]
        secrets = {name: secret for scheme in taking if secret and (name := variable(scheme))}
        if needs_credential(operation.security, secrets, filled):
            if not taking:
                raise CallError(f"Nothing was sent: the API takes no credential in the header {self.header} here.")
            raise CallError(
                f"Nothing was sent: send your own credential for this API in the header {self.header} of each request "
                "to this server."
            )
        return credentials(operation.security, secrets)

    async def rejected(
        self, operation: Operation, answer: Answer, sent: Collection[Credential], caller: Caller
    ) -> bool:
        """Return False: only the caller has another credential."""
        return False

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return where the rejected credential came from."""
        if status not in CREDENTIAL_STATUSES or self.secret(caller) is None:
            return []
        return [f"The request carried the header {self.header} of your own request: check its value."]

    def _is_for(self, scheme: SecurityScheme) -> bool:
        if scheme.location != "header" or scheme.name.lower() != self.header:
            return False
        return scheme.type == "apiKey" or scheme.scheme == "bearer"
