"""Logs in with a recipe: calls the operations that it names, on the path of every call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from portkey_bridge.bridge.argument_check import Lenience
from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.login_steps import LoginSteps, steps_of
from portkey_bridge.credentials.login_session import LoginAnswers, LoginSession, values_to_hide
from portkey_bridge.credentials.recipe import SESSION_NAME, Recipe
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.credentials.session import LoginCredentials, SessionCredentials
from portkey_bridge.errors import SettingsError, TokenError
from portkey_bridge.openapi.model import Api
from portkey_bridge.request.servers import url_of_servers
from portkey_bridge.response.answer import Answer
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import is_url, origin_of, printable
from portkey_bridge.tools.catalog import Tool

#: Longest part of an answer to a failed login that is shown, in characters.
MAX_LOGIN_ANSWER = 300


def with_session(bridge: Bridge, api: Api, settings: Settings, recipe: Recipe, secrets: Collection[str]) -> Bridge:
    """Return the bridge with the session of a recipe, whose variables are `secrets`. Raises SettingsError."""
    url_of = url_of_servers(api, settings)
    steps = steps_of(api, recipe, settings, bridge.sources.shapes, url_of)
    if is_url(api.uri) and not recipe.origin and not settings.base_url:
        raise SettingsError(
            f'the document comes from a URL and may change: add origin = "{steps.home}" to the login recipe, so that '
            "its secrets go nowhere else."
        )
    logging_in = _Login(recipe, steps, bridge, secrets)
    session = SessionCredentials(
        bridge.provider,
        recipe,
        lambda operation: origin_of(url_of(operation.servers)) == steps.home,
        steps.include,
        logging_in.log_in,
        bridge.redact.learn,
    )
    return replace(bridge, provider=session)


@dataclass
class _Login:
    """Calls the steps of a login, or what renews a session. `secrets` are the variables that it takes."""

    recipe: Recipe
    steps: LoginSteps
    bridge: Bridge
    secrets: Collection[str]
    provider: LoginCredentials = field(init=False)

    def __post_init__(self) -> None:
        self.provider = LoginCredentials(self.bridge.provider)
        # A person says what is sent, whatever the document allows, and each step knows its own server.
        self.bridge = replace(self.bridge, provider=self.provider, base_url=None, lenience=Lenience(True))

    async def log_in(self, previous: LoginSession | None) -> LoginSession:
        """Return a new session, renewed without a login if possible. Raises CallError."""
        if previous is not None and previous.refresh is not None and self.steps.renewal is not None:
            with suppress(TokenError):  # what renews it has expired, too
                return await self._renewed(self.steps.renewal, previous, previous.refresh)
        taken = LoginAnswers(self.recipe)
        for step in self.steps.in_order:
            is_login = step is self.steps.login
            answer = await self._asked(step, self.recipe.arguments if is_login else {}, taken.carried)
            with self._explaining(step, answer):
                self._take(taken, answer, is_login=is_login)
        with self._explaining(step, answer):
            return self._learned(taken.session())

    async def _renewed(self, step: Tool, previous: LoginSession, arguments: Mapping[str, Any]) -> LoginSession:
        sent = tuple(each for each in previous.credentials if each.variable != SESSION_NAME)
        taken = LoginAnswers(self.recipe, previous)
        self._take(taken, await self._asked(step, arguments, sent), is_login=True)
        return self._learned(taken.session())

    async def _asked(self, step: Tool, arguments: Mapping[str, Any], sent: tuple[Credential, ...]) -> Answer:
        """Return the answer of an operation that carries these credentials. Raises CallError if it is a failure."""
        self.provider.carried = sent
        answer = await self.bridge.ask(step, arguments)
        if answer.status >= 400 or answer.problem or answer.redirected_to:
            raise self._failed(step, answer, f"{answer.problem} {answer.redirected_to}".strip())
        return answer

    def _take(self, taken: LoginAnswers, answer: Answer, *, is_login: bool) -> None:
        """Take an answer, and learn its secrets. Raises TokenError for one without a token."""
        taken.take(answer, is_login=is_login)
        self.bridge.redact.learn(SESSION_NAME, taken.token)
        for name, value in values_to_hide(taken.carried):
            self.bridge.redact.learn(name, value)

    def _learned(self, session: LoginSession) -> LoginSession:
        for value in (session.refresh or {}).values():
            self.bridge.redact.learn(f"{SESSION_NAME}_REFRESH", str(value))
        return session

    @contextmanager
    def _explaining(self, step: Tool, answer: Answer) -> Iterator[None]:
        """Add to what an answer lacks what it says itself."""
        try:
            yield
        except TokenError as error:
            raise self._failed(step, answer, str(error)) from error

    def _failed(self, step: Tool, answer: Answer, problem: str) -> TokenError:
        """Return the error about the answer of a step, with the API's own words and what can be checked."""
        operation = step.operation
        words = printable(self.bridge.redact(answer.body.decode("utf-8", "replace")))[:MAX_LOGIN_ANSWER]
        said = " ".join(filter(None, (f"{operation.method} {operation.path} answered {answer.status}", words, problem)))
        is_undeclared = (operation.method, operation.path) in self.steps.undeclared
        suspects = [*self.secrets]
        if problem or is_undeclared or not suspects:
            suspects.append(f"the login recipe{', with its paths and media_type' * is_undeclared}")
        check = f"Check {' and '.join(suspects)}."
        return TokenError(f"Nothing was sent: the login failed, because {said}. {check}")
