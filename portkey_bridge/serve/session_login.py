"""Logs in with a recipe: calls the operation that it names, on the path of every call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from portkey_bridge.credentials.recipe import SESSION_NAME, LoginSession, Recipe, handshake, session_of
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.credentials.session import SessionCredentials
from portkey_bridge.errors import SettingsError, TokenError, likely
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.request.servers import server_url
from portkey_bridge.response.answer import Answer
from portkey_bridge.serve.bridge import Bridge
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import is_url, origin_of, printable
from portkey_bridge.tools.catalog import Tool, build_tools, slug

#: Longest part of an answer to a failed login that is shown, in characters.
MAX_LOGIN_ANSWER = 300


def with_session(bridge: Bridge, api: Api, settings: Settings, recipe: Recipe, secrets: Collection[str]) -> Bridge:
    """Return the bridge with the session of a recipe, whose variables are `secrets`. Raises SettingsError."""
    steps = [_step(api, name, bridge) for name in (recipe.before, recipe.operation) if name]
    renewal = _step(api, recipe.refresh.operation, bridge) if recipe.refresh else None
    every = [*steps, renewal] if renewal else steps
    paths = {(step.operation.method, step.operation.path) for step in every}

    def origin(operation: Operation) -> str | None:
        return origin_of(settings.base_url or server_url(operation.servers, api.uri))

    home = origin(steps[-1].operation)
    _require_origin(home, api, settings, recipe)
    if any(origin(step.operation) != home for step in every):
        raise SettingsError(f"the operations of the login recipe are not all sent to {home}.")
    login = _Login(recipe, steps, renewal, bridge, secrets)
    provider = SessionCredentials(
        bridge.provider,
        lambda operation: origin(operation) == home,
        lambda operation: (operation.method, operation.path) in paths,
        login.log_in,
        login.handshake,
    )
    login.bridge = replace(bridge, provider=provider)
    return login.bridge


@dataclass
class _Login:
    """Calls the steps of a login, or what renews a session; `handshake` is what they carry at the moment."""

    recipe: Recipe
    steps: list[Tool]
    renewal: Tool | None
    bridge: Bridge
    secrets: Collection[str]
    handshake: list[Credential] = field(default_factory=list)

    async def log_in(self, previous: LoginSession | None) -> LoginSession:
        """Return a new session, renewed without a login if possible. Raises CallError."""
        if previous is not None and previous.refresh is not None and self.renewal is not None:
            with suppress(TokenError):  # what renews it has expired, too
                return await self._renewed(self.renewal, previous, previous.refresh)
        answers: list[Answer] = []
        for step in self.steps:
            self.handshake[:] = handshake(self.recipe, answers)
            self._learn(self.handshake)
            answers.append(await self.bridge.ask(step, self.recipe.arguments if step is self.steps[-1] else {}))
            self._refuse_failure(step, answers[-1])
        return self._kept_secret(session_of(self.recipe, answers))

    async def _renewed(self, step: Tool, previous: LoginSession, arguments: Mapping[str, Any]) -> LoginSession:
        self.handshake[:] = [each for each in previous.credentials if each.variable != SESSION_NAME]
        answer = await self.bridge.ask(step, arguments)
        self._refuse_failure(step, answer)
        return self._kept_secret(session_of(self.recipe, [answer], previous))

    def _kept_secret(self, session: LoginSession) -> LoginSession:
        self.bridge.redact.learn(SESSION_NAME, session.token)
        self._learn(each for each in session.credentials if each.variable != SESSION_NAME)
        for value in (session.refresh or {}).values():
            self.bridge.redact.learn(f"{SESSION_NAME}_REFRESH", str(value))
        return session

    def _learn(self, credentials: Iterable[Credential]) -> None:
        for each in credentials:
            self.bridge.redact.learn(each.variable, each.value)

    def _refuse_failure(self, step: Tool, answer: Answer) -> None:
        if answer.status < 400 and not answer.problem:
            return
        words = printable(self.bridge.redact(answer.body.decode("utf-8", "replace")))[:MAX_LOGIN_ANSWER]
        check = f"Check {', '.join(self.secrets)}." if self.secrets else "Check the login recipe."
        raise TokenError(
            f"Nothing was sent: the login failed, because {step.operation.method} {step.operation.path} answered "
            f"{answer.status} {words}".rstrip()
            + f". {check}"
        )


def _step(api: Api, name: str, bridge: Bridge) -> Tool:
    """Return the tool of an operation that a recipe names. Raises SettingsError."""
    names = {slug(operation.operation_id or ""): operation for operation in api.operations if operation.operation_id}
    names |= {slug(f"{operation.method} {operation.path}"): operation for operation in api.operations}
    found = names.get(slug(name))
    if found is None:
        raise SettingsError(f"the login recipe names {name!r}, which is no operation; {likely(slug(name), names)}")
    (tool,) = build_tools(replace(api, operations=(found,)), bridge.sources.shapes)
    return tool


def _require_origin(home: str | None, api: Api, settings: Settings, recipe: Recipe) -> None:
    """Check that the recipe's secrets go where the person said. Raises SettingsError."""
    if recipe.origin and origin_of(recipe.origin) != home:
        raise SettingsError(f"the login recipe is for {recipe.origin}, but {recipe.operation} is sent to {home}.")
    if is_url(api.uri) and not recipe.origin and not settings.base_url:
        raise SettingsError(
            f'the document comes from a URL and may change: add origin = "{home}" to the login recipe, so that its '
            "secrets go nowhere else."
        )
