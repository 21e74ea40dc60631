"""Files from answers are resources that their caller reads, over stdio and over HTTP, as long as results are kept."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from mcp import MCPError
from mcp_types import BlobResourceContents, ResourceLink

from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import Bounds
from tests.conftest import Recorder, text_of
from tests.support import document, served, serving

BODY = bytes(range(256)) * 300
HEADERS = {"content-type": "application/zip", "content-disposition": 'attachment; filename="report 1.zip"'}
ALICE, BOB = "token-of-alice-1234", "token-of-bob-123456"


def root(url: str) -> dict[str, Any]:
    """Return a document of one operation at this server."""
    return document({"/report": {"get": {"operationId": "report", "responses": {}}}}, servers=[{"url": url}])


async def linked(client: Client[Any]) -> ResourceLink:
    """Call the operation, and return the link in its result."""
    (link,) = [block for block in (await client.call_tool("report", {})).content if isinstance(block, ResourceLink)]
    return link


async def read(client: Client[Any], uri: str) -> bytes:
    """Read a resource."""
    (content,) = await client.read_resource(uri)
    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == "application/zip"
    return base64.b64decode(content.blob)


async def test_a_file_is_a_resource_that_the_client_reads(recorder: Recorder) -> None:
    """The link has name, type and size; reading it gives the very bytes."""
    recorder.answer = 200, HEADERS, BODY
    async with served(root(recorder.url), Settings(resources=True)) as client:
        link = await linked(client)
        assert link.name.startswith("report 1-")
        assert link.name.endswith(".zip")
        assert (link.mime_type, link.size) == ("application/zip", len(BODY))
        assert await read(client, str(link.uri)) == BODY
        assert await client.list_resources() == []
        for uri in (
            str(link.uri).replace("answers/", "answers/0"),
            "portkey-bridge://elsewhere/1/x",
            "file:///etc/passwd",
        ):
            with pytest.raises(MCPError):
                await client.read_resource(uri)
    assert len(recorder.requests) == 1


async def test_without_the_option_nothing_is_kept(recorder: Recorder) -> None:
    """A large file is a sentence that names both options, and a resource cannot be read."""
    recorder.answer = 200, HEADERS, BODY
    async with served(root(recorder.url), Settings()) as client:
        said = text_of(await client.call_tool("report", {}))
        assert "--files DIR" in said
        assert "--resources" in said
        with pytest.raises(MCPError):
            await client.read_resource("portkey-bridge://answers/0123456789abcdef/x")


async def test_a_kept_result_that_is_no_file_cannot_be_read_as_one(recorder: Recorder) -> None:
    """The id of a large result leads to no resource."""
    recorder.answer = 200, {"content-type": "application/json"}, b'{"data": [%s1]}' % (b"1," * 30_000)
    async with served(root(recorder.url), Settings(resources=True)) as client:
        said = text_of(await client.call_tool("report", {}))
        result_id = said.partition("resultId: ")[2].partition(".")[0]
        with pytest.raises(MCPError, match="not available"):
            await client.read_resource(f"portkey-bridge://answers/{result_id}/x")


async def test_a_file_that_would_take_the_room_is_not_kept(recorder: Recorder) -> None:
    """It is a sentence, and what is kept stays."""
    recorder.answer = 200, HEADERS, BODY
    settings = Settings(resources=True, kept_results=Bounds(bytes=100_000))
    async with served(root(recorder.url), settings) as client:
        assert "too large for a result" in text_of(await client.call_tool("report", {}))


async def test_a_file_reaches_its_remote_caller_and_nobody_else(recorder: Recorder, tmp_path: Path) -> None:
    """Over HTTP, Alice reads what Alice produced; for Bob it does not exist."""
    recorder.answer = 200, HEADERS, BODY
    tokens = ",".join(
        f"{name}={hashlib.sha256(token.encode()).hexdigest()}" for name, token in (("alice", ALICE), ("bob", BOB))
    )
    with serving(tmp_path, root(recorder.url), "--resources", "--tokens", tokens) as (url, _):
        async with Client(url, auth=BearerAuth(ALICE)) as alice, Client(url, auth=BearerAuth(BOB)) as bob:
            link = await linked(alice)
            assert await read(alice, str(link.uri)) == BODY
            with pytest.raises(MCPError, match="not available"):
                await bob.read_resource(str(link.uri))
            others = await linked(bob)
            assert others.uri != link.uri
            assert await read(bob, str(others.uri)) == BODY
