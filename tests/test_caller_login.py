"""Callers log in to an API with accounts of their own: in a browser, at a certified provider, through a real server."""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from mcp import MCPError, UrlElicitationRequiredError

from tests.browser import new_browser, visit
from tests.conftest import Run, text_of
from tests.openid import items_document, running_openid_provider
from tests.support import serving

Json = dict[str, Any]

ALICE, BOB = "token-of-alice-1234", "token-of-bob-123456"
TOKENS = ",".join(
    f"{name}={hashlib.sha256(token.encode()).hexdigest()}" for name, token in (("alice", ALICE), ("bob", BOB))
)
CLIENT = {"OAUTH_CLIENT_ID": "team", "OAUTH_CLIENT_SECRET": "team-S3CRET-1"}
OPTIONS = ("--oauth-caller-login", "--tokens", TOKENS)


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """Return the URL of the provider."""
    with running_openid_provider() as url:
        yield url


@contextmanager
def served(folder: Path, provider_url: str, *arguments: str, env: Mapping[str, str] = CLIENT) -> Iterator[str]:
    """Run the server of the provider's API, and return the URL of its endpoint."""
    with serving(folder, items_document(provider_url), *OPTIONS, *arguments, env=env) as (url, _):
        yield url


@dataclass
class Person:
    """Who sits in front of a client and a browser: the token of the client, and the account at the provider."""

    token: str
    account: str = ""
    asked: list[Any] = field(default_factory=list)
    browser: httpx.Client = field(default_factory=new_browser)

    @asynccontextmanager
    async def client(self, url: str, mode: Any = "auto", action: Any = "accept") -> AsyncIterator[Client[Any]]:
        """Return a client of the server that opens in the person's browser what it is asked to."""

        async def open_page(message: str, kind: Any, params: Any, context: Any) -> Any:
            self.asked.append(params)
            if action == "accept":
                await asyncio.to_thread(self.log_in, params.url)
            return ElicitResult(action=action)

        transport = StreamableHttpTransport(url, auth=BearerAuth(self.token))
        async with Client(transport, elicitation_handler=open_page, mode=mode) as client:
            yield client

    def post(self, address: str, path: str, **value: Any) -> httpx.Response:
        """Send what the page at an address sends."""
        site, _, ticket = address.partition("/connect")
        headers = {"authorization": f"Bearer {self.token}"}
        return self.browser.post(f"{site}/connect/{path}", json={"ticket": ticket[1:], **value}, headers=headers)

    def begin(self, address: str) -> str:
        """Go on from the page at an address, and return where that leads."""
        begun = self.post(address, "begin")
        assert begun.status_code == 200, begun.text
        return str(begun.json()["url"])

    def log_in(self, address: str) -> str:
        """Log in from the page at an address, and return what the last page says."""
        assert "Your accounts" in self.browser.get(address).text
        return said(visit(self.begin(address), self.account, self.browser))


@pytest.fixture
def alice() -> Iterator[Person]:
    """Return a caller whose account is ada's."""
    person = Person(ALICE, "ada")
    with person.browser:
        yield person


@pytest.fixture
def bob() -> Iterator[Person]:
    """Return a caller whose account is ben's."""
    person = Person(BOB, "ben")
    with person.browser:
        yield person


def said(page: str) -> str:
    """Return what a page of the server says."""
    return html.unescape(page.partition('role="status">')[2].partition("<")[0])


async def subject_of(client: Client[Any]) -> Any:
    """Return whose token the API has got."""
    return json.loads(text_of(await client.call_tool("items", {})))["subject"]


def elicitation_of(error: MCPError) -> Any:
    """Return what the error of the protocol asks for."""
    (elicitation,) = UrlElicitationRequiredError.from_error(error.error).elicitations
    return elicitation


async def address_of(url: str, token: str, tool: str = "items") -> str:
    """Return the address that a call without a login is answered with, in the error of the protocol."""
    async with Client(StreamableHttpTransport(url, auth=BearerAuth(token)), mode="legacy") as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool(tool, {})
    elicitation = elicitation_of(raised.value)
    assert elicitation.elicitation_id
    assert elicitation.url in raised.value.error.message
    return str(elicitation.url)


async def test_callers_log_in_when_a_call_needs_it(
    provider_url: str, tmp_path: Path, alice: Person, bob: Person
) -> None:
    """A client of the newer protocol is asked once, with the address of a page, and the call goes on after the login.

    Each caller's calls carry that caller's account, also when they come at the same time.
    """
    with served(tmp_path, provider_url) as url:
        async with alice.client(url) as first, bob.client(url) as second:
            assert await asyncio.gather(subject_of(first), subject_of(second)) == ["ada", "ben"]
            calls = [subject_of(client) for client in (first, second) * 8]
            assert await asyncio.gather(*calls) == ["ada", "ben"] * 8
    assert [len(person.asked) for person in (alice, bob)] == [1, 1]
    assert "Items" in alice.asked[0].message
    assert not any(secret in alice.asked[0].url for secret in (ALICE, "alice"))


async def test_a_handshake_client_gets_the_error_of_the_protocol(
    provider_url: str, tmp_path: Path, alice: Person
) -> None:
    """A server without sessions cannot ask, so the error names the address; after the login the call succeeds.

    Calls before the login name the same address, whichever tool they are of.
    """
    with served(tmp_path, provider_url) as url:
        address = await address_of(url, ALICE)
        assert address == await address_of(url, ALICE)
        assert alice.log_in(address).startswith("alice is logged in to Items as ada.")
        async with alice.client(url, mode="legacy") as client:
            assert await subject_of(client) == "ada"
    assert alice.asked == []


#: Requests of clients that cannot be asked: before there was a page to open, and newer ones that do not say they can.
UNABLE: dict[str, tuple[Json, Json]] = {
    "2025-06-18": ({}, {}),
    "2026-07-28": (
        {"mcp-method": "tools/call", "mcp-name": "items"},
        {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        },
    ),
}


@pytest.mark.parametrize("version", UNABLE)
def test_a_client_that_cannot_be_asked_gets_the_address_in_words(
    provider_url: str, tmp_path: Path, alice: Person, version: str
) -> None:
    """The result is an error with the address for the person."""
    headers, meta = UNABLE[version]
    headers = {
        "accept": "application/json, text/event-stream",
        "authorization": f"Bearer {ALICE}",
        "mcp-protocol-version": version,
        **headers,
    }
    params: Json = {"name": "items", "arguments": {}, **({"_meta": meta} if meta else {})}
    with served(tmp_path, provider_url) as url:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        result = httpx.post(url, json=asked, headers=headers, timeout=30).json()["result"]
        (block,) = result["content"]
        address = re.search(r"http\S+/connect#\S+", block["text"])
        assert result["isError"]
        assert address
        assert "logged in to Items" in alice.log_in(address[0])


async def test_a_person_may_decline(provider_url: str, tmp_path: Path, alice: Person) -> None:
    """Whoever does not open the page gets an error, and nothing is sent."""
    with served(tmp_path, provider_url) as url:
        async with alice.client(url, action="decline") as client:
            result = await client.call_tool("items", {}, raise_on_error=False)
    assert "did not open the page" in text_of(result)


async def test_nobody_logs_in_for_another(provider_url: str, tmp_path: Path, alice: Person, bob: Person) -> None:
    """An address that was made for one caller is refused to others and to strangers, and works for its caller then."""
    with served(tmp_path, provider_url) as url:
        address = await address_of(url, ALICE)
        for path in ("accounts", "begin"):
            refused = bob.post(address, path)
            assert (refused.status_code, "made for another caller" in refused.text) == (403, True)
        stranger = Person("no-token")
        with stranger.browser:
            assert stranger.post(address, "begin").status_code == 401
        assert alice.post(address, "accounts").json() == {
            "caller": "alice",
            "asked": {"api": "Items", "host": urlsplit(provider_url).netloc},
            "logins": [],
        }
        assert "logged in to Items as ada" in alice.log_in(address)
        async with bob.client(url, mode="legacy") as client:
            with pytest.raises(MCPError):
                await client.call_tool("items", {})


async def test_an_address_is_used_once(provider_url: str, tmp_path: Path, alice: Person) -> None:
    """Of those who go on from one page at the same time one does, and nobody does later."""
    with served(tmp_path, provider_url) as url:
        address = await address_of(url, ALICE)
        begun = await asyncio.gather(*(asyncio.to_thread(alice.post, address, "begin") for _ in range(5)))
        assert sorted(each.status_code for each in begun) == [200, 410, 410, 410, 410]
        assert "Call the tool again" in alice.post(address, "begin").text
        assert await address_of(url, ALICE) != address
