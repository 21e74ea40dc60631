"""What the answers of a login make: the session, as a recipe says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import unquote

import httpx
from jsonpointer import JsonPointerException, resolve_pointer

from portkey_bridge.credentials.recipe import POINTER, SESSION_NAME, AnswerPlace, Recipe, Rejection
from portkey_bridge.credentials.redaction import WORD_LENGTH
from portkey_bridge.credentials.renewal import Expiring, jwt_claims
from portkey_bridge.credentials.schemes import COOKIES, Credential
from portkey_bridge.errors import TokenError
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.json_views import is_json

#: What the credentials of a session are called where they are hidden, besides the token.
COOKIE_NAME, CSRF_NAME = f"{SESSION_NAME}_COOKIE", f"{SESSION_NAME}_CSRF"
OF_SESSION = (SESSION_NAME, COOKIE_NAME, CSRF_NAME)

#: Numbers from these on are milliseconds and seconds since the epoch; smaller ones are seconds from now.
MILLISECONDS, SECONDS = 1e11, 1e9

#: Bytes of the longest body that is read to see whether the session has ended: an error is short.
LONGEST_ERROR = 100_000


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


class LoginAnswers:
    """The answers of the operations of a login so far, and what they make.

    With a `previous` session they renew it: what they do not return is that of this one.
    """

    def __init__(self, recipe: Recipe, previous: LoginSession | None = None) -> None:
        self._recipe, self._previous = recipe, previous
        self._login: Answer | None = None
        self._cookies: dict[str, str] = {}
        self.token = ""
        self._csrf: str | None = None

    def take(self, answer: Answer, *, is_login: bool) -> None:
        """Take the answer of the next operation, which may be the login itself. Raises TokenError for one without a
        token.
        """
        recipe = self._recipe
        self._cookies |= _cookies(answer.headers)
        if is_login:
            self._login = answer
            if recipe.token is not None:
                place = AnswerPlace(pointer=recipe.token) if isinstance(recipe.token, str) else recipe.token
                self.token = self._required(place, answer)
        if recipe.csrf is not None:
            self._csrf = self._at(recipe.csrf, answer) or self._csrf
            comes_later = self._previous is not None or (recipe.after and answer is self._login)
            if self._csrf is None and not comes_later:
                self._required(recipe.csrf, answer)

    @property
    def carried(self) -> tuple[Credential, ...]:
        """What the next operation of the login carries: the token if it is known, cookies, a token against forgery."""
        return tuple(_credentials(self._recipe, self.token, self._cookies, self._csrf))

    def session(self) -> LoginSession:
        """Return the session that the login leads to. Raises TokenError if there is nothing that calls could carry."""
        recipe, login, previous = self._recipe, self._login, self._previous
        found = _credentials(recipe, self.token, self._cookies if recipe.cookies else {}, self._csrf)
        kept = {each.place: each for each in (*(previous.credentials if previous else ()), *found)}
        if not kept or login is None:
            raise TokenError("without cookies")
        lifetime = _jwt_lifetime(self.token) if recipe.expires is None else _lifetime(recipe, login)
        arguments = _arguments_of_refresh(recipe, login, previous.refresh if previous else None)
        return LoginSession(tuple(kept.values()), self.token, Expiring.of("", lifetime), arguments)

    def _required(self, place: AnswerPlace, answer: Answer) -> str:
        value = self._at(place, answer)
        if value is None:
            at_pointer = f"at {place.pointer!r}" if place.pointer is not None else ""
            elsewhere = f"in the cookie {place.cookie}" if place.cookie else f"in the header {place.header}"
            raise TokenError(f"without a text {at_pointer or elsewhere}")
        return value

    def _at(self, place: AnswerPlace, answer: Answer) -> str | None:
        """Return the text at a place of an answer, None if there is none."""
        if place.pointer is not None:
            value = _value_at(place.pointer, answer)
        else:
            value = self._cookies.get(place.cookie) if place.cookie else answer.headers.get(place.header)
        is_text = isinstance(value, str | int) and not isinstance(value, bool)
        return str(value) if is_text and value != "" else None


def with_cookies(recipe: Recipe, session: LoginSession, answer: Answer) -> LoginSession:
    """Return the session with the cookies that an answer sets, one of which may be a token against forgery."""
    cookies = _cookies(answer.headers)
    csrf = cookies.get(recipe.csrf.cookie) if recipe.csrf is not None else None
    found = (*session.credentials, *_credentials(recipe, "", cookies, csrf))
    return replace(session, credentials=tuple({each.place: each for each in found}.values()))


def values_to_hide(credentials: Iterable[Credential]) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the secrets besides the token; a word in a cookie, as of a theme, is none."""
    for each in credentials:
        is_word = each.variable == COOKIE_NAME and each.value.isalpha() and len(each.value) < WORD_LENGTH
        if each.variable != SESSION_NAME and not is_word:
            yield each.variable, each.value


def placeholders(recipe: Recipe, stand_in: Callable[[str], str]) -> tuple[Credential, ...]:
    """Return the credentials of a session that is not obtained; `stand_in` returns what stands for one of a name."""
    token = stand_in(SESSION_NAME) if recipe.token is not None else ""
    sent = _credentials(recipe, token, {}, stand_in(CSRF_NAME) if recipe.csrf else None)
    cookies = (Credential(COOKIE_NAME, *COOKIES, stand_in(COOKIE_NAME)),) if recipe.cookies else ()
    return (*sent, *cookies)


def has_ended(recipe: Recipe, answer: Answer, is_login: bool) -> bool:
    """Check whether an answer says that the session has ended. The status of a login is about the login itself."""
    return any(
        _says(answer, each) if isinstance(each, Rejection) else each == answer.status and not is_login
        for each in recipe.rejected
    )


def _says(answer: Answer, rejection: Rejection) -> bool:
    value = _value_at(rejection.pointer, answer) if len(answer.body) <= LONGEST_ERROR else None
    if isinstance(value, str) and isinstance(rejection.value, str):
        return rejection.value in value
    return bool(value == rejection.value)


def _credentials(recipe: Recipe, token: str, cookies: Mapping[str, str], csrf: str | None) -> Iterator[Credential]:
    if token:
        send = recipe.send
        location = "header" if send.header else "query" if send.query else "cookie"
        yield Credential(SESSION_NAME, location, getattr(send, location), send.value.replace("{token}", token))
    yield from (Credential(COOKIE_NAME, "cookie", name, value) for name, value in cookies.items())
    if recipe.csrf is not None and csrf is not None:
        is_cookie = bool(recipe.csrf.cookie)  # which the scripts of pages decode
        yield Credential(CSRF_NAME, "header", recipe.csrf.send, unquote(csrf) if is_cookie else csrf)


def _arguments_of_refresh(
    recipe: Recipe, answer: Answer, previous: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return the arguments that renew a session; None if nothing does, or the answer lacks what is needed for it."""
    if recipe.refresh is None:
        return None
    pointers = {name: POINTER.fullmatch(str(value)) for name, value in recipe.refresh.arguments.items()}
    found = {name: _value_at(pointer[1], answer) for name, pointer in pointers.items() if pointer}
    known = {**(previous or {}), **{name: value for name, value in found.items() if value is not None}}
    return {**recipe.refresh.arguments, **known} if found.keys() <= known.keys() else None


def _value_at(pointer: str, answer: Answer) -> Any:
    """Return the value at a pointer into the JSON body of an answer; the body itself where it is a bare text."""
    if pointer == "" and not is_json(answer.body):
        return answer.body.decode("utf-8", "replace").strip()
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
        return float(jwt_claims(token)["exp"]) - time.time()
    except (KeyError, TypeError, ValueError):
        return None


def _lifetime(recipe: Recipe, answer: Answer) -> float | None:
    """Return for how many seconds a session is valid, None if nobody says."""
    value = _value_at(recipe.expires, answer) if isinstance(recipe.expires, str) else recipe.expires
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
