"""A model endpoint that follows a script: it asks for one tool, and says `done` once it has the tool's result.

It speaks the APIs of four providers, as streams of server-sent events: real clients can be driven without a model.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"


@dataclass
class ScriptedModel:
    """What was asked of the endpoint. `tool` is a part of the name of the tool that it asks for.

    `tools` are the names that clients offered, and `results` what they sent back after the call.
    """

    tool: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)
    results: list[str] = field(default_factory=list)

    def chosen(self, names: list[str], asked: Any) -> str | None:
        """Return the tool to call, or None if there is none or it was called already."""
        self.tools.update(names)
        text = json.dumps(asked)
        if any(mark in text for mark in RESULTS):
            self.results.append(text)
            return None
        return next((name for name in names if self.tool in name), None)


#: What only a request with the result of a tool contains.
RESULTS = ('"tool_result"', '"role": "tool"', '"function_call_output"', '"functionResponse"')

Events = Iterator[dict[str, Any]]


def _anthropic(model: ScriptedModel, asked: dict[str, Any]) -> Events:
    name = model.chosen([tool["name"] for tool in asked.get("tools", ())], asked.get("messages"))
    block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}} if name else {"type": "text", "text": ""}
    delta = {"type": "input_json_delta", "partial_json": "{}"} if name else {"type": "text_delta", "text": "done"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": usage}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    reason = "tool_use" if name else "end_turn"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


def _chat(model: ScriptedModel, asked: dict[str, Any]) -> Events:
    name = model.chosen([tool["function"]["name"] for tool in asked.get("tools", ())], asked.get("messages"))
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    said: dict[str, Any] = {"tool_calls": [call]} if name else {"content": "done"}
    for delta, reason in (({"role": "assistant", **said}, None), ({}, "tool_calls" if name else "stop")):
        yield {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    yield {**chunk, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


def _responses(model: ScriptedModel, asked: dict[str, Any]) -> Events:
    every = [*_flat(asked.get("tools", ()))]
    name = model.chosen(every, asked.get("input"))
    text = {"type": "output_text", "text": "done", "annotations": []}
    item: dict[str, Any] = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    if name:
        namespace, _, bare = name.rpartition("/")
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": bare, "arguments": "{}"}
        item |= {"status": "completed", **({"namespace": namespace} if namespace else {})}
    usage: dict[str, Any] = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": MODEL, "output": [item]}
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}}


def _flat(tools: Any) -> Iterator[str]:
    """Yield the names of tools, those of a namespace after its name."""
    for tool in tools:
        if tool.get("type") == "namespace":
            yield from (f"{tool['name']}/{each['name']}" for each in tool.get("tools", ()))
        elif tool.get("name"):
            yield tool["name"]


def _gemini(model: ScriptedModel, asked: dict[str, Any]) -> Events:
    declared = [each for tool in asked.get("tools", ()) for each in tool.get("functionDeclarations", ())]
    name = model.chosen([each["name"] for each in declared], asked.get("contents"))
    part: dict[str, Any] = {"functionCall": {"name": name, "args": {}}} if name else {"text": "done"}
    content = {"role": "model", "parts": [part]}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    yield {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage}


#: The ends of paths and who answers there.
APIS = {
    "/messages": _anthropic,
    "/chat/completions": _chat,
    "/responses": _responses,
    "streamGenerateContent": _gemini,
    "generateContent": _gemini,
}


def _event(value: dict[str, Any]) -> str:
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value)}\n\n"


class _Handler(BaseHTTPRequestHandler):
    model: ScriptedModel

    def do_GET(self) -> None:
        """Answer the list of models, in the form of most providers."""
        self._answer("application/json", json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))

    def do_POST(self) -> None:
        """Answer what the script has."""
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        path = self.path.partition("?")[0]
        self.model.asked.append(path)
        api = next((each for end, each in APIS.items() if path.endswith(end)), None)
        if api is None:
            self._answer("application/json", json.dumps({"input_tokens": 1, "totalTokens": 1}))
            return
        events = [*api(self.model, asked)]
        if path.endswith(":generateContent"):
            self._answer("application/json", json.dumps(events[0]))
            return
        lines = "".join(_event(each) for each in events)
        self._answer("text/event-stream", lines + ("data: [DONE]\n\n" if api is _chat else ""))

    def _answer(self, media_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@contextmanager
def scripted_model(tool: str) -> Iterator[ScriptedModel]:
    """Run the endpoint on the loopback interface."""
    model = ScriptedModel(tool)
    handler = type("Handler", (_Handler,), {"model": model})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        model.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield model
        server.shutdown()
        thread.join()
