"""Small documents as served APIs, for tests that want many of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import FastMCPTransport
from werkzeug.formparser import parse_form_data

from portkey_bridge.bridge.service import service_of
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.document.parse import Document
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.uploads import Files
from portkey_bridge.request.writer import Written, write_request
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool
from tests.conftest import BARE, Recorded, Recorder, program, text_of


def document(paths: Mapping[str, Any], version: str = "3.1.0", **fields: Any) -> dict[str, Any]:
    """Return an OpenAPI document of these paths; `fields` are added to its root."""
    return {"openapi": version, "info": {"title": "Test", "version": "1"}, "paths": dict(paths), **fields}


def operation(method: str = "post", path: str = "/x", **fields: Any) -> dict[str, Any]:
    """Return a document of one operation `op`."""
    responses = {"200": {"description": "OK"}}
    return document({path: {method: {"operationId": "op", "responses": responses, **fields}}})


def api_of(root: dict[str, Any]) -> Api:
    """Read a document that was written as a value."""
    return read_api(normalize(Document("test", "file:///test", root)).root, "file:///test")


def mostly_slow(rows: Iterable[str], every: int) -> list[Any]:
    """Return the rows of a long table for `parametrize`: each `every`-th is tested always, the others where CI is."""
    return [pytest.param(row, marks=pytest.mark.slow if number % every else ()) for number, row in enumerate(rows)]


def nests_arrays(value: Any) -> bool:
    """Check whether an array is directly in an array: no listed "any value" has a place for that."""
    if isinstance(value, list):
        return any(isinstance(item, list) or nests_arrays(item) for item in value)
    return isinstance(value, dict) and any(map(nests_arrays, value.values()))


@asynccontextmanager
async def served(root: dict[str, Any], settings: Settings) -> AsyncIterator[Client[FastMCPTransport]]:
    """Return an MCP client of the document's server, in memory."""
    async with Client(build_server([service_of(api_of(root), settings)])) as client:
        yield client


def form_of(request: Recorded) -> tuple[dict[str, list[str]], dict[str, list[tuple[str | None, str | None, bytes]]]]:
    """Read a form or multipart body with Werkzeug's parser: its values, and name, type and bytes of its files."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": request.header("content-type"),
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": BytesIO(request.body),
    }
    _, values, files = parse_form_data(environ, silent=False)
    received: dict[str, list[tuple[str | None, str | None, bytes]]] = {}
    for name, file in files.items(multi=True):
        with file.stream:
            received.setdefault(name, []).append((file.filename, file.content_type, file.read()))
    return values.to_dict(flat=False), received


async def sent(
    recorder: Recorder, root: dict[str, Any], arguments: dict[str, Any], files: tuple[Path, ...] = ()
) -> Recorded:
    """Call the operation and give what arrived."""
    async with served(root, Settings(base_url=recorder.url, files=files)) as client:
        result = await client.call_tool("op", arguments, raise_on_error=False)
    assert not result.is_error, text_of(result)
    (request,) = recorder.requests
    return request


async def refused(
    recorder: Recorder, root: dict[str, Any], arguments: dict[str, Any], files: tuple[Path, ...] = ()
) -> str:
    """Call the operation, see that nothing arrived, and give what was said."""
    async with served(root, Settings(base_url=recorder.url, files=files)) as client:
        result = await client.call_tool("op", arguments, raise_on_error=False)
    assert result.is_error
    assert recorder.requests == []
    return text_of(result)


def body(media_type: str, schema: dict[str, Any], *, required: bool = True, **fields: Any) -> dict[str, Any]:
    """Return a document of one operation with a body of this type."""
    return operation(requestBody={"required": required, "content": {media_type: {"schema": schema, **fields}}})


def request_of(
    tool: Tool,
    arguments: Mapping[str, Any],
    credentials: Sequence[Credential] = (),
    base_url: str = "http://api.test",
    sources: Sources | None = None,
) -> Written:
    """Return the request of a call, which is not sent."""
    bound = tool.bind(arguments)
    sources = sources or Sources(Shapes({}), Files())
    return write_request(tool.name, tool.operation, bound, credentials, base_url, sources)


@contextmanager
def serving(
    folder: Path, root: dict[str, Any], *arguments: str, env: Mapping[str, str] = {}
) -> Iterator[tuple[str, Any]]:
    """Run the server on a free port, and return the URL of its endpoint and its process."""
    (folder / "api.json").write_text(json.dumps(root))
    with serving_with(folder, "--spec", "api.json", *arguments, env=env) as served_at:
        yield served_at


@contextmanager
def serving_with(folder: Path, *arguments: str, env: Mapping[str, str] = {}) -> Iterator[tuple[str, Any]]:
    """Run the server with these arguments in a folder; the same is returned as by `serving`."""
    environ = {**BARE, **env}
    command = program("serve", "--http", "127.0.0.1:0", *arguments, env=environ)
    with subprocess.Popen(
        command, env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr
            said = []
            for line in process.stderr:
                said.append(line)
                if " at http" in line:
                    break
            else:
                pytest.fail(f"the server has ended: {''.join(said)}")
            yield said[-1].rpartition(" at ")[2].strip(), process
        finally:
            process.terminate()
