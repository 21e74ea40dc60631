"""A FastAPI application behind OAuth 2, whose own document describes its flows; it records every token request."""

import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.openapi.models import OAuthFlows
from fastapi.security import OAuth2, SecurityScopes
from starlette.responses import RedirectResponse

#: Part of every secret that the application issues, so that one search finds any of them.
MARKER = "S3CRET"

CLIENT = ("client", f"client-{MARKER}")
PERSON = ("ada", f"pass word+{MARKER}")

SCOPES = {"read": "Read items", "write": "Write items"}

Answer = dict[str, Any] | tuple[int, dict[str, Any]]


@dataclass
class Application:
    """The application's state: the tokens that it accepts, and what was asked of its token endpoint.

    `lifetime` is what it says of new tokens, in seconds, and `grants` the scopes that it grants, None for all.
    `subjects` are the tokens that were exchanged, or the people who have logged in, by what was issued for them.
    `person` is who is in front of the browser, None for one who does not agree, `asked` is what a browser came with,
    `codes` are those that were issued, and `people` are those whose refresh tokens they became. `numbered` are the
    numbers of calls, with the subjects of their tokens.
    """

    url: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    lifetime: float | None = 3600
    grants: str | None = None
    rotates: bool = True
    methods: tuple[str, ...] = ("client_secret_basic", "client_secret_post")
    accepted: set[str] = field(default_factory=set)
    refreshable: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    calls: list[str | None] = field(default_factory=list)
    subjects: dict[str, str] = field(default_factory=dict)
    person: str | None = "ada"
    asked: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    numbered: list[tuple[int, str]] = field(default_factory=list)

    def issue(self, scope: str) -> dict[str, Any]:
        """Return the answer to a token request that is granted."""
        number = len(self.forms)
        access, refresh = f"access-{MARKER}-{number}", f"refresh-{MARKER}-{number}"
        self.accepted.add(access)
        self.refreshable.add(refresh)
        answer = {"access_token": access, "token_type": "bearer", "refresh_token": refresh, "expires_in": self.lifetime}
        answer["scope"] = scope if self.grants is None else self.grants
        return {name: value for name, value in answer.items() if value is not None}


def _application(state: Application, flows: OAuthFlows) -> FastAPI:
    app = FastAPI(title="Items")
    scheme = OAuth2(flows=flows, auto_error=False)

    async def authorized(scopes: SecurityScopes, header: Annotated[str | None, Depends(scheme)]) -> str:
        state.calls.append(header)
        token = (header or "").removeprefix("Bearer ")
        if token not in state.accepted:
            raise HTTPException(401, "not a valid token", headers={"www-authenticate": "Bearer"})
        return token

    @app.post("/token", operation_id="token", include_in_schema=False)
    async def token(request: Request) -> Any:
        form = {name: str(value) for name, value in (await request.form()).items()}
        state.forms.append(form)
        state.authorizations.append(request.headers.get("authorization"))
        return _granted(state, form, request.headers.get("authorization"))

    @app.get("/authorize", include_in_schema=False)
    async def authorize(request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        state.asked.append(asked)
        if state.person is None:
            answer = {"error": "access_denied", "state": asked["state"]}
        else:
            code = f"code-{MARKER}-{len(state.asked)}"
            state.codes[code] = {**asked, "person": state.person}
            answer = {"code": code, "state": asked["state"]}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 302)

    @app.get("/items", operation_id="list_items")
    async def list_items(token: Annotated[str, Security(authorized, scopes=["read"])], number: int = 0) -> list[str]:
        state.numbered.append((number, state.subjects.get(f"Bearer {token}", "")))
        return ["one"]

    @app.post("/items", operation_id="add_item")
    async def add_item(token: Annotated[str, Security(authorized, scopes=["write"])]) -> dict[str, str]:
        return {"echo": token}

    return app


def _granted(state: Application, form: dict[str, str], authorization: str | None) -> Any:
    from base64 import b64decode
    from urllib.parse import unquote_plus

    from starlette.responses import JSONResponse

    kind = form.get("grant_type")
    basic = b64decode((authorization or "").removeprefix("Basic ")).decode()
    given = tuple(unquote_plus(part) for part in basic.split(":", 1))
    if "client_secret_basic" not in state.methods or not basic:
        given = (form.get("client_id", ""), form.get("client_secret", ""))
    if kind == "client_credentials" and given == CLIENT:
        return state.issue(form.get("scope", ""))
    if kind == "password" and (form.get("username"), form.get("password")) == PERSON:
        return state.issue(form.get("scope", ""))
    if kind == "authorization_code" and given == CLIENT and (asked := state.codes.pop(form["code"], None)):
        digest = sha256(form["code_verifier"].encode()).digest()  # RFC 7636 section 4.6
        assert asked["code_challenge"] == urlsafe_b64encode(digest).decode().rstrip("=")
        assert (asked["code_challenge_method"], asked["redirect_uri"]) == ("S256", form["redirect_uri"])
        return _of_person(state, state.issue(asked.get("scope", "")), asked["person"])
    if kind == "refresh_token" and form.get("refresh_token") in state.refreshable:
        if state.rotates:
            state.refreshable.discard(form["refresh_token"])
        return _of_person(state, state.issue("read write"), state.people.get(form["refresh_token"], ""))
    if kind == "urn:ietf:params:oauth:grant-type:token-exchange" and given == CLIENT:  # RFC 8693 section 2.1
        assert form["subject_token_type"].endswith(":access_token")
        issued = {**state.issue(form.get("scope", "")), "issued_token_type": form["subject_token_type"]}
        state.subjects[f"Bearer {issued['access_token']}"] = form["subject_token"]
        return issued
    error = "invalid_client" if kind == "client_credentials" else "invalid_grant"
    description = f"no, {form.get('password')}"
    return JSONResponse({"error": error, "error_description": description}, 401 if "client" in error else 400)


def _of_person(state: Application, issued: dict[str, Any], person: str) -> dict[str, Any]:
    state.subjects[f"Bearer {issued['access_token']}"] = person
    state.people[issued.get("refresh_token", "")] = person
    return issued


@contextmanager
def running(**flows: dict[str, Any]) -> Iterator[Application]:
    """Run the application on the loopback interface; `flows` are its OAuth Flow Objects, without scopes."""
    state = Application()
    named = {name: {"scopes": SCOPES, **flow} for name, flow in flows.items()}
    app = _application(state, OAuthFlows.model_validate(named))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    state.url = f"http://127.0.0.1:{port}"
    state.document = {**app.openapi(), "servers": [{"url": state.url}]}
    yield state
    server.should_exit = True
    thread.join()
