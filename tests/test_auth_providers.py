"""Every provider of `[serve.auth]` in a running server, against stand-ins of its authorization server."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from portkey_bridge.settings.serving import PROVIDERS
from tests.authorization_servers import DISCOVERY, OPAQUE, AuthorizationServers, authorization_servers
from tests.conftest import Recorder
from tests.replicas import free_port
from tests.support import document, serving

Json = dict[str, Any]

JSON = {"content-type": "application/json"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_thing", "arguments": {}}}

#: Where a client of a test would listen for the end of its login.
REDIRECT_URI = "http://127.0.0.1:7/callback"

CLIENT = 'client_id = "bridge"\nclient_secret = "$CLIENT_SECRET"\n'
ENV = {"CLIENT_SECRET": "secret-of-the-bridge"}


class Case(NamedTuple):
    """A provider: its table, who its tokens are from, the server that clients are led to, and where a person logs in.

    Tokens are opaque without an `issuer`; `is_for_site` is whether they are for the endpoint as their audience.
    """

    table: str
    issuer: str = ""
    server: str = ""
    login: str = ""
    is_for_site: bool = False
    algorithm: str = "RS256"
    claims: Mapping[str, Any] = {}


LOGIN = "https://login.example"

CASES: dict[str, Case] = {
    "jwt": Case(f'jwks_uri = "{LOGIN}/keys"\nissuer = "{LOGIN}"\naudience = "bridge"\n', LOGIN),
    "introspection": Case(f'introspection_url = "{LOGIN}/introspect"\n{CLIENT}'),
    "remote": Case(
        f'authorization_servers = ["{LOGIN}"]\n[serve.auth.token_verifier]\nprovider = "jwt"\n'
        f'jwks_uri = "{LOGIN}/keys"\nissuer = "{LOGIN}"\naudience = "bridge"\n',
        LOGIN,
        server=f"{LOGIN}/",
    ),
    "oauth-proxy": Case(
        f'upstream_authorization_endpoint = "{LOGIN}/authorize"\nupstream_token_endpoint = "{LOGIN}/token"\n'
        'upstream_client_id = "bridge"\nupstream_client_secret = "$CLIENT_SECRET"\n'
        f'[serve.auth.token_verifier]\nprovider = "introspection"\nintrospection_url = "{LOGIN}/introspect"\n{CLIENT}',
        login=f"{LOGIN}/authorize",
    ),
    "oidc-proxy": Case(
        f'config_url = "{LOGIN}{DISCOVERY}"\naudience = "bridge"\n{CLIENT}', LOGIN, login=f"{LOGIN}/authorize"
    ),
    "auth0": Case(
        f'config_url = "{LOGIN}{DISCOVERY}"\naudience = "bridge"\n{CLIENT}', LOGIN, login=f"{LOGIN}/authorize"
    ),
    "auth0-mcp": Case(f'config_url = "{LOGIN}{DISCOVERY}"\n', LOGIN, server=f"{LOGIN}/", is_for_site=True),
    "authkit": Case(f'authkit_domain = "{LOGIN}"\n', LOGIN, server=LOGIN, is_for_site=True),
    "aws-cognito": Case(
        f'user_pool_id = "pool"\naws_region = "eu-west-1"\n{CLIENT}',
        "https://cognito-idp.eu-west-1.amazonaws.com/pool",
        login="https://cognito-idp.eu-west-1.amazonaws.com/pool/authorize",
        claims={"aud": None, "client_id": "bridge"},
    ),
    "azure": Case(
        f'tenant_id = "tenant"\nrequired_scopes = ["read"]\n{CLIENT}',
        "https://login.microsoftonline.com/tenant/v2.0",
        login="https://login.microsoftonline.com/tenant/oauth2/v2.0/authorize",
        claims={"scope": None, "scp": "read"},
    ),
    "clerk": Case(f'domain = "login.example"\n{CLIENT}', login=f"{LOGIN}/oauth/authorize"),
    "descope": Case(
        f'config_url = "{LOGIN}/v1/apps/project{DISCOVERY}"\n',
        f"{LOGIN}/v1/apps/project",
        server=f"{LOGIN}/v1/apps/project",
        claims={"aud": "project"},
    ),
    "discord": Case(CLIENT, login="https://discord.com/oauth2/authorize"),
    "github": Case(CLIENT, login="https://github.com/login/oauth/authorize"),
    "google": Case(CLIENT, login="https://accounts.google.com/o/oauth2/v2/auth"),
    "huggingface": Case(CLIENT, login="https://huggingface.co/oauth/authorize"),
    "keycloak": Case(
        f'realm_url = "{LOGIN}/realms/team"\naudience = "bridge"\n',
        f"{LOGIN}/realms/team",
        server=f"{LOGIN}/realms/team",
    ),
    "oci": Case(f'config_url = "{LOGIN}{DISCOVERY}"\n{CLIENT}', LOGIN, login=f"{LOGIN}/authorize"),
    "propelauth": Case(
        f'auth_url = "{LOGIN}"\nintrospection_client_id = "bridge"\nintrospection_client_secret = "$CLIENT_SECRET"\n',
        server=f"{LOGIN}/oauth/2.1",
    ),
    "scalekit": Case(
        f'environment_url = "{LOGIN}"\nresource_id = "bridge"\n',
        f"{LOGIN}/resources/bridge",
        server=f"{LOGIN}/resources/bridge",
    ),
    "supabase": Case(
        f'project_url = "{LOGIN}"\n',
        f"{LOGIN}/auth/v1",
        server=f"{LOGIN}/auth/v1",
        algorithm="ES256",
        claims={"aud": "authenticated"},
    ),
    "workos": Case(f'authkit_domain = "{LOGIN}"\n{CLIENT}', login=f"{LOGIN}/oauth2/authorize"),
}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[AuthorizationServers]:
    """Return the authorization servers of the internet."""
    with authorization_servers(tmp_path) as found:
        yield found


def served(recorder: Recorder, folder: Path, servers: AuthorizationServers, provider: str, table: str = "") -> Any:
    """Run a server whose callers are verified by a provider, as docs/serving.md describes it; `table` is added."""
    site = f"http://127.0.0.1:{free_port()}"
    place = "" if provider in ("jwt", "introspection") else f'base_url = "{site}"\n'
    auth = f'[serve.auth]\nprovider = "{provider}"\n{place}{CASES[provider].table}{table}'
    (folder / "team.toml").write_text(f'[api.main]\nprefix = ""\nspec = "api.json"\n{auth}')
    things = {"/things": {"get": {"operationId": "read_thing", "responses": {}}}}
    root = document(things, servers=[{"url": recorder.url}])
    arguments = ("--config", "team.toml", "--http", urlsplit(site).netloc, "--audit")
    return serving(folder, root, *arguments, env={**ENV, **servers.env})


def caller(http: httpx.AsyncClient, token: str | None) -> Any:
    """Call the tool, with a token."""
    headers = {**JSON, "accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
    return http.post("/mcp", json=CALL, headers=headers | ({"authorization": f"Bearer {token}"} if token else {}))


def access_token(servers: AuthorizationServers, case: Case, url: str, **claims: Any) -> str:
    """Return Ada's token of the authorization server."""
    if not case.issuer:
        return OPAQUE
    audience = {"aud": url} if case.is_for_site else {}
    return servers.token(case.issuer, case.algorithm, **{**audience, **case.claims, **claims})


async def registered(http: httpx.AsyncClient) -> str:
    """Register a client, and return its identifier (RFC 7591)."""
    metadata = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none", "client_name": "A client"}
    answer = await http.post("/register", json=metadata)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["client_id"])


async def logged_in(http: httpx.AsyncClient, login: str) -> str:
    """Log Ada in as a client and a browser do, by the place where the authorization server asks her for it."""
    client, verifier = await registered(http), secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": REDIRECT_URI,
        "state": "of-the-client",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    consent = await http.get("/authorize", params=asked)
    page = await http.get(consent.headers["location"])
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    approved = await http.post("/consent", data={**fields, "action": "approve"})
    place, _, query = approved.headers["location"].partition("?")
    assert place == login
    returned = await http.get("/auth/callback", params={"code": "code", "state": parse_qs(query)["state"][0]})
    place, _, query = returned.headers["location"].partition("?")
    answer = parse_qs(query)
    assert (place, answer["state"]) == (REDIRECT_URI, ["of-the-client"])
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"][0],
        "redirect_uri": REDIRECT_URI,
        "client_id": client,
        "code_verifier": verifier,
    }
    issued = await http.post("/token", data=form)
    assert issued.status_code == 200, issued.text
    return str(issued.json()["access_token"])


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_each_provider_verifies_callers(
    provider: str, recorder: Recorder, tmp_path: Path, servers: AuthorizationServers
) -> None:
    """Whoever has a token of the provider calls, nobody else does, and clients learn where tokens come from."""
    case = CASES[provider]
    with served(recorder, tmp_path, servers, provider) as (url, process):
        async with httpx.AsyncClient(base_url=url.removesuffix("/mcp"), timeout=30) as http:
            servers.issued = access_token(servers, case, url)
            token = await logged_in(http, case.login) if case.login else servers.issued
            refused = [await caller(http, each) for each in (None, "a.b.c", f"{token}x")]
            called = await caller(http, token)
            metadata = await http.get("/.well-known/oauth-protected-resource/mcp")
        process.terminate()
        audited = [json.loads(line) for line in process.stdout]
    assert (called.status_code, [each.status_code for each in refused]) == (200, [401, 401, 401])
    assert [each["caller"].split()[-1] for each in audited] == ["ada"]
    if case.login or case.server:
        place = url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
        assert f'resource_metadata="{place}"' in refused[0].headers["www-authenticate"]
        assert metadata.json()["resource"] == url
        assert metadata.json()["authorization_servers"] == [case.server or url.removesuffix("mcp")]


#: Providers whose tokens are JSON Web Tokens that clients come with.
OF_CLIENTS = [name for name, case in CASES.items() if case.issuer and not case.login]


@pytest.mark.slow
@pytest.mark.parametrize("provider", OF_CLIENTS)
async def test_no_provider_takes_every_token_of_its_issuer(
    provider: str, recorder: Recorder, tmp_path: Path, servers: AuthorizationServers
) -> None:
    """ID tokens, tokens for others, and tokens that have expired or never will, are refused."""
    case = CASES[provider]
    with served(recorder, tmp_path, servers, provider) as (url, _):
        refused = {
            "without an end": access_token(servers, case, url, exp=None),
            "expired": access_token(servers, case, url, exp=int(time.time()) - 60),
            "an ID token": access_token(servers, case, url, nonce="n"),
            "for another": access_token(servers, case, url, aud="https://other.example"),
            "of another issuer": access_token(servers, case, url, iss="https://other.example"),
        }
        async with httpx.AsyncClient(base_url=url.removesuffix("/mcp"), timeout=30) as http:
            statuses = {name: (await caller(http, token)).status_code for name, token in refused.items()}
            right = await caller(http, access_token(servers, case, url))
    assert statuses == dict.fromkeys(refused, 401)
    assert right.status_code == 200


#: Identity providers of two organizations, each with an Ada of its own.
ORGANIZATIONS = ("https://one.example", "https://two.example")


@pytest.mark.slow
async def test_an_organization_vouches_for_its_people(
    recorder: Recorder, tmp_path: Path, servers: AuthorizationServers
) -> None:
    """Whoever an identity provider vouches for calls without a login, and is nobody that another one vouches for."""
    table = f'[serve.auth.identity_assertion]\ntrusted_issuers = ["{ORGANIZATIONS[0]}", "{ORGANIZATIONS[1]}"]\n'
    with served(recorder, tmp_path, servers, "oidc-proxy", table=table) as (url, process):
        async with httpx.AsyncClient(base_url=url.removesuffix("/mcp"), timeout=30) as http:
            client = await registered(http)

            async def exchanged(issuer: str, **claims: Any) -> httpx.Response:
                site = url.removesuffix("mcp")
                named = {"aud": site, "client_id": client, "resource": url, "jti": secrets.token_hex(8), **claims}
                assertion = servers.token(issuer, header={"typ": "oauth-id-jag+jwt"}, **named)
                grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
                form = {"grant_type": grant, "assertion": assertion, "client_id": client}
                return await http.post("/token", data=form)

            for issuer in ORGANIZATIONS:
                issued = await exchanged(issuer)
                assert issued.status_code == 200, issued.text
                assert (await caller(http, issued.json()["access_token"])).status_code == 200
            refused = [
                await exchanged("https://three.example"),
                await exchanged(ORGANIZATIONS[0], aud="https://other.example"),
                await exchanged(ORGANIZATIONS[0], resource="https://other.example/mcp"),
                await exchanged(ORGANIZATIONS[0], client_id="another"),
                await exchanged(ORGANIZATIONS[0], exp=int(time.time()) - 60),
            ]
        process.terminate()
        audited = [json.loads(line)["caller"] for line in process.stdout]
    assert [each.status_code for each in refused] == [401] * 5
    assert audited == [f"{url.removesuffix('mcp')} {issuer} ada" for issuer in ORGANIZATIONS]
