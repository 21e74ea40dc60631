"""A mock of an API on the loopback interface: answers made from its document, requests checked against it.

Paths hang directly below the root: GET /models is answered at http://127.0.0.1:PORT/models. The same request always
gets the same answer, and nothing is kept between two of them. openapi-core reads the requests: a second opinion, which
knows nothing of how the bridge writes them.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain
from typing import Any
from urllib.parse import unquote

import uvicorn
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from jsonschema_path import SchemaPath
from openapi_core import V31RequestValidator
from openapi_core.datatypes import RequestParameters
from openapi_core.deserializing.media_types.exceptions import MediaTypeDeserializeError
from openapi_core.templating.media_types.exceptions import MediaTypeNotFound
from openapi_core.validation.request.exceptions import ParameterValidationError
from openapi_core.validation.schemas.exceptions import InvalidSchemaValue
from openapi_core.validation.schemas.factories import SchemaValidatorsFactory
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from portkey_bridge.credentials.schemes import needs_credential
from portkey_bridge.credentials.variables import variable
from portkey_bridge.errors import SettingsError, Violation
from portkey_bridge.mock.stream_events import as_events
from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.openapi.model import Api, Operation, Parameter, SecurityScheme
from portkey_bridge.openapi.pointers import follow, object_at, pointer_to
from portkey_bridge.schema.patterns import Patterns
from portkey_bridge.schema.samples import Samples
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.violations import explain_violation

#: The only interface that a mock listens on.
MOCK_HOST = "127.0.0.1"

ACCEPTS_JSON = re.compile(r"application/json\b|[^;]*\+json\b|\*/\*|application/\*", re.IGNORECASE)

#: Statuses whose answers have no body (RFC 9110 section 15.3.5, 15.3.6, 15.4.5).
BODILESS = frozenset({204, 205, 304})

#: The smallest files of their kinds: a picture of one pixel, a sound of no length.
SMALLEST_FILES = {
    "image/png": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=",
    "image/gif": "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "image/webp": "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==",
    "audio/wav": "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=",
}

#: Media type of answers whose type the document does not declare.
CONCRETE = {
    "[*]/[*]": "application/json",
    "application/[*]": "application/json",
    "image/[*]": "image/png",
    "audio/[*]": "audio/wav",
    "text/[*]": "text/plain",
}


@contextmanager
def mock_running(api: Api) -> Iterator[str]:
    """Serve a mock in a thread of this process, and yield its URL."""
    with mock_listening(0) as (listener, url):
        server = server_of(mock_app(api))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def mock_listening(port: int) -> Iterator[tuple[socket.socket, str]]:
    """Return a socket that accepts connections from here on, and its URL. Port 0 is a free one."""
    if not 0 <= port < 1 << 16:
        raise SettingsError(f"--port {port}: a port is a number from 0 (any free port) to 65535. Correct --port.")
    try:
        listener = socket.create_server((MOCK_HOST, port))
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(
            f"--port {port}: cannot listen there ({problem}). Use another port, or leave --port out for a free one."
        ) from error
    # Accepted connections inherit it; without, every answer waits 40 ms for the acknowledgement of its own headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener, f"http://{MOCK_HOST}:{listener.getsockname()[1]}"


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return the HTTP server of an application."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none"))


def mock_app(api: Api) -> ASGIApp:
    """Return the mock of an API as an ASGI application."""
    samples, shapes = Samples(Shapes(api.root, hidden="writeOnly")), Shapes(api.root)
    paths: dict[str, dict[str, _Endpoint]] = {}
    for operation in sorted(api.operations, key=lambda operation: operation.path.count("{")):
        endpoint = _Endpoint(operation, _Check(api, operation, shapes), samples)
        paths.setdefault(operation.path, {})[operation.method] = endpoint
    app = Starlette(
        routes=[
            Route(_numbered(path), _dispatch(endpoints), methods=list(endpoints)) for path, endpoints in paths.items()
        ],
        middleware=[Middleware(_RawPath)],
        exception_handlers={HTTPException: _refuse_unknown},
    )
    app.router.redirect_slashes = False
    return app


class _RawPath:
    """Keeps a percent-encoded slash inside its segment, where it belongs (RFC 3986 section 2.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope["raw_path"].decode("ascii")
        await self.app({**scope, "path": unquote(re.sub("%(?=2f|25)", "%25", raw, flags=re.I))}, receive, send)


def _numbered(path: str) -> str:
    """Write a path template for Starlette, which takes identifiers only: the names become numbers."""
    literals = re.split(r"\{[^{}]*\}", path)
    return "".join(f"{{p{at}}}{literal}" if at else literal for at, literal in enumerate(literals))


def _dispatch(endpoints: Mapping[str, _Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        endpoint = endpoints.get(request.method) or endpoints["GET"]  # HEAD is served like GET
        return await endpoint.respond(request)

    return respond


async def _refuse_unknown(request: Request, error: Exception) -> Response:
    """Report what a path or method that the document does not have was (404, 405)."""
    status = getattr(error, "status_code", 500)
    problem = "has no such path" if status == 404 else f"has this path, but not with {request.method}"
    return _refusal(status, f"The document {problem}: {request.url.path}", headers=getattr(error, "headers", None))


def _refusal(
    status: int, message: str, violations: tuple[Violation, ...] = (), headers: Mapping[str, str] | None = None
) -> Response:
    details = [{"pointer": violation.pointer, "problem": violation.problem} for violation in violations]
    body = {"error": {"message": message, **({"violations": details} if details else {})}}
    return JSONResponse(body, status, headers)


@dataclass(frozen=True)
class _Endpoint:
    """One operation of the mock."""

    operation: Operation
    check: _Check
    samples: Samples

    async def respond(self, request: Request) -> Response:
        operation = self.operation
        if not _has_credential(operation, request):
            names = sorted({scheme.name for scheme in chain(*operation.security)})
            return _refusal(401, f"{operation.method} {operation.path} needs a credential: {' or '.join(names)}")
        body = await request.body()
        violations = tuple(self.check.violations(request, body))
        if violations:
            return _refusal(400, f"The request does not fit {operation.method} {operation.path}", violations)
        return make_answer(operation, self.samples, streamed=_asks_for_stream(body))


def _has_credential(operation: Operation, request: Request) -> bool:
    """Check whether a credential that the operation names is there, or none is needed. Its value does not matter."""
    places: dict[str, Mapping[str, str]] = {
        "header": request.headers,
        "query": request.query_params,
        "cookie": request.cookies,
    }

    def is_there(scheme: SecurityScheme) -> bool:
        return scheme.name in places[scheme.location]

    given = {name: "" for scheme in chain(*operation.security) if (name := variable(scheme)) and is_there(scheme)}
    return not needs_credential(operation.security, given, ())


class _Check:
    """What openapi-core says of the requests of one operation, but for where it is known to misread them."""

    def __init__(self, api: Api, operation: Operation, shapes: Shapes) -> None:
        spec = SchemaPath.from_dict(_document_of(api, operation, shapes))
        self.operation = operation
        self.validator = V31RequestValidator(
            spec,
            schema_validators_factory=SchemaValidatorsFactory(_validator(shapes)),
            extra_media_type_deserializers=dict.fromkeys(_json_names(operation), json.loads),
        )

    def violations(self, request: Request, body: bytes) -> Iterator[Violation]:
        """Yield the violations, with pointers that start with the place: `/query/limit`, `/body/messages/0`."""
        read = _read(request, body, self.operation)
        for error in self.validator.iter_errors(read):
            if _counts(error, read):
                yield from _explain(error)


def _json_names(operation: Operation) -> Iterator[str]:
    """Yield the media types of the body that are JSON by their suffix (RFC 6839 section 3.1)."""
    content = operation.request_body.content if operation.request_body is not None else ()
    return (name for media_type in content if ACCEPTS_JSON.match(name := media_type.name.partition(";")[0].lower()))


def _counts(error: Exception, read: _ReadRequest) -> bool:
    """Check whether the error is about something that openapi-core reads well. Of bodies, that is JSON."""
    if isinstance(error, ParameterValidationError) or isinstance(error.__cause__, MediaTypeNotFound):
        return True
    return read.body is None or ACCEPTS_JSON.match(read.content_type) is not None


def _validator(shapes: Shapes) -> Any:
    """Return a validator that asks what a call does: one branch of `oneOf` at least, and nothing that is read-only."""

    def required(_: Any, names: list[str], value: Any, schema: Any) -> Iterator[ValidationError]:
        for name in names if isinstance(value, dict) else ():
            if name not in value and not shapes.cannot_have(schema, name):
                yield ValidationError("is required but missing", path=[name])

    at_least_one = Draft202012Validator.VALIDATORS["anyOf"]
    keywords = {"oneOf": at_least_one, "required": required, **Patterns(shapes.names).keywords}
    return extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]  # the stubs have no types for it


def _document_of(api: Api, operation: Operation, shapes: Shapes) -> dict[str, Any]:
    """Return a document with this operation alone, for any server. Normalized schemas are those of OpenAPI 3.1."""
    item = follow(api.root, api.root["paths"][operation.path])
    methods = {**item, **item.get("additionalOperations", {})}
    name = next(name for name in (operation.method.lower(), operation.method) if name in methods)
    declared = follow(api.root, methods[name])
    written = [
        entry for entry in operation.parameters if entry.location != "path" or f"{{{entry.name}}}" in operation.path
    ]
    checked = {"parameters": [entry for parameter in written for entry in _checked(parameter, shapes)]}
    if operation.request_body is not None:
        checked["requestBody"] = declared["requestBody"]
    rest = {key: value for key, value in api.root.items() if key not in ("servers", "security")}
    return {**rest, "openapi": "3.1.0", "paths": {operation.path: {operation.method.lower(): checked}}}


def _checked(parameter: Parameter, shapes: Shapes) -> Iterator[dict[str, Any]]:
    """Yield the parameter with as much of its schema as openapi-core can read.

    It reads the styles of objects, and those that are seldom used, in another way than the specification's table, and
    lists in cookies, lists of types and unions not at all.
    """
    entry = {"name": parameter.name, "in": parameter.location, "required": parameter.required}
    schema = _flat(parameter.schema, shapes)
    if parameter.content is not None:
        yield {**entry, "content": {parameter.content.name: {"schema": parameter.schema}}}
    elif parameter.style in ("simple", "form") and schema.get("type") != "object":
        schema = {} if parameter.location == "cookie" and schema.get("type") == "array" else schema
        yield {**entry, "style": parameter.style, "explode": parameter.explode, "schema": schema}


def _flat(schema: Schema, shapes: Shapes) -> Shape:
    """Return the schema without references, null, which a URL cannot contain, and unions, which are not checked."""
    shape = shapes(schema)
    branches = [branch for branch in map(shapes, shape.get("anyOf", ())) if branch.get("type") != "null"]
    shape = branches[0] if len(branches) == 1 else shape
    if shape.get("type") == "array":
        return {**shape, "items": _flat(shape.get("items", {}), shapes)}
    return shape if "type" in shape else {}


@dataclass
class _ReadRequest:
    """A request as openapi-core wants it. It is routed already, so its path is the operation's template."""

    host_url: str
    path: str
    method: str
    parameters: RequestParameters
    content_type: str
    body: bytes | None


def _read(request: Request, body: bytes, operation: Operation) -> _ReadRequest:
    names = re.findall(r"\{([^{}]*)\}", operation.path)
    values = {name: unquote(request.path_params[f"p{at}"]) for at, name in enumerate(names, 1)}
    parameters = RequestParameters(
        query=request.query_params,
        header=request.headers,
        cookie={name: unquote(value) for name, value in request.cookies.items()},
        path=values,
    )
    content_type = request.headers.get("content-type", "application/octet-stream")
    return _ReadRequest(
        f"http://{MOCK_HOST}", operation.path, operation.method.lower(), parameters, content_type, body or None
    )


def _explain(error: Exception) -> Iterator[Violation]:
    place: list[str | int] = ["body"]
    if isinstance(error, ParameterValidationError):
        place = [error.location, error.name]
    cause = error.__cause__ or error
    if isinstance(cause, InvalidSchemaValue):
        for broken in cause.schema_errors:
            if isinstance(broken, ValidationError):
                yield from explain_violation(broken, lambda path: pointer_to([*place, *path]))
    elif isinstance(cause, MediaTypeDeserializeError):  # it cannot always write itself
        yield Violation(pointer_to(place), f"cannot be read as {cause.mimetype}")
    else:
        yield Violation(pointer_to(place), str(cause)[:300])


def _asks_for_stream(body: bytes) -> bool:
    """Check whether a body says `stream`, as OpenAI's operations have it."""
    try:
        value = json.loads(body)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("stream") is True


def make_answer(operation: Operation, samples: Samples, *, streamed: bool = False) -> Response:
    """Return the answer of the first success that the document declares: JSON if it can be, else what else there is.

    With `streamed`, an object of a kind that can come in events does.
    """
    status, response = _success(operation.responses, samples.root)
    content = response.get("content") or {}
    if not content or status in BODILESS:
        return Response(status_code=status)
    name = next((name for name in content if ACCEPTS_JSON.match(name)), next(iter(content)))
    value = _value(follow(samples.root, content[name]), samples)
    if streamed and (events := as_events(value)):
        return StreamingResponse(iter(events), status, media_type="text/event-stream")
    name = next((concrete for pattern, concrete in CONCRETE.items() if fnmatch(name.lower(), pattern)), name)
    return Response(_encode(name, value), status, headers={"content-type": name})


def _success(responses: Mapping[str, Any], root: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the first response of a success, else the default one, else an empty 200; 2XX and default mean 200."""
    ranked = [status for status in responses if status.startswith("2")] + ["default"]
    status = int(ranked[0]) if ranked[0].isdecimal() else 200
    return status, object_at(root, responses.get(ranked[0]))


def _value(media_type: dict[str, Any], samples: Samples) -> Any:
    """Return the media type's own example if it fits its schema, else a value that is made up."""
    schema = media_type.get("schema", media_type.get("itemSchema", {"type": "object"}))
    named = [follow(samples.root, example) for example in media_type.get("examples", {}).values()]
    examples = [media_type.get("example"), *(example.get("value") for example in named)]
    given = (example for example in examples if example is not None and samples.fits(schema, example))
    return next(given, None) or samples(schema)


def _encode(media_type: str, value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if ACCEPTS_JSON.match(media_type):
        return json.dumps(value, ensure_ascii=False).encode()
    if media_type.startswith("text/event-stream"):
        return f"data: {json.dumps(value)}\n\n".encode()
    return base64.b64decode(SMALLEST_FILES[media_type]) if media_type in SMALLEST_FILES else f"{text}\n".encode()
