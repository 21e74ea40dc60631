"""Login recipes: how a session is obtained from an operation of the API, and how it is sent.

A recipe is a TOML file that a person writes; the texts `$NAME` in it are the values of variables.
"""

from __future__ import annotations

import base64
import json
import re
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import msgspec
from jsonpointer import JsonPointerException, resolve_pointer

from portkey_bridge.credentials.renewal import Expiring
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.errors import SettingsError, TokenError
from portkey_bridge.response.answer import Answer
from portkey_bridge.settings.file import VARIABLE_REFERENCE
from portkey_bridge.settings.options import Settings

#: Names of arguments that say who logs in, and are no secrets.
IDENTIFIERS = re.compile(r"(?i).*(user|name|mail|login|account|tenant|client_?id|grant_?type|scope).*")

#: A place in the last answer, among the arguments of an operation that renews a session.
POINTER = re.compile(r"\{(/.*)\}")

#: What a session is called where its secrets are hidden.
SESSION_NAME = "LOGIN"

#: Numbers from these on are milliseconds and seconds since the epoch; smaller ones are seconds from now.
MILLISECONDS, SECONDS = 1e11, 1e9


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


class Csrf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the token against cross-site requests is in the answer, and the header that repeats it."""

    send: str
    header: str = ""
    cookie: str = ""
    pointer: str | None = None


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a session is renewed: an operation, and its arguments, where `{/pointer}` is a text of the last answer."""

    operation: str
    arguments: dict[str, Any] = {}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to log in. `operation` is an operationId, the name of a tool, or a method and a path.

    `before` is an operation that is called first, for its cookies; `refresh` renews a session without a login. `token`
    is where the token is: a JSON pointer, or a place. `expires` is the lifetime in seconds, or the JSON pointer to the
    lifetime or the time of expiry; without it, a token that is a JWT says when it expires. `origin` is that of the API,
    to which alone anything is sent.
    """

    operation: str
    arguments: dict[str, Any] = {}
    before: str = ""
    refresh: Refresh | None = None
    token: str | AnswerPlace | None = None
    send: Send = Send(header="Authorization", value="Bearer {token}")
    cookies: bool = False
    csrf: Csrf | None = None
    expires: float | str | None = None
    origin: str = ""


@dataclass(frozen=True)
class LoginSession:
    """What a login returned: the credentials that calls carry until it expires, and the bare token, if it has one.

    `refresh` are the arguments of the operation that renews it, None if nothing does.
    """

    credentials: tuple[Credential, ...] = field(repr=False)
    token: str = field(repr=False)
    life: Expiring
    refresh: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def is_due(self) -> bool:
        """Whether it should be renewed before it is used again."""
        return self.life.is_due


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
    if isinstance(value, str) and not IDENTIFIERS.fullmatch(name) and not POINTER.fullmatch(value):
        secrets[reference[1] if reference else f"{SESSION_NAME}_{name.upper()}"] = value
    return value


def session_of(recipe: Recipe, answers: list[Answer], previous: LoginSession | None = None) -> LoginSession:
    """Return the session that the answers of a login lead to, the last of which has the token. Raises TokenError.

    What a renewal does not return is that of the previous session.
    """
    *_, last = answers
    cookies = {name: value for answer in answers for name, value in _cookies(answer.headers).items()}
    found, token = [], ""
    if recipe.token is not None:
        place = AnswerPlace(pointer=recipe.token) if isinstance(recipe.token, str) else recipe.token
        token = _found(place, last, cookies, recipe)
        found.append(_credential(recipe.send, token))
    if recipe.cookies:
        found += [Credential(f"{SESSION_NAME}_COOKIE", "cookie", name, value) for name, value in cookies.items()]
    if recipe.csrf is not None:
        place = AnswerPlace(recipe.csrf.header, recipe.csrf.cookie, recipe.csrf.pointer)
        found.append(
            Credential(f"{SESSION_NAME}_CSRF", "header", recipe.csrf.send, _found(place, last, cookies, recipe))
        )
    if not found:
        raise TokenError(f"Nothing was sent: the answer of {recipe.operation} has no cookies.")
    lifetime = _jwt_lifetime(token) if recipe.expires is None else _lifetime(recipe, last)
    kept = previous.refresh if previous is not None else None
    return LoginSession(tuple(found), token, Expiring.of("", lifetime), _arguments_of_refresh(recipe, last, kept))


def _arguments_of_refresh(
    recipe: Recipe, answer: Answer, previous: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return the arguments that renew a session; None if nothing does, or the answer lacks what is needed for it."""
    if recipe.refresh is None:
        return None
    pointers = {name: POINTER.fullmatch(str(value)) for name, value in recipe.refresh.arguments.items()}
    found = {name: _at(pointer[1], answer) for name, pointer in pointers.items() if pointer}
    known = {**(previous or {}), **{name: value for name, value in found.items() if value is not None}}
    return {**recipe.refresh.arguments, **known} if found.keys() <= known.keys() else None


def handshake(recipe: Recipe, answers: list[Answer]) -> tuple[Credential, ...]:
    """Return what the login itself carries after the operation before it: its cookies, and a token against forgery."""
    cookies = {name: value for answer in answers for name, value in _cookies(answer.headers).items()}
    sent = [Credential(f"{SESSION_NAME}_COOKIE", "cookie", name, value) for name, value in cookies.items()]
    if answers and recipe.csrf is not None:
        place = AnswerPlace(recipe.csrf.header, recipe.csrf.cookie, recipe.csrf.pointer)
        sent.append(
            Credential(f"{SESSION_NAME}_CSRF", "header", recipe.csrf.send, _found(place, answers[-1], cookies, recipe))
        )
    return tuple(sent)


def _credential(send: Send, token: str) -> Credential:
    location = "header" if send.header else "query" if send.query else "cookie"
    return Credential(SESSION_NAME, location, getattr(send, location), send.value.replace("{token}", token))


def _found(place: AnswerPlace, answer: Answer, cookies: Mapping[str, str], recipe: Recipe) -> str:
    """Return the text at a place of an answer. Raises TokenError if there is none."""
    if place.pointer is not None:
        value, where = _at(place.pointer, answer), f"at {place.pointer!r}"
    elif place.cookie:
        value, where = cookies.get(place.cookie), f"in the cookie {place.cookie}"
    else:
        value, where = answer.headers.get(place.header), f"in the header {place.header}"
    if not isinstance(value, str | int) or value == "":
        raise TokenError(
            f"Nothing was sent: the answer of {recipe.operation} has no text {where}. Correct the login recipe."
        )
    return str(value)


def _at(pointer: str, answer: Answer) -> Any:
    try:
        return resolve_pointer(json.loads(answer.body), pointer)
    except (ValueError, JsonPointerException):
        return None


def _cookies(headers: httpx.Headers) -> dict[str, str]:
    """Return the cookies that an answer sets (RFC 6265 section 4.1), without those that it deletes."""
    found: dict[str, str] = {}
    for line in headers.get_list("set-cookie"):
        try:
            morsels = SimpleCookie(line)
        except CookieError:
            continue
        found |= {name: each.coded_value for name, each in morsels.items() if each["max-age"] != "0" and each.value}
    return found


def _jwt_lifetime(token: str) -> float | None:
    """Return for how many seconds a JWT is valid (RFC 7519 section 4.1.4), None for one that does not say."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]) - time.time()
    except (IndexError, ValueError, TypeError, KeyError):
        return None


def _lifetime(recipe: Recipe, answer: Answer) -> float | None:
    """Return for how many seconds a session is valid, None if nobody says."""
    value = _at(recipe.expires, answer) if isinstance(recipe.expires, str) else recipe.expires
    if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
        try:
            return datetime.fromisoformat(value).astimezone().timestamp() - time.time()
        except ValueError:
            return None
    if not isinstance(value, int | float | str):
        return None
    number = float(value)
    number = number / 1000 if number >= MILLISECONDS else number
    return number - time.time() if number >= SECONDS else number
