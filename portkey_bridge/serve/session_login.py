"""Logs in with a recipe: calls the operation that it names, on the path of every call."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from portkey_bridge.credentials.recipe import NAME, Recipe, Session, handshake, session_of
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.credentials.session import SessionCredentials
from portkey_bridge.document.sources import is_url
from portkey_bridge.errors import SettingsError, TokenError, likely
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.request.servers import server_url
from portkey_bridge.response.answer import Answer
from portkey_bridge.serve.bridge import Bridge
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import origin_of, printable
from portkey_bridge.tools.catalog import Tool, build_tools, slug

#: Longest part of an answer to a failed login that is shown, in characters.
MAX_WORDS = 300


def with_session(bridge: Bridge, api: Api, settings: Settings, recipe: Recipe, secrets: Collection[str]) -> Bridge:
    """Return the bridge with the session of a recipe, whose variables are `secrets`. Raises SettingsError."""
    steps = [_step(api, name, bridge) for name in (recipe.before, recipe.operation) if name]
    paths = {(step.operation.method, step.operation.path) for step in steps}

    def origin(operation: Operation) -> str | None:
        return origin_of(settings.base_url or server_url(operation.servers, api.uri))

    home = origin(steps[-1].operation)
    _require_origin(home, api, settings, recipe)
    login = _Login(recipe, steps, bridge, secrets)
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
    """Calls the steps of a login; `handshake` is what they carry at the moment."""

    recipe: Recipe
    steps: list[Tool]
    bridge: Bridge
    secrets: Collection[str]
    handshake: list[Credential] = field(default_factory=list)

    async def log_in(self, previous: Session | None) -> Session:
        """Return a new session. Raises CallError."""
        answers: list[Answer] = []
        for step in self.steps:
            self.handshake[:] = handshake(self.recipe, answers)
            self._learn(self.handshake)
            answers.append(await self.bridge.ask(step, self.recipe.arguments if step is self.steps[-1] else {}))
            self._refuse_failure(step, answers[-1])
        session = session_of(self.recipe, answers)
        self.bridge.redact.learn(NAME, session.token)
        self._learn(each for each in session.credentials if each.variable != NAME)
        return session

    def _learn(self, credentials: Iterable[Credential]) -> None:
        for each in credentials:
            self.bridge.redact.learn(each.variable, each.value)

    def _refuse_failure(self, step: Tool, answer: Answer) -> None:
        if answer.status < 400 and not answer.problem:
            return
        words = printable(answer.body.decode("utf-8", "replace"))[:MAX_WORDS]
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
