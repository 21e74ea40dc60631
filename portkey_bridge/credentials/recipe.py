"""Login recipes: how a session is obtained from an operation of the API, how it is sent, and when it has ended.

A recipe is a TOML file that a person writes; the texts `$SESSION_NAME` in it are the values of variables.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from portkey_bridge.credentials.provider import UNAUTHORIZED
from portkey_bridge.credentials.variables import SECRET_NAMES
from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.file import VARIABLE_REFERENCE
from portkey_bridge.settings.options import Settings

#: Names of arguments that say who logs in, and are not secret.
IDENTIFIERS = re.compile(r"(?i).*(user|name|mail|login|account|tenant|client_?id|grant_?type|scope).*")

#: A place in the last answer, among the arguments of an operation that renews a session.
POINTER = re.compile(r"\{(/.*)\}")

#: What a session is called where its secrets are hidden.
SESSION_NAME = "LOGIN"


class AnswerPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place in an answer: a header, a cookie, or a JSON pointer into the body."""

    header: str = ""
    cookie: str = ""
    pointer: str | None = None


class Send(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the token is sent: in a header, query parameter or cookie, where `{token}` in `value` stands for it."""

    header: str = ""
    query: str = ""
    cookie: str = ""
    value: str = "{token}"


class Csrf(AnswerPlace, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the token against cross-site requests is in the answer, and the header that repeats it."""

    send: str


class Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the JSON body of an answer says of a session that has ended: a value at a pointer, or a part of a text."""

    pointer: str
    value: str | int | bool


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a session is renewed: an operation, and its arguments, where `{/pointer}` is a text of the last answer."""

    operation: str
    arguments: dict[str, Any] = {}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to log in. `operation` is an operationId, the name of a tool, or a method and a path or URL.

    `before` is an operation that is called first, for its cookies, and `after` one that is called last, for a token
    against forgery; `refresh` renews a session without a login. What of these the document does not declare takes its
    arguments in a body of `media_type`. `token` is where the token is: a JSON pointer, or a place. `expires` is the
    lifetime in seconds, or the JSON pointer to the lifetime or the time of expiry; without it, a token that is a JWT
    says when it expires. Answers that are `rejected`, by their statuses or bodies, say that the session has ended.
    `origin` is that of the API, to which alone the session is sent.
    """

    operation: str
    arguments: dict[str, Any] = {}
    before: str = ""
    after: str = ""
    refresh: Refresh | None = None
    media_type: str = "application/json"
    token: str | AnswerPlace | None = None
    send: Send = Send(header="Authorization", value="Bearer {token}")
    cookies: bool = False
    csrf: Csrf | None = None
    expires: float | str | None = None
    rejected: tuple[int | Rejection, ...] = (UNAUTHORIZED,)
    origin: str = ""


def read_recipe(settings: Settings) -> tuple[Recipe, dict[str, str]]:
    """Return the recipe of the settings with the values of its variables, and those that are secret by variable.

    Raises SettingsError.
    """
    path = Path(str(settings.login)).expanduser()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = msgspec.convert(values, Recipe)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"{path}: {problem}. Correct the recipe; docs/authentication.md explains it.") from error
    if recipe.token is None and not recipe.cookies:
        raise SettingsError(f"{path}: set token to the place of the token in the answer, or cookies = true.")
    secrets: dict[str, str] = {}
    arguments = _filled(recipe.arguments, "", settings, path, secrets)
    refresh = recipe.refresh
    if refresh is not None:
        refresh = msgspec.structs.replace(refresh, arguments=_filled(refresh.arguments, "", settings, path, secrets))
    return msgspec.structs.replace(recipe, arguments=arguments, refresh=refresh), secrets


def recipe_variables(settings: Settings) -> set[str]:
    """Return the names of the variables that the recipe of the settings mentions; none where it cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        if settings.login is not None:
            return set(
                re.findall(rf'"{VARIABLE_REFERENCE.pattern}"', Path(settings.login).expanduser().read_text("utf-8"))
            )
    return set()


def _filled(value: Any, name: str, settings: Settings, path: Path, secrets: dict[str, str]) -> Any:
    """Replace the variables in the arguments of a recipe, and add the secret ones to `secrets`."""
    if isinstance(value, dict):
        return {key: _filled(each, key, settings, path, secrets) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, name, settings, path, secrets) for each in value]
    reference = VARIABLE_REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if reference:
        value = settings.environ.get(reference[1], "").strip()
        if not value:
            raise SettingsError(f"{path}: {reference[1]} is not set. Set it to the argument {name} of the login.")
    named = f"{name} {reference[1] if reference else ''}"
    is_secret = SECRET_NAMES.fullmatch(named) or not IDENTIFIERS.fullmatch(name)
    if isinstance(value, str) and is_secret and not POINTER.fullmatch(value):
        secrets[reference[1] if reference else f"{SESSION_NAME}_{name.upper()}"] = value
    return value
