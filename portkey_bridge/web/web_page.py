"""A page for people at `/`: the caller's tools, a form for each, and the exact request of what is filled in.

The page itself contains nothing of an API. Its script asks for the catalogue as a caller would, and sends real calls to
the endpoint of the protocol like every other client.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import anyio
import pydantic_core
from fastmcp.server.auth import AuthProvider
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from portkey_bridge.bridge.preview import Preview, preview, preview_passed
from portkey_bridge.bridge.service import Service
from portkey_bridge.callers.bridges import passed_through
from portkey_bridge.errors import ArgumentsError, CallError
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.fastmcp_seam import McpServer
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.reference import catalogue as catalogue_of
from portkey_bridge.tools.reference import form_of
from portkey_bridge.web.reference_page import page_document

#: The page, and what its script asks for as a caller: the tools, the form of one, and the request of a form.
PAGE, CATALOGUE, FORM_PATH, REQUEST = "/", "/page/catalogue", "/page/form", "/page/request"
FOR_CALLERS = frozenset({CATALOGUE, FORM_PATH, REQUEST})

#: Sent with every answer: no other site shows, reads or guesses it, and no browser keeps it.
PAGE_HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

#: Content-Security-Policy of a response that holds data alone, and what a page's own policy cannot say in the document.
DATA_POLICY, UNFRAMED = "default-src 'none'; frame-ancestors 'none'", "frame-ancestors 'none'"

Handler = Callable[[Request], Awaitable[Response]]


class _Listed(NamedTuple):
    """The catalogue as compressed JSON, and its entity tag (RFC 9110 section 8.8.3)."""

    body: bytes
    tag: str


class WebPage:
    """Answers for the page. `current` returns what is served to the caller of the request."""

    def __init__(self, current: Callable[[], Catalogue], auth: AuthProvider | None, pass_header: str | None) -> None:
        self._current, self._pass_header = current, pass_header
        self._listed: WeakKeyDictionary[Catalogue, _Listed] = WeakKeyDictionary()
        access = {"token": auth is not None, "header": pass_header}
        self._page = page_document("Tools", {"access": access}, calls=True)

    async def page(self, request: Request) -> Response:
        """Return the page, which is the same for everybody."""
        policy = f"{self._page.policy}; {UNFRAMED}"
        return HTMLResponse(self._page.text, headers={**PAGE_HEADERS, "content-security-policy": policy})

    async def catalogue(self, request: Request) -> Response:
        """Return the tools of the caller."""
        current = self._current()
        listed = self._listed.get(current)
        if listed is None:
            listed = self._listed[current] = await anyio.to_thread.run_sync(_list, current)
        if request.headers.get("if-none-match") == listed.tag:
            return Response(status_code=304, headers={"etag": listed.tag})
        is_compressed = "gzip" in request.headers.get("accept-encoding", "")
        body = listed.body if is_compressed else gzip.decompress(listed.body)
        coding = {"content-encoding": "gzip"} if is_compressed else {}
        return Response(body, media_type="application/json", headers={"etag": listed.tag, **coding})

    async def form(self, request: Request) -> Response:
        """Return how the arguments of the tool in the query are entered."""
        found = self._find(request.query_params.get("name"))
        if found is None:
            return PlainTextResponse("There is no such tool.", 404)
        service, tool = found
        return json_response(await anyio.to_thread.run_sync(form_of, tool, service.shapes))

    async def request(self, request: Request) -> Response:
        """Return the request of a call as text, or why the call would be refused. Nothing is sent."""
        asked = await json_of(request)
        name, arguments = asked.get("name"), asked.get("arguments")
        found = self._find(name)
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return PlainTextResponse('Send {"name": …, "arguments": {…}}.', 400)
        if found is None:
            return PlainTextResponse("There is no such tool.", 404)
        service, tool = found
        try:
            shown = await self._shown(service, tool, arguments)
        except CallError as error:
            violations = error.violations if isinstance(error, ArgumentsError) else ()
            said = [[each.pointer, service.bridge.redact(each.problem)] for each in violations]
            return json_response({"refused": service.bridge.redact(str(error)), "violations": said})
        return json_response(shown._asdict())

    async def _shown(self, service: Service, tool: Tool, arguments: Mapping[str, Any]) -> Preview:
        if self._pass_header:
            return await preview_passed(service, tool, arguments, passed_through(service, self._pass_header))
        shown, _ = await anyio.to_thread.run_sync(preview, service, service.bridge, tool, arguments)
        return shown

    def _find(self, name: object) -> tuple[Service, Tool] | None:
        services = self._current().services
        return next(((service, tool) for service in services for tool in service.tools if tool.name == name), None)


def for_callers(handler: Handler, auth: AuthProvider | None) -> Handler:
    """Return a handler of data that answers nobody without a token if tokens are required."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            response = _refusal(request, auth) or await handler(request)
        except HTTPException as error:
            response = PlainTextResponse(error.detail, error.status_code)
        except CallError as error:  # of another server, such as the store
            response = PlainTextResponse(str(error), 502)
        response.headers.update({**PAGE_HEADERS, "content-security-policy": DATA_POLICY})
        return response

    return answer


def _refusal(request: Request, auth: AuthProvider | None) -> Response | None:
    if auth is None:
        return None
    user = request.scope.get("user")
    if not isinstance(user, AuthenticatedUser):
        said = "This server needs a token, and got none that it accepts."
        return PlainTextResponse(said, 401, {"www-authenticate": "Bearer"})
    missing = set(auth.required_scopes) - set(user.scopes)
    return PlainTextResponse(f"The token needs the scopes {' '.join(sorted(missing))}.", 403) if missing else None


async def json_of(request: Request) -> dict[str, Any]:
    """Return the object that a request has as JSON, which no form of another site can send. Raises HTTPException."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "Send JSON, as application/json.")
    try:
        asked = pydantic_core.from_json(await request.body())
    except ValueError as error:
        raise HTTPException(400, "Send JSON.") from error
    if not isinstance(asked, dict):
        raise HTTPException(400, "Send a JSON object.")
    return asked


def add_page(server: McpServer, settings: Settings) -> None:
    """Have a server answer for the page; `server.auth` is what verifies tokens."""
    page = WebPage(server.live.current, server.auth, settings.pass_header)
    server.custom_route(PAGE, ["GET"])(page.page)
    for path, method, handler in (
        (CATALOGUE, "GET", page.catalogue),
        (FORM_PATH, "GET", page.form),
        (REQUEST, "POST", page.request),
    ):
        server.custom_route(path, [method])(for_callers(handler, server.auth))


def json_response(value: object) -> Response:
    """Return a response with JSON in ASCII, which has a form for half of a surrogate pair, too."""
    return Response(json.dumps(value), media_type="application/json")


def _list(current: Catalogue) -> _Listed:
    shown = [(service.api, service.tools) for service in current.services if service.tools]
    body = json.dumps(catalogue_of(shown)).encode()
    return _Listed(gzip.compress(body, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:32]}"')
