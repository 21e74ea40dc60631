"""The commands `login` and `logout`: a person logs in at an OAuth 2 authorization server, and is forgotten again."""

from __future__ import annotations

import asyncio
import re
import sys
import webbrowser
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

from portkey_bridge.bridge.configured_bridge import token_sources
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.credentials import logins
from portkey_bridge.credentials.authorization import (
    CODE,
    DEVICE,
    authorization_request,
    await_device,
    log_out,
    login_server,
    parameters_of,
    redeem,
    wanted,
)
from portkey_bridge.credentials.environment import read_environment
from portkey_bridge.credentials.logins import Login
from portkey_bridge.credentials.oauth_grants import is_for_people
from portkey_bridge.credentials.oauth_tokens import TokenSource
from portkey_bridge.errors import SettingsError, TokenError
from portkey_bridge.openapi.model import Api
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import printable, shown_url
from portkey_bridge.tools.catalog import Tool

#: Where the browser is redirected to (RFC 8252 section 7.3); 0 is a free port.
REDIRECT = "http://127.0.0.1:0/callback"

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")

#: Seconds that a person has to log in in the browser.
LOGIN_TIMEOUT = 300


def login(invocation: Invocation) -> int:
    """Log in, with a browser or a code, and keep the tokens. Return 1 if that fails. Raises SettingsError."""
    source = _source(invocation)
    flow = DEVICE if invocation.options.get("device") else CODE
    redirect = _loopback(invocation.options.get("redirect", REDIRECT))
    try:
        found = _run(source, lambda: _with_code(source) if flow == DEVICE else _with_browser(source, redirect))
    except TokenError as error:
        print(str(error).removeprefix("Nothing was sent: "), file=sys.stderr)
        return 1
    place = logins.save_login(source.login_name, found)
    print(f"Logged in{f' as {printable(found.who)}' * bool(found.who)}, {until(found)}. The login is kept in {place}.")
    return 0


def logout(invocation: Invocation) -> int:
    """Forget the login, and revoke its tokens where the server offers it. Raises SettingsError."""
    source = _source(invocation)
    try:
        existed = _run(source, lambda: log_out(source))
    except TokenError as error:
        print(f"Logged out here, but the tokens were not revoked: {error}")
        return 0
    print("Logged out." if existed else "Nobody was logged in.")
    return 0


def until(login: Login) -> str:
    """Return until when a login is valid, in the local time."""
    if login.token.expires is None:
        return "with a token that does not say when it expires"
    at = datetime.fromtimestamp(login.token.expires).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"until {at}" + (", renewed by itself" if login.token.refresh else "")


def _source(invocation: Invocation) -> TokenSource:
    """Return where the tokens of a person come from, for the API that is meant. Raises SetupError."""
    settings = invocation.chosen
    api, tools = load_tools(settings)
    source = next(iter(people_sources(api, settings, tools)), None)
    if source is None:
        raise SettingsError(
            "the document declares no login for people. Set --oauth-issuer, or --oauth-authorization-url and "
            "--oauth-token-url, if the API has one."
        )
    return source


def people_sources(api: Api, settings: Settings, tools: Sequence[Tool]) -> list[TokenSource]:
    """Return where the tokens of the tools that a person can log in to come from. Raises SettingsError."""
    sources = token_sources(api, settings, tools, read_environment(api, settings))
    every = sources.every(tool.operation for tool in tools)
    return [source for source in every if is_for_people(source.scheme, settings)]


def _run(source: TokenSource, begin: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        try:
            return await begin()
        finally:
            await source.transport.aclose()

    return asyncio.run(run())


def _loopback(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK_NAMES:
        raise SettingsError(f"--redirect: {url!r} is not a loopback URL like http://127.0.0.1:8123/callback.")
    return url


async def _with_code(source: TokenSource) -> Login:
    server = await login_server(source, DEVICE)
    device = await server.device_code(wanted(source, server))
    print(f"Open {printable(str(device.get('verification_uri')))} and enter {printable(str(device.get('user_code')))}")
    if device.get("verification_uri_complete"):
        print(f"or open {printable(str(device['verification_uri_complete']))}", flush=True)
    return await await_device(source, server, device)


async def _with_browser(source: TokenSource, redirect: str) -> Login:
    server = await login_server(source, CODE)
    parts = urlsplit(redirect)
    receiver = _Receiver(parts.path or "/")
    listener = await asyncio.start_server(receiver.answer, parts.hostname, parts.port or 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        netloc = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
        request = authorization_request(source, server, parts._replace(netloc=f"{netloc}:{port}").geturl())
        receiver.state = request.state
        print(
            f"Log in at {shown_url(request.url)} in the browser. If it does not open, open this:\n{request.url}",
            flush=True,
        )
        opening = asyncio.ensure_future(asyncio.to_thread(webbrowser.open, request.url))
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                answer = await receiver.received.get()
        except TimeoutError:
            raise TokenError(f"Nobody logged in within {LOGIN_TIMEOUT // 60} minutes.") from None
        await opening
    return await redeem(source, server, request, answer)


class _Receiver:
    """Receives the authorization response (RFC 6749 section 4.1.2): the request to `path` that has the right state."""

    def __init__(self, path: str) -> None:
        self.path, self.state = path, ""
        self.received: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a browser."""
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.partition("\r\n")[0].split(" ")
            answer = parameters_of(target)
            is_expected = method == "GET" and urlsplit(target).path == self.path and _is_for_loopback(head)
            if is_expected and compare_digest(answer.get("state", "").encode(), self.state.encode()):
                self.received.put_nowait(answer)
                writer.write(_page("200 OK", "You can close this window and return to the terminal."))
            else:
                writer.write(_page("404 Not Found", "This is not the answer that portkey-bridge is waiting for."))
            await writer.drain()
        writer.close()


def _is_for_loopback(head: str) -> bool:
    """Check whether a request names a loopback host: any other name was made to lead here (DNS rebinding)."""
    hosts = re.findall(r"(?im)^host:[ \t]*([^\r\n]*)", head)
    return len(hosts) == 1 and urlsplit(f"//{hosts[0].strip()}").hostname in LOOPBACK_NAMES


def _page(status: str, text: str) -> bytes:
    body = f"<!doctype html><meta charset=utf-8><title>portkey-bridge</title><p>{text}</p>".encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body
