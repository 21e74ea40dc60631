"""Every Portkey operation, called with all that it takes: what arrives, read by the document and by nothing of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import yaml

from tests.conftest import ROOT, Connect, Recorded, Recorder, text_of
from tests.support import form_of

Json = dict[str, Any]

DOCUMENT: Json = yaml.load(
    (ROOT / "specs/portkey.yaml").read_text(encoding="utf-8"),
    getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # noqa: S506  # both are safe
)

METHODS = ("get", "put", "post", "delete", "patch")

#: What is given for a string: everything that a path, a query, a form or a part could take for its own.
TEXT = "a/b ü&c=d+e%2F;?#"

#: The same by format and pattern, and in a header, where a list would split at a comma.
TEXTS = {
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "date-time": "2026-01-31T12:00:00Z",
    "uri": "https://example.com/a?b=c",
    "email": "a+b@example.com",
}
PLAIN = "a-b_1"

FILE = b"\x89PNG\r\n\x1a\n\x00--"
FILE_URI = "data:image/png;name=a.png;base64,iVBORw0KGgoALS0="

#: A parameter that nobody may give while the credential of its name is set.
CREDENTIAL = "x-portkey-api-key"
#: The argument of streaming operations that cuts the stream; it is not sent.
STREAM_LIMIT = "streamLimit"

#: Levels of a value below which only required properties are given.
DEPTH = 4


def followed(value: Json) -> Json:
    """Follow a reference."""
    while "$ref" in value:
        target: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        value = target
    return value


def merged(schema: Json) -> Json:
    """Return an object schema with the properties of its `allOf`."""
    schema = followed(schema)
    parts = [merged(part) for part in schema.get("allOf", ())]
    properties = {name: below for part in (*parts, schema) for name, below in part.get("properties", {}).items()}
    required = [name for part in (*parts, schema) for name in part.get("required", ())]
    types = [part["type"] for part in (*parts, schema) if "type" in part]
    return {**schema, "properties": properties, "required": required, **({"type": types[0]} if types else {})}


def whole(schema: Json, depth: int = DEPTH) -> Any:
    """Make a value that has everything that the schema describes, to a depth."""
    schema = merged(schema)
    if schema.get("enum"):
        return schema["enum"][-1]
    for branches in (schema.get("oneOf"), schema.get("anyOf")):
        if branches and not schema["properties"]:
            return whole(branches[0], depth)
    kind = schema.get("type", "object" if schema["properties"] else "string")
    if kind == "object":
        return {
            name: whole(below, depth - 1)
            for name, below in schema["properties"].items()
            if (depth > 0 or name in schema["required"]) and not followed(below).get("readOnly")
        } or ({"k": TEXT} if isinstance(schema.get("additionalProperties", True), bool) else {})
    if kind == "array":
        return [whole(schema.get("items", {}), depth - 1)] * max(1, schema.get("minItems", 1))
    return _scalar(kind, schema)


def _scalar(kind: str, schema: Json) -> Any:
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        lowest = schema.get("minimum", 1)
        return lowest if kind == "integer" else min(lowest + 0.25, schema.get("maximum", lowest + 1))
    if schema.get("format") == "binary":
        return FILE_URI
    text = PLAIN if "pattern" in schema else TEXTS.get(str(schema.get("format", "")).lower(), TEXT)
    return text[: schema.get("maxLength", len(text))]


def operations() -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and operation, its parameters joined with those of its path."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = [
                    followed(each) for each in (*item.get("parameters", ()), *item[method].get("parameters", ()))
                ]
                yield method, path, {**item[method], "parameters": parameters}


def name_of(method: str, path: str, operation: Json) -> str:
    """Return the name of an operation's tool."""
    return re.sub("[^a-z0-9]+", "_", operation.get("operationId", f"{method} {path}").lower())


def content_of(operation: Json) -> tuple[str | None, Json]:
    """Return the media type and the schema of an operation's body."""
    content = followed(operation.get("requestBody", {})).get("content", {})
    return next(((name, media_type.get("schema", {})) for name, media_type in content.items()), (None, {}))


def literal(value: Any) -> str:
    """Write a value of a query, a path or a part."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def problems(
    request: Recorded, method: str, path: str, parameters: Json, media_type: str | None, body: Any
) -> Iterator[str]:
    """Yield what of a request is not what the document says of these values."""
    if request.method != method.upper():
        yield f"method {request.method}"
    wanted, given = path.split("/"), urlsplit(request.target).path.split("/")
    for name, value in parameters["path"].items():
        wanted = [part.replace(f"{{{name}}}", literal(value)) for part in wanted]
    if wanted != [unquote(part) for part in given]:
        yield f"path {request.target}"
    query = [(name, literal(item)) for name, value in parameters["query"].items() for item in as_list(value)]
    if parse_qsl(urlsplit(request.target).query, keep_blank_values=True) != query:
        yield f"query {request.target}"
    for name, value in parameters["header"].items():
        text = (request.header(name) or "").encode("latin-1").decode()
        if value != (json.loads(text) if isinstance(value, dict) else text) and literal(value) != text:
            yield f"header {name}: {text}"
    if (request.header("content-type") or "").partition(";")[0] != (media_type or ""):
        yield f"content type {request.header('content-type')}"
    elif media_type is None and request.body:
        yield f"a body: {request.body[:200]!r}"
    elif media_type == "application/json" and json.loads(request.body) != body:
        yield f"body {request.body[:500]!r}"
    elif media_type == "multipart/form-data" and read_multipart(request) != parts_of(body):
        yield f"parts {read_multipart(request)}"


def as_list(value: Any) -> list[Any]:
    """Return the items of a repeated parameter."""
    return value if isinstance(value, list) else [value]


def read_multipart(request: Recorded) -> dict[str, list[Any]]:
    """Read a multipart body with Werkzeug."""
    values, files = form_of(request)
    return values | files


def parts_of(body: Json) -> dict[str, list[Any]]:
    """Return the parts that the values of a multipart body are."""
    file = ("a.png", "image/png", FILE)
    return {
        name: [file if item == FILE_URI else literal(item) for item in as_list(value)] for name, value in body.items()
    }


@pytest.mark.slow
async def test_every_operation_arrives_whole(connect: Connect, recorder: Recorder) -> None:
    """All 231 operations, with every parameter and every property of the body, arrive as the document says."""
    wrong: dict[str, list[str]] = {}
    count = 0
    async with connect(env={"OPEN_MCP_BASE_URL": recorder.url, "X_PORTKEY_API_KEY": "none"}) as client:
        listed = {tool.name: set(tool.input_schema["properties"]) for tool in await client.list_tools()}
        for method, path, operation in operations():
            name = name_of(method, path, operation)
            parameters, body, arguments = arguments_of(operation)
            recorder.requests.clear()
            result = await client.call_tool(name, arguments, raise_on_error=False)
            media_type, _ = content_of(operation)
            wrong[name] = (
                [text_of(result)]
                if result.is_error
                else [*problems(recorder.last, method, path, parameters, media_type, body)]
            )
            if arguments.keys() != listed[name] - {CREDENTIAL, STREAM_LIMIT}:
                wrong[name].append(f"arguments {arguments.keys() ^ listed[name]}")
            count += 1
    assert {name: found for name, found in wrong.items() if found} == {}
    assert count == 231


def arguments_of(operation: Json) -> tuple[dict[str, Json], Any, Json]:
    """Return the values of the parameters by location, the body, and both as the tool's flat arguments."""
    parameters: dict[str, Json] = {"path": {}, "query": {}, "header": {}}
    for each in operation["parameters"]:
        schema = each.get("schema") or next(iter(each["content"].values()))["schema"]
        if each["name"] != CREDENTIAL:
            parameters[each["in"]][each["name"]] = whole(schema)
    arguments = dict(chain.from_iterable(values.items() for values in parameters.values()))
    media_type, schema = content_of(operation)
    if media_type is None:
        return parameters, None, arguments
    body = whole(schema)
    if not merged(schema)["properties"]:
        return parameters, body, {**arguments, "body": body}
    safe = {name: re.sub("[^a-zA-Z0-9_.-]+", "_", name).strip("_") for name in body}
    named = {f"body_{safe[name]}" if name in arguments else safe[name]: value for name, value in body.items()}
    return parameters, body, arguments | named
