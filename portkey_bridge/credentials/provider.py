"""Where the credentials of a call come from: one interface, and its form for environment variables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.environment import Environment
from portkey_bridge.credentials.origins import Origins
from portkey_bridge.credentials.schemes import Credential, credentials, incomplete, needs_credential
from portkey_bridge.credentials.variables import variable, variables
from portkey_bridge.errors import CredentialsError
from portkey_bridge.openapi.model import Operation, Place
from portkey_bridge.response.answer import Answer
from portkey_bridge.settings.options import how_to_set

#: The status that a credential is rejected with, and all statuses about credentials (RFC 9110 section 15.5.2, 15.5.4).
UNAUTHORIZED = 401
CREDENTIAL_STATUSES = (UNAUTHORIZED, 403)

#: What a person can do where the document says nothing about credentials.
SILENT_DOCUMENT = "The document declares no credential for this operation. If the API wants one, a person can "
IN_OPTIONS = (
    "start portkey-bridge with --scheme bearer=VARIABLE (or basic=, digest=), --header NAME=VARIABLE, --query "
    "NAME=VARIABLE or --cookie NAME=VARIABLE, or with --login FILE if it is obtained by a login."
)
IN_FILE = (
    'set scheme = "bearer=VARIABLE" (or basic=, digest=), or headers, query or cookies = ["NAME=VARIABLE"], or login '
    "if it is obtained by a login, in [api.{}] of the settings file."
)


class Provider(Protocol):
    """Provides the credentials of calls. A form whose credentials never change, or has no hints, inherits that."""

    @property
    def holds_secrets(self) -> bool:
        """Whether calls may carry something that their callers do not have."""

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the credentials that a call carries; `filled` are the places of its arguments.

        Raises CredentialsError if one is needed and there is none, and CallError if one cannot be sent.
        """

    async def rejected(
        self, operation: Operation, answer: Answer, sent: Collection[Credential], caller: Caller
    ) -> bool:
        """Check whether an answer rejects what was sent and there is another credential now: a repeat may help."""
        return False

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return what an answer of this status lets a person check about the credentials; one sentence each."""
        return []


@dataclass(frozen=True)
class EnvironmentCredentials(Provider):
    """Credentials from environment variables: the same ones for every caller.

    `url_of` returns where an operation is sent, and `origins` decides whether a credential may go there. `authenticate`
    is the setting of that name. `sample` returns a client's configuration that sets variables; it is None where callers
    do not configure the server.
    """

    environment: Environment
    authenticate: str
    url_of: Callable[[Operation], str | None]
    origins: Origins
    sample: Callable[[Sequence[str]], str] | None
    _kept: dict[int, tuple[Operation, tuple[Credential, ...], bool]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def holds_secrets(self) -> bool:
        """Whether any variable of a credential is set."""
        return bool(self.environment.secrets)

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return every credential that is set and that the operation names. Raises CredentialsError, CallError."""
        sent, is_incomplete = self._prepared(operation)
        if is_incomplete or (not sent and needs_credential(operation.security, {}, filled)):
            raise self.missing(operation)
        self.origins.used([credential.variable for credential in sent])
        return sent

    def _prepared(self, operation: Operation) -> tuple[tuple[Credential, ...], bool]:
        """Return what an operation is sent, and whether something is missing that a person added. Raises CallError.

        This is the same for each of its calls, unless it depends on the origins that are remembered.
        """
        prepared = self._kept.get(id(operation))
        if prepared is not None and self.origins.memory is None:
            return prepared[1:]
        secrets, _ = self.allowed(operation)
        added = {variable(scheme) for scheme in chain(*operation.security) if scheme.added}
        is_incomplete = all(operation.security) and not added.issubset(secrets)
        sent = credentials(operation.security, secrets) if not is_incomplete else ()
        self._kept[id(operation)] = operation, sent, is_incomplete  # the operation, so that its identity stays its own
        return sent, is_incomplete

    def allowed(self, operation: Operation) -> tuple[dict[str, str], list[str]]:
        """Return the secrets that may go where the operation is sent, and why the others may not."""
        names = [name for name in variables(operation.security) if name in self.environment.secrets]
        refusals = self.origins.refusals(names, self.url_of(operation))
        secrets = {name: self.environment.secrets[name] for name in names if name not in refusals}
        return secrets, [*refusals.values()]

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return which variables the request carried, which it did not, and what changes that."""
        return [*self._hints(operation)] if status in CREDENTIAL_STATUSES else []

    def _hints(self, operation: Operation) -> Iterator[str]:
        names, secrets = variables(operation.security), self.environment.secrets
        sent, refusals = self.allowed(operation)
        missing = [name for name in names if name not in secrets and name not in self.environment.withheld]
        others = [name for name in secrets if name not in names]
        if sent:
            yield f"The request carried {' and '.join(sent)}: check the value, and what it permits."
        yield from incomplete(operation.security, sent)
        if missing:
            yield f"Not set, and also taken: {', '.join(missing)}."
        yield from (f"{reason}." for reason in (*self.environment.reasons(names), *refusals))
        if self.authenticate == "none":
            setting = how_to_set(self.origins.api, "authenticate", "none")
            yield f"{setting} keeps the document's credentials from being sent."
        elif others:
            are = "is set" if len(others) == 1 else "are set"
            everything = how_to_set(self.origins.api, "authenticate", "all")
            yield f"{' and '.join(others)} {are}, but not declared for this operation; {everything} sends all."
        elif not names:
            yield SILENT_DOCUMENT + (IN_FILE.format(self.origins.api) if self.origins.api else IN_OPTIONS)

    def missing(self, operation: Operation) -> CredentialsError:
        """Return the refusal of a call that needs another credential than those that may be sent."""
        alternatives = [[name for scheme in each if (name := variable(scheme))] for each in operation.security]
        names = variables(operation.security)
        withheld = [name for name in names if name in self.environment.withheld]
        return CredentialsError(
            f"{operation.method} {operation.path}",
            [self.environment.to_set(each) for each in alternatives],
            [*self.environment.reasons(names), *self.allowed(operation)[1]],
            self.sample and self.sample(self.environment.to_set(withheld or alternatives[0])),
        )
