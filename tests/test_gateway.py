"""The open-source Portkey gateway between this program and a provider: no mock of the API, and no Portkey key."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from mcp_types import TextContent

from tests.conftest import BARE, Connect, Recorder
from tests.node import node_command
from tests.replicas import free_port

GATEWAY = "@portkey-ai/gateway/build/start-server.js"

QUESTION: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": [{"type": "text", "text": "Wie wird das Wetter in Zürich? ☀️"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "12 °C"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather in a city.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            },
        }
    ],
    "temperature": 0.5,
    "max_tokens": 16,
}

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Kühl 🧥"}}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 3, "total_tokens": 43},
}

MODELS = {"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "created": 1, "owned_by": "stub"}]}

REFUSALS = [
    pytest.param(429, "Too Many Requests", {"message": "Slow down.", "type": "rate_limit_error"}, id="429"),
    pytest.param(400, "Bad Request", {"message": "No such model.", "type": "invalid_request_error"}, id="400"),
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """Return the base URL of a running gateway."""
    command = node_command(GATEWAY, minimum=(20, 0))
    port = free_port()
    with subprocess.Popen([*command, "--headless", f"--port={port}"], env=BARE, stdin=subprocess.DEVNULL) as process:
        try:
            _await_answer(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _await_answer(url: str) -> None:
    """Connect again, with growing pauses, until something listens there."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=7), timeout=60) as client:
        client.get(url).raise_for_status()


@pytest.fixture
def settings(gateway: str, recorder: Recorder) -> Mapping[str, str]:
    """Return what a person sets to reach a provider through a gateway of their own."""
    return {
        "OPEN_MCP_BASE_URL": gateway,
        "API_KEY": "sk-of-the-provider",
        "X_PORTKEY_PROVIDER": "openai",
        "X_PORTKEY_CUSTOM_HOST": f"{recorder.url}/v1",
    }


def _answer(recorder: Recorder, status: int, body: object) -> None:
    recorder.answer = (status, {"content-type": "application/json"}, json.dumps(body).encode())


def _text(content: list[Any]) -> str:
    (block,) = content
    assert isinstance(block, TextContent)
    return block.text


async def test_a_chat_reaches_the_provider_as_it_was_asked(
    connect: Connect, settings: Mapping[str, str], recorder: Recorder
) -> None:
    """Every message form and tool arrives unchanged, with the provider's key, and the answer comes back as it was."""
    _answer(recorder, 200, COMPLETION)
    async with connect(env=settings) as client:
        result = await client.call_tool("createchatcompletion", QUESTION)
    (request,) = recorder.requests
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.header("authorization") == "Bearer sk-of-the-provider"
    assert json.loads(request.body) == QUESTION
    assert json.loads(_text(result.content)) == COMPLETION
    assert result.structured_content == COMPLETION


@pytest.mark.parametrize(("status", "phrase", "error"), REFUSALS)
async def test_a_refusal_of_the_provider_is_an_error_with_its_words(
    connect: Connect, settings: Mapping[str, str], recorder: Recorder, status: int, phrase: str, error: dict[str, str]
) -> None:
    """The result says status and body; only a refusal that says to come back later is asked again."""
    _answer(recorder, status, {"error": error})
    async with connect(env=settings) as client:
        result = await client.call_tool("createchatcompletion", QUESTION, raise_on_error=False)
    assert result.is_error
    line, _, body = _text(result.content).partition("\n")
    assert line == f"POST /chat/completions answered {status} {phrase}:"
    assert json.loads(body)["error"]["type"] == error["type"]
    assert error["message"] in json.loads(body)["error"]["message"]
    assert (len(recorder.requests) == 1) == (status != 429)


async def test_the_models_of_the_provider_are_listed(
    connect: Connect, settings: Mapping[str, str], recorder: Recorder
) -> None:
    """A GET passes through with its query and key."""
    _answer(recorder, 200, MODELS)
    async with connect(env=settings) as client:
        result = await client.call_tool("listmodels", {"limit": 5, "sort": "name"})
    (request,) = recorder.requests
    assert (request.method, request.target) == ("GET", "/v1/models?limit=5&sort=name")
    assert request.header("authorization") == "Bearer sk-of-the-provider"
    assert result.structured_content == MODELS
