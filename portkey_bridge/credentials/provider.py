"""Where the credentials of a call come from: one interface, and its form for environment variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.schemes import Credential, credentials, needs_credential
from portkey_bridge.credentials.variables import example_configuration, variable, variables
from portkey_bridge.errors import CredentialsError
from portkey_bridge.openapi.model import Operation, Place

#: Statuses about credentials (RFC 9110 section 15.5.2 and 15.5.4).
CREDENTIAL_STATUSES = (401, 403)


class Provider(Protocol):
    """Provides the credentials of calls."""

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the credentials that a call carries; `filled` are the places of its arguments.

        Raises CredentialsError if one is needed and there is none, and CallError if one cannot be sent.
        """

    async def rejected(self, operation: Operation, sent: Collection[Credential], caller: Caller) -> bool:
        """Check, after a status 401, whether there is another credential than those sent, so that a repeat may help."""

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return what an answer of this status lets a person check about the credentials; one sentence each."""


@dataclass(frozen=True)
class EnvironmentCredentials:
    """Credentials from environment variables: `secrets` are the values of those that are set, the same for all."""

    secrets: Mapping[str, str] = field(repr=False)

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return every credential that is set and that the operation names. Raises CredentialsError, CallError."""
        if needs_credential(operation.security, self.secrets, filled):
            raise _missing(operation)
        return credentials(operation.security, self.secrets)

    async def rejected(self, operation: Operation, sent: Collection[Credential], caller: Caller) -> bool:
        """Return False: a variable does not change while the program runs."""
        return False

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return which variables the request carried, and which it could have."""
        if status not in CREDENTIAL_STATUSES:
            return []
        names = variables(operation.security)
        sent = [name for name in names if name in self.secrets]
        missing = [name for name in names if name not in self.secrets]
        return [
            f"The request carried {' and '.join(sent)}: check the value, and what it permits." if sent else "",
            f"Not set, and also taken: {', '.join(missing)}." if missing else "",
        ]


def _missing(operation: Operation) -> CredentialsError:
    alternatives = [[name for scheme in each if (name := variable(scheme))] for each in operation.security]
    return CredentialsError(
        f"{operation.method} {operation.path}", alternatives, example_configuration(alternatives[0])
    )
