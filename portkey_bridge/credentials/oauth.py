"""Credentials that are OAuth 2 tokens: obtained on first use, shared by all calls, and renewed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.caller_login import CallerLogin, CallerLogins
from portkey_bridge.credentials.oauth_grants import is_for_people, missing_scopes, takes_token, variables_of_grants
from portkey_bridge.credentials.oauth_tokens import TokenSource
from portkey_bridge.credentials.origins import Origins
from portkey_bridge.credentials.provider import CREDENTIAL_STATUSES, UNAUTHORIZED, EnvironmentCredentials, Provider
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.renewal import Expiring, Renewed
from portkey_bridge.credentials.schemes import Credential, stands_in
from portkey_bridge.credentials.variables import TOKEN_TYPES, variable
from portkey_bridge.credentials.withheld import why_withheld
from portkey_bridge.errors import CredentialsError, LoginRequired, TokenError
from portkey_bridge.http.policy import origin
from portkey_bridge.http.transport import Transport
from portkey_bridge.openapi.model import Operation, Place, SecurityScheme
from portkey_bridge.response.answer import Answer
from portkey_bridge.settings.options import Settings, how_to_set

#: What callers can do about an account that does not permit what they want.
LOG_IN_AGAIN = "To log in again, or with another account, log out on the page /connect of this server first."

Kept = Renewed[Expiring] | CallerLogin
"""What has the token of a source: in memory, or as the login of one caller."""


@dataclass(frozen=True)
class TokenSources:
    """The sources of tokens for the schemes of an API: one for each scheme and origin, kept with its token.

    `subject` is the token of one caller, which is exchanged for theirs, and `logins` are those of one caller. The local
    user's own login is used for that user only; other callers share tokens of what is configured.
    `values` are those of OAUTH_VARIABLES, `wanted` the scopes to request by the scheme's key. `base_url_of` returns the
    URL that an operation is sent to; a token is obtained for its origin, and used for no other.
    """

    settings: Settings
    values: Mapping[str, str] = field(repr=False)
    wanted: Mapping[str, tuple[str, ...]]
    document_uri: str
    base_url_of: Callable[[Operation], str | None]
    origins: Origins
    transport: Transport
    redact: Redactor
    subject: str | None = field(default=None, repr=False)
    logins: CallerLogins | None = field(default=None, repr=False)
    _kept: dict[object, tuple[TokenSource, Kept]] = field(default_factory=dict, repr=False)

    def of(self, operation: Operation, caller: Caller = LOCAL) -> list[tuple[TokenSource, Kept]]:
        """Return the source and the kept token of each scheme of an operation whose tokens can be obtained."""
        base_url = self.base_url_of(operation)
        if base_url is None:
            return []
        schemes = {scheme.key: scheme for scheme in chain(*operation.security) if scheme.type in TOKEN_TYPES}
        return [self._of_scheme(scheme, base_url, caller.subject is None) for scheme in schemes.values()]

    def of_caller(
        self, redact: Redactor, subject: str | None = None, logins: CallerLogins | None = None
    ) -> TokenSources:
        """Return the sources of the tokens of one caller, which `redact` learns.

        They are those that the caller's own token, `subject`, is exchanged for, or those of the caller's `logins`.
        """
        return replace(self, subject=subject, logins=logins, redact=redact, _kept={})

    def every(self, operations: Iterable[Operation]) -> list[TokenSource]:
        """Return the sources of all these operations, each once."""
        found = {id(source): source for operation in operations for source, _ in self.of(operation)}
        return [*found.values()]

    def _of_scheme(self, scheme: SecurityScheme, base_url: str, is_local: bool) -> tuple[TokenSource, Kept]:
        key = (scheme.key, origin(base_url), is_local)
        if key not in self._kept:
            source = TokenSource(
                scheme,
                base_url,
                self.settings.oauth_scopes or self.wanted.get(scheme.key, ()),
                self.settings,
                self.values,
                self.origins,
                self.transport,
                partial(self.redact.learn, variable(scheme) or ""),
                is_local,
                self.subject,
            )
            self._kept[key] = (source, CallerLogin(source, self.logins) if self.logins else Renewed(source.obtain))
        return self._kept[key]


@dataclass(frozen=True)
class OAuthCredentials(Provider):
    """The credentials of `environment`, and tokens from `sources` for the schemes whose variable is not set."""

    environment: EnvironmentCredentials
    sources: TokenSources

    @property
    def holds_secrets(self) -> bool:
        """Whether any variable of a credential is set, or of what obtains a token."""
        return self.environment.holds_secrets or any(self.sources.values.values())

    @property
    def _secrets(self) -> Mapping[str, str]:
        return self.environment.environment.secrets

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the credentials of a call, with tokens that are valid. Raises CredentialsError, CallError."""
        if not takes_token(operation.security):
            return await self.environment.credentials(operation, filled, caller)
        tokens = await self._obtained(operation, filled, caller)
        values = {variable(scheme) or "": token.value for scheme, token in tokens.items()}
        secrets = {**self._secrets, **values}
        self._require_scopes(operation, tokens, secrets)
        try:
            with_tokens = replace(self.environment.environment, secrets=secrets)
            return await replace(self.environment, environment=with_tokens).credentials(operation, filled, caller)
        except CredentialsError as error:
            raise self._with_grants(operation, caller, error) from None

    def obtainable(self, operation: Operation) -> frozenset[str]:
        """Return the variables of the tokens that a call of the local user would obtain for an operation."""
        if self._is_satisfied(operation):
            return frozenset()
        is_callers, sources = self.sources.settings.of_callers, self.sources.of(operation)
        names = {variable(source.scheme) or "" for source, _ in sources if is_callers or source.is_configured}
        return frozenset(names - self._secrets.keys())

    def _is_satisfied(self, operation: Operation) -> bool:
        """Check whether variables alone are enough, so that no token is obtained."""
        alternatives = filter(None, operation.security)
        return not self.sources.settings.of_callers and any(
            all(variable(scheme) in self._secrets for scheme in each) for each in alternatives
        )

    async def rejected(
        self, operation: Operation, answer: Answer, sent: Collection[Credential], caller: Caller
    ) -> bool:
        """Replace the tokens that were sent and rejected; return whether there is another one now."""
        if answer.status != UNAUTHORIZED:
            return False
        values = {credential.value.rpartition(" ")[2] for credential in sent}
        try:
            replaced = [
                await token.replace(lambda kept: kept.value in values)
                for _, token in self._kept(operation, caller)
                if token.current
            ]
        except LoginRequired:
            raise
        except TokenError:
            return False  # the API's own answer is shown
        return any(replaced)

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return what an answer of this status lets a person check about the credentials."""
        tokens = [token.current for _, token in self._kept(operation, caller) if token.current]
        if status not in CREDENTIAL_STATUSES or not tokens:
            return self.environment.hints(operation, status, caller)
        scopes = sorted(frozenset[str]().union(*(token.scopes or () for token in tokens)))
        known = f"the scopes {' '.join(scopes)}" if scopes else "no scopes that are known"
        if self.sources.logins is not None:
            return [f"The request carried the token of your own login, with {known}. {LOG_IN_AGAIN}"]
        return [f"The request carried a token that portkey-bridge obtained, with {known}: check what it permits."]

    def _kept(self, operation: Operation, caller: Caller) -> list[tuple[SecurityScheme, Kept]]:
        """Return the schemes of an operation whose tokens are obtained, and what keeps the token."""
        pairs = ((source.scheme, kept) for source, kept in self.sources.of(operation, caller))
        return [(scheme, kept) for scheme, kept in pairs if variable(scheme) not in self._secrets]

    async def _obtained(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> dict[SecurityScheme, Expiring]:
        """Return the tokens for an operation. Raises TokenError if none can be obtained and one is needed."""
        if self._is_satisfied(operation):
            return {}
        environment, is_callers = self._secrets, self.sources.settings.of_callers
        tokens: dict[SecurityScheme, Expiring] = {}
        problems: list[TokenError] = []
        for scheme, kept in self._kept(operation, caller):
            if any(stands_in(each, scheme.place) for each in filled):
                continue
            try:
                if token := await kept.get():
                    tokens[scheme] = token
            except LoginRequired as error:
                if all(operation.security):  # else the call needs no credential
                    problems.append(error)
            except TokenError as error:
                problems.append(error)
        if problems and not (_are_enough(operation, tokens, environment) if is_callers else tokens):
            raise problems[0]
        return tokens

    def _require_scopes(
        self, operation: Operation, tokens: Mapping[SecurityScheme, Expiring], secrets: Mapping[str, str]
    ) -> None:
        """Check that the tokens have the scopes of an alternative, where that is known. Raises TokenError."""
        granted = {scheme.key: token.scopes for scheme, token in tokens.items()}
        lacking = [
            [scope for scheme in each for scope in missing_scopes(scheme, granted.get(scheme.key))]
            for each in operation.security
            if all(variable(scheme) in secrets for scheme in each)
        ]
        if not lacking or not all(lacking):
            return
        missing = min(lacking, key=len)
        has = sorted(frozenset[str]().union(*(scopes or () for scopes in granted.values())))
        asked = self.sources.settings.oauth_scopes
        option = how_to_set(self.sources.settings.name, "oauth_scopes")
        remedy = (
            f"Add {' '.join(missing)} to {option}."
            if asked and not set(missing) <= set(asked)
            else f"It was not granted when you logged in. {LOG_IN_AGAIN}"
            if self.sources.logins is not None
            else "The authorization server did not grant it: have it granted to the client or the person, and log in "
            "again if this is a login."
        )
        raise TokenError(
            f"Nothing was sent: {operation.method} {operation.path} needs the scope {' '.join(missing)}, and the token "
            f"has {' '.join(has) or 'none'}. {remedy}"
        )

    def _with_grants(self, operation: Operation, caller: Caller, error: CredentialsError) -> CredentialsError:
        """Add to a refusal how a token can be obtained instead."""
        schemes, settings = [scheme for scheme, _ in self._kept(operation, caller)], self.sources.settings
        ways = dict.fromkeys(names for scheme in schemes for names in variables_of_grants(scheme, settings))
        people = any(is_for_people(scheme, settings) for scheme in schemes)
        names = dict.fromkeys(chain(*ways))
        uri = self.sources.document_uri
        withheld = [f"{name} is {reason}" for name in names if (reason := why_withheld(name, settings, uri))]
        return error.also([*ways], withheld, "Or log in: `portkey-bridge login`." if people else "")


def _are_enough(operation: Operation, tokens: Collection[SecurityScheme], environment: Collection[str]) -> bool:
    """Check whether the tokens of a caller satisfy an alternative. One without any of them would be another's."""
    return any(
        any(scheme in tokens for scheme in each)
        and all(scheme in tokens or variable(scheme) in environment for scheme in each)
        for each in operation.security
    )
