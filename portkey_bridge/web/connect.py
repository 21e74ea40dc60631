"""The page `/connect`, on which callers log in to APIs with accounts of their own: authorization code, PKCE and state.

Whoever opens the address of a ticket has to prove first, with a token for this server, to be the caller that it was
made for. The answer of the authorization server counts only in the browser in which that happened.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from portkey_bridge.bridge.service import Service
from portkey_bridge.callers.bridges import CALLER, SITE
from portkey_bridge.callers.observed import ObserveLogin
from portkey_bridge.callers.store import Store
from portkey_bridge.callers.stored_logins import (
    ACCOUNTS_PATH,
    BEGIN_PATH,
    CALLBACK_PATH,
    CONNECT_PATH,
    FORGET_PATH,
    TICKET_LIFE,
    Authorization,
    StoredLogins,
    Ticket,
    begin_authorization,
    digest_of,
    logins_of,
    take_authorization,
    take_ticket,
    ticket_of,
)
from portkey_bridge.credentials.authorization import (
    CODE,
    authorization_request,
    login_server,
    parameters_of,
    redeem,
)
from portkey_bridge.credentials.caller_login import caller_login_name
from portkey_bridge.credentials.oauth import OAuthCredentials
from portkey_bridge.credentials.oauth_grants import is_for_people, wanted_scopes
from portkey_bridge.credentials.oauth_tokens import TokenSource
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.errors import CallError, TokenError
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.fastmcp_seam import McpServer
from portkey_bridge.text import printable
from portkey_bridge.web.inbound import STATIC
from portkey_bridge.web.reference_page import login_document
from portkey_bridge.web.web_page import PAGE_HEADERS, UNFRAMED, for_callers, json_of, json_response

#: What begins the name of the cookie that tells the browser of a login from others; each login has one.
LOGIN_COOKIE = "portkey-bridge-login-"

#: What is said of an address that another caller was given, of one that cannot be used, and of a foreign answer.
ANOTHERS_TICKET = (
    "This address was made for another caller of this server, so nobody but that caller can log in by it. If somebody "
    "sent it to you, do not go on: call the tool yourself, and open the address that you are given."
)
USED_TICKET = "This address has been used, or it is too old. Call the tool again, which gives you another one."
FOREIGN_ANSWER = (
    "This is not the answer to a login that this browser has begun in the last minutes, or it has been used. Nothing "
    "was kept. Call the tool again, and open the address that you are given."
)


class _Account(NamedTuple):
    """What a caller can log in to: where tokens come from, and where the caller's login is kept under which name.

    `redact` hides what was learned on the way.
    """

    source: TokenSource
    logins: StoredLogins
    name: str
    redact: Redactor


class Connect:
    """Answers for the page. `current` returns what is served to the caller of the request, `every` what is at all.

    Each observer is told what happens to a login.
    """

    def __init__(
        self,
        current: Callable[[], Catalogue],
        every: Callable[[], Catalogue],
        store: Store,
        observers: Sequence[ObserveLogin],
    ) -> None:
        self._current, self._every, self._store, self._observers = current, every, store, observers

    async def page(self, request: Request) -> Response:
        """Return the page, which is the same for everybody."""
        return _shown()

    async def accounts(self, request: Request) -> Response:
        """Return who the caller is, what the ticket in the request asks for, and the caller's logins."""
        asked = await self._asked(await json_of(request))
        logins = [(each, await each.logins.load(each.name)) for each in self._of_caller()]
        found = [
            {"name": each.name, "api": each.logins.title, "who": printable(login.who)}
            for each, login in logins
            if login is not None
        ]
        wanted = {"api": asked.logins.title, "host": await _host(asked.source)} if asked else None
        return json_response({"caller": _shown_name(_subject()), "asked": wanted, "logins": found})

    async def begin(self, request: Request) -> Response:
        """Use up the ticket in the request, and return where the browser goes to log in."""
        given = await json_of(request)
        account = await self._asked(given)
        server = await login_server(account.source, CODE) if account else None
        if account is None or server is None or not await take_ticket(self._store, str(given["ticket"])):
            raise HTTPException(410, USED_TICKET)
        site, browser = SITE.get(), secrets.token_urlsafe(32)
        asking = authorization_request(account.source, server, f"{site}{CALLBACK_PATH}")
        begun = Authorization(
            Ticket(_subject(), account.logins.api, account.name),
            account.source.scopes,
            asking.redirect_uri,
            digest_of(browser),
            asking.verifier,
            asking.nonce,
        )
        await begin_authorization(self._store, asking.state, begun)
        response = json_response({"url": asking.url})
        is_secure = site.startswith("https:")
        response.set_cookie(
            _cookie_of(asking.state),
            browser,
            max_age=int(TICKET_LIFE),
            path=_page_of(asking.redirect_uri),
            secure=is_secure,
            httponly=True,
            samesite="lax",
        )
        return response

    async def callback(self, request: Request) -> Response:
        """Keep the login that an authorization response leads to, in the name of whoever has begun it."""
        answer = parameters_of(str(request.url))
        state, browser = answer.get("state", ""), request.cookies.get(_cookie_of(answer.get("state", "")), "")
        try:
            begun = await take_authorization(self._store, state, browser)
            account = self._account(begun.ticket, self._every().services) if begun else None
        except CallError as error:
            return _shown(f"You are not logged in. {error}", 503)
        if begun is None or account is None:
            return _shown(FOREIGN_ANSWER, 400)
        source = replace(account.source, scopes=begun.scopes)
        try:
            login = await redeem(source, await login_server(source, CODE), begun.request(state), answer)
            await account.logins.save(account.name, login)
        except CallError as error:
            self._observed(account, "failed")
            return _shown(f"You are not logged in. {account.redact(str(error))}", 400)
        self._observed(account, "completed")
        who = f" as {printable(login.who)}" if login.who else ""
        said = f"{_shown_name(begun.ticket.owner)} is logged in to {account.logins.title}{who}."
        response = _shown(f"{said} Close this page, and go back to your client.")
        response.delete_cookie(_cookie_of(state), path=_page_of(begun.redirect_uri))
        return response

    async def forget(self, request: Request) -> Response:
        """Forget the caller's login of the name in the request, and revoke its tokens where the server can."""
        name = (await json_of(request)).get("name")
        account = next((each for each in self._of_caller() if each.name == name), None)
        login = await account.logins.load(account.name) if account else None
        if account is None or login is None:
            raise HTTPException(404, "There is no such login.")
        await account.logins.forget(account.name)
        self._observed(account, "forgotten")
        try:
            server = await account.source.server(CODE, login.client_id)
            await server.revoke(login.token.refresh or login.token.value)
        except TokenError:
            return json_response({"remark": "Its tokens could not be revoked; they end by themselves."})
        return json_response({"remark": ""})

    def _observed(self, account: _Account, outcome: str) -> None:
        for each in self._observers:
            each(account.logins.api or account.logins.title, account.logins.owner, outcome)

    async def _asked(self, given: Mapping[str, Any]) -> _Account | None:
        """Return what the ticket of a request is for; None without a ticket that can be used. Raises HTTPException."""
        text = given.get("ticket")
        ticket = await ticket_of(self._store, text) if isinstance(text, str) else None
        if ticket is None:
            return None
        if ticket.owner != _subject():
            raise HTTPException(403, ANOTHERS_TICKET)
        return self._account(ticket, self._current().services)

    def _of_caller(self) -> Iterator[_Account]:
        return _accounts(self._store, self._current().services, _subject())

    def _account(self, ticket: Ticket, services: Sequence[Service]) -> _Account | None:
        among = _accounts(self._store, services, ticket.owner)
        return next((each for each in among if (each.logins.api, each.name) == (ticket.api, ticket.login)), None)


def _accounts(store: Store, services: Sequence[Service], owner: str) -> Iterator[_Account]:
    """Yield the accounts that a caller can log in to, with the scopes that the caller's tools need."""
    for service in services:
        provider, operations = service.bridge.provider, [tool.operation for tool in service.tools]
        if not service.settings.oauth_caller_login or not isinstance(provider, OAuthCredentials):
            continue
        redact = Redactor({})
        sources = replace(provider.sources.of_caller(redact), wanted=wanted_scopes(operations))
        for source in sources.every(operations):
            if is_for_people(source.scheme, service.settings):
                yield _Account(source, logins_of(store, service, owner), caller_login_name(source), redact)


def _cookie_of(state: str) -> str:
    return LOGIN_COOKIE + digest_of(state)[:16]


def _page_of(redirect_uri: str) -> str:
    """Return the path of this page as a browser reaches it."""
    return urlsplit(redirect_uri).path.removesuffix(CALLBACK_PATH) + CONNECT_PATH


def _subject() -> str:
    return CALLER.get().subject or ""


def _shown_name(subject: str) -> str:
    """Return the name of a caller for people: without the issuer if it is one of `--tokens`."""
    return printable(subject.removeprefix(f"{STATIC} "))


async def _host(source: TokenSource) -> str:
    """Return the host at which a person logs in. Raises TokenError."""
    server = await login_server(source, CODE)
    return urlsplit(server.endpoints["authorization"].url).netloc


def _shown(said: str = "", status: int = 200) -> Response:
    page = login_document(said, has_ended=bool(said))
    policy = {"content-security-policy": f"{page.policy}; {UNFRAMED}"}
    return HTMLResponse(page.text, status, {**PAGE_HEADERS, **policy})


def add_connect(server: McpServer, connect: Connect) -> None:
    """Have a server answer for the page; `server.auth` is what verifies tokens."""
    server.custom_route(CONNECT_PATH, ["GET"])(connect.page)
    server.custom_route(CALLBACK_PATH, ["GET"])(connect.callback)
    handlers = {ACCOUNTS_PATH: connect.accounts, BEGIN_PATH: connect.begin, FORGET_PATH: connect.forget}
    for path, handler in handlers.items():
        server.custom_route(path, ["POST"])(for_callers(handler, server.auth))
