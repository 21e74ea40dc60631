"""Overlays, `x-mcp`, the settings file's words about tools, and confirmation, through a real client."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from mcp_types import ElicitRequestParams

from portkey_bridge.bridge.load import load_api
from portkey_bridge.bridge.service import service_of
from portkey_bridge.document.content import Content
from portkey_bridge.document.parse import Document
from portkey_bridge.openapi.overlay import overlaid
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.options import Settings
from tests.conftest import ROOT, Connect, Recorder, Run, text_of
from tests.support import document, served

OK = {"responses": {"200": {"description": "OK"}}}


def overlay(*actions: dict[str, Any], version: str = "1.1.0") -> dict[str, Any]:
    """Return an Overlay Object."""
    return {"overlay": version, "info": {"title": "Test", "version": "1"}, "actions": [*actions]}


def applied(root: dict[str, Any], *actions: dict[str, Any]) -> Any:
    """Return a document after the actions."""
    content = Content("o.json", "file:///o.json", json.dumps(overlay(*actions)).encode())
    return overlaid(Document("d", "file:///d", copy.deepcopy(root)), [content]).root


PAGED = {"get": {"x-oai-traits": ["paged"], "responses": {}}}

#: The examples of the Overlay Specification 1.1: a document, the actions, and what a path of the result has to be.
EXAMPLES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "structured": (
        {
            "info": {"title": "T"},
            "paths": {"/": {"get": {"summary": "old"}}},
            "components": {"schemas": {}},
        },
        [
            {
                "target": "$",
                "update": {
                    "info": {"x-overlay-applied": "yes"},
                    "paths": {"/": {"summary": "root", "get": {"summary": "new", "x-rate-limit": 100}}},
                    "components": None,
                },
            }
        ],
        {
            "info": {"title": "T", "x-overlay-applied": "yes"},
            "paths": {"/": {"summary": "root", "get": {"summary": "new", "x-rate-limit": 100}}},
            "components": {"schemas": {}},
        },
    ),
    "targeted": (
        {"paths": {"/foo": {"get": {"description": "a"}}, "/bar": {"post": {"description": "b"}}}},
        [
            {"target": "$.paths['/foo'].get.description", "update": "c"},
            {"target": "$.paths['/bar']", "update": {"post": {"description": "d", "x-safe": False}}},
        ],
        {"paths": {"/foo": {"get": {"description": "c"}}, "/bar": {"post": {"description": "d", "x-safe": False}}}},
    ),
    "wildcard": (
        {"paths": {"/a": {"get": {"parameters": [{"name": "filter", "in": "query"}, {"name": "x", "in": "query"}]}}}},
        [
            {"target": "$.paths.*.get", "update": {"x-safe": True}},
            {
                "target": "$.paths.*.get.parameters[?@.name=='filter' && @.in=='query']",
                "update": {"schema": {"$ref": "#/f"}},
            },
        ],
        {
            "paths": {
                "/a": {
                    "get": {
                        "parameters": [
                            {"name": "filter", "in": "query", "schema": {"$ref": "#/f"}},
                            {"name": "x", "in": "query"},
                        ],
                        "x-safe": True,
                    }
                }
            }
        },
    ),
    "array added to": (
        {"paths": {"/a": {"get": {"parameters": [{"name": "a"}]}}}},
        [{"target": "$.paths.*.get.parameters", "update": {"name": "newParam", "in": "query"}}],
        {"paths": {"/a": {"get": {"parameters": [{"name": "a"}, {"name": "newParam", "in": "query"}]}}}},
    ),
    "array removed from": (
        {"paths": {"/a": {"get": {"parameters": [{"name": "dummy"}, {"name": "b"}, {"name": "dummy"}]}}}},
        [{"target": "$.paths.*.get.parameters[?@.name == 'dummy']", "remove": True}],
        {"paths": {"/a": {"get": {"parameters": [{"name": "b"}]}}}},
    ),
    "primitive removed": (
        {"paths": {"/a": {"get": {"tags": ["dummy", "b"]}}}},
        [{"target": "$.paths.*.get.tags[?@ == 'dummy']", "remove": True}],
        {"paths": {"/a": {"get": {"tags": ["b"]}}}},
    ),
    "traits": (
        {"paths": {"/items": PAGED, "/other": {"get": {"responses": {}}}}},
        [
            {
                "target": "$.paths[?(@.get['x-oai-traits'][?(@ == 'paged')])].get",
                "update": {"parameters": [{"name": "top", "in": "query"}]},
            }
        ],
        {
            "paths": {
                "/items": {"get": {**PAGED["get"], "parameters": [{"name": "top", "in": "query"}]}},
                "/other": {"get": {"responses": {}}},
            }
        },
    ),
    "copy": (
        {"paths": {"/items": {"get": {"x": 1}}, "/some-items": {"delete": {"y": 2}}}},
        [{"target": '$.paths["/some-items"]', "copy": '$.paths["/items"]'}],
        {"paths": {"/items": {"get": {"x": 1}}, "/some-items": {"delete": {"y": 2}, "get": {"x": 1}}}},
    ),
    "move": (
        {"paths": {"/items": {"get": {"x": 1}}}},
        [
            {"target": "$.paths", "update": {"/new-items": {}}},
            {"target": '$.paths["/new-items"]', "copy": '$.paths["/items"]'},
            {"target": '$.paths["/items"]', "remove": True},
        ],
        {"paths": {"/new-items": {"get": {"x": 1}}}},
    ),
}


@pytest.mark.parametrize(("root", "actions", "result"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_of_the_specification(
    root: dict[str, Any], actions: list[dict[str, Any]], result: dict[str, Any]
) -> None:
    """Each example of the Overlay Specification changes the document as the specification says."""
    assert applied(root, *actions) == result


MISTAKES = {
    "no overlay": ({"openapi": "3.1.0"}, "not an OpenAPI Overlay of version 1.0 or 1.1"),
    "no JSONPath": (overlay({"target": "$.paths["}), "line 3, action 1: '$.paths[' is not a JSONPath"),
    "kinds that do not go together": (
        overlay({"target": "$.info", "update": {"title": "x"}}, {"target": "$.info", "update": {"title": {}}}),
        "action 2: an update of kind object does not go with a target of kind primitive",
    ),
    "copy of several": (overlay({"target": "$.info", "copy": "$.paths.*"}), "copy selects 2 nodes instead of one"),
}


@pytest.mark.parametrize(("value", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_file_line_and_action(value: dict[str, Any], message: str, tmp_path: Path, run: Run) -> None:
    """The program ends with status 2 and one line."""
    (tmp_path / "d.json").write_text(json.dumps(document({"/a": {"get": OK}, "/b": {"get": OK}})), encoding="utf-8")
    text = json.dumps(value).replace('"actions": [', '"actions":\n[\n')
    (tmp_path / "o.json").write_text(text, encoding="utf-8")
    ended = run("tools", "--spec", "d.json", "--overlays", "o.json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("portkey-bridge: o.json")
    assert message in ended.stderr


def test_an_action_that_matches_nothing_is_a_warning(tmp_path: Path, run: Run) -> None:
    """The document is served all the same."""
    (tmp_path / "d.json").write_text(json.dumps(document({"/a": {"get": OK}})), encoding="utf-8")
    (tmp_path / "o.json").write_text(json.dumps(overlay({"target": "$.paths['/b']", "remove": True})), encoding="utf-8")
    ended = run("tools", "--spec", "d.json", "--overlays", "o.json")
    assert ended.returncode == 0
    assert "o.json, line 1, action 1: $.paths['/b'] matches nothing." in ended.stderr


PATHS: dict[str, Any] = {
    "/orders/{id}": {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "get": {"operationId": "getOrder", **OK},
        "delete": {"operationId": "deleteOrder", **OK},
        "post": {
            "operationId": "refundOrder",
            "parameters": [{"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string"}}],
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["channel"],
                            "properties": {
                                "channel": {"type": "string"},
                                "amount": {"type": "integer"},
                                "note": {"type": "string"},
                            },
                        }
                    }
                }
            },
            **OK,
        },
    }
}

REFUND = {
    "name": "refund order",
    "title": "Refund",
    "description": "Refunds an order.",
    "arguments": {
        "id": {"name": "order", "description": "Its number."},
        "channel": {"value": "support"},
        "X-Tenant": {"value": "$TENANT"},
        "note": {"hidden": True},
    },
}


@asynccontextmanager
async def curated(folder: Path, url: str, said: Any, **fields: Any) -> AsyncIterator[Client[Any]]:
    """Return a client of a server that was told `x-mcp` of POST by an overlay."""
    root = document(PATHS, servers=[{"url": url}])
    (folder / "d.json").write_text(json.dumps(root), encoding="utf-8")
    action = {"target": "$.paths.*.post", "update": {"x-mcp": said}}
    (folder / "o.json").write_text(json.dumps(overlay(action)), encoding="utf-8")
    settings = Settings(spec=str(folder / "d.json"), overlays=(folder / "o.json",), **fields)
    async with Client(build_server([service_of(load_api(settings), settings)])) as client:
        yield client


async def test_a_tool_is_what_the_overlay_says_and_the_request_what_the_document_says(
    tmp_path: Path, recorder: Recorder
) -> None:
    """Names, words and arguments change for the model; the wire gets the document's names and the fixed values."""
    environ = {"TENANT": "marker-tenant-1234"}
    async with curated(tmp_path, recorder.url, REFUND, environ=environ) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
        listing = json.dumps([tool.model_dump(mode="json") for tool in tools.values()])
        result = await client.call_tool("refund_order", {"order": "7", "amount": 5})
        wrong = await client.call_tool(
            "refund_order", {"id": "7", "channel": "x", "amount": "no"}, raise_on_error=False
        )
    tool = tools["refund_order"]
    assert (tool.title, tool.description) == ("Refund", "Refunds an order.")
    assert tool.input_schema["properties"].keys() == {"order", "amount"}
    assert tool.input_schema["properties"]["order"]["description"] == "Its number."
    assert tool.input_schema["required"] == ["order"]
    request = recorder.last
    assert (request.method, request.target) == ("POST", "/orders/7")
    assert json.loads(request.body) == {"channel": "support", "amount": 5}
    assert request.header("x-tenant") == "marker-tenant-1234"
    assert len(recorder.requests) == 1
    assert [name for name in ("id", "channel", "amount", "order") if f"/{name}: " not in text_of(wrong)] == []
    assert "marker" not in listing + text_of(result) + text_of(wrong)


async def test_a_document_can_only_make_its_tools_stricter(recorder: Recorder) -> None:
    """It leaves out, names, asks for confirmation and warns; it does not describe, fix values or soothe."""
    paths = copy.deepcopy(PATHS)
    item = paths["/orders/{id}"]
    item["get"]["x-mcp"] = False
    item["delete"]["x-mcp"] = {"annotations": {"readOnlyHint": True, "destructiveHint": False}, "confirm": False}
    item["post"]["x-mcp"] = {**REFUND, "annotations": {"readOnlyHint": False, "destructiveHint": True}}
    settings = Settings(base_url=recorder.url, environ={"TENANT": "marker-tenant-1234"}, confirm=("delete*",))
    async with served(document(paths), settings) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
        refused = await client.call_tool("deleteorder", {"id": "1"}, raise_on_error=False)
    assert tools.keys() == {"expandSchema", "expandResult", "deleteorder", "refund_order"}
    hints = tools["deleteorder"].annotations
    assert hints
    assert (hints.read_only_hint, hints.destructive_hint) == (None, None)
    assert tools["refund_order"].input_schema["properties"].keys() >= {"id", "channel", "X-Tenant", "note"}
    assert tools["refund_order"].description != "Refunds an order."
    assert refused.is_error
    assert not recorder.requests


def as_it_is(item: dict[str, Any]) -> dict[str, Any]:
    """Return the paths and components of a path item that stands where it belongs."""
    return {"paths": {"/orders/{id}": item}}


def referred(*keys: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that puts a path item somewhere in the components, and refers to it."""

    def placed(item: dict[str, Any]) -> dict[str, Any]:
        components: Any = item
        for key in reversed(keys):
            components = {key: components}
        pointer = "/".join(("#/components", *keys))
        return {"paths": {"/orders/{id}": {"$ref": pointer}}, "components": components}

    return placed


#: Places where a hostile document may put an operation, besides those of operations.
PLACES = {
    "a path": as_it_is,
    "components": referred("pathItems", "x"),
    "an example": referred("examples", "x", "value"),
    "a property": referred("schemas", "x", "properties", "p"),
    "a default": referred("schemas", "x", "default"),
    "a header": referred("headers", "x"),
    "an extension": referred("x-anything", "enum", "const"),
}


@pytest.mark.parametrize("placed", PLACES.values(), ids=PLACES)
async def test_an_overlay_does_not_make_a_document_trustworthy(
    placed: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path, recorder: Recorder
) -> None:
    """What the document itself said loosely stays without effect beside an overlay, wherever the operation is."""
    item = copy.deepcopy(PATHS["/orders/{id}"])
    item["post"]["x-mcp"] = REFUND
    root = {**document({}, servers=[{"url": recorder.url}]), **placed(item)}
    (tmp_path / "d.json").write_text(json.dumps(root), encoding="utf-8")
    (tmp_path / "o.json").write_text(json.dumps(overlay({"target": "$.info", "update": {"x-a": 1}})), encoding="utf-8")
    settings = Settings(spec=str(tmp_path / "d.json"), overlays=(tmp_path / "o.json",), environ={"TENANT": "marker"})
    async with Client(build_server([service_of(load_api(settings), settings)])) as client:
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "refund_order"]
    assert tool.input_schema["properties"].keys() >= {"id", "channel", "X-Tenant", "note"}


def test_a_document_does_not_include_what_an_overlay_excludes(tmp_path: Path, run: Run) -> None:
    """An overlay that excludes everything is not overruled by a document that includes an operation of its own."""
    paths = {
        f"/r{number}": {"x-mcp": True, "get": {"operationId": f"r{number}", "x-mcp": True, **OK}} for number in (1, 2)
    }
    (tmp_path / "d.json").write_text(json.dumps(document(paths)), encoding="utf-8")
    chosen = {"target": "$.paths['/r2'].get", "update": {"x-mcp": True}}
    excluding = overlay({"target": "$", "update": {"x-mcp": False}}, chosen)
    (tmp_path / "o.json").write_text(json.dumps(excluding), encoding="utf-8")
    ended = run("tools", "--spec", "d.json", "--overlays", "o.json")
    assert [line.partition("\t")[0] for line in ended.stdout.splitlines()] == ["r2"]


def test_a_curated_set_of_twelve(tmp_path: Path, run: Run) -> None:
    """An overlay that excludes everything and includes twelve operations leaves twelve tools of two hundred."""
    paths = {f"/r{number}": {"get": {"operationId": f"r{number}", **OK}} for number in range(200)}
    (tmp_path / "d.json").write_text(json.dumps(document(paths)), encoding="utf-8")
    chosen = [{"target": f"$.paths['/r{number}'].get", "update": {"x-mcp": True}} for number in range(0, 120, 10)]
    (tmp_path / "o.json").write_text(
        json.dumps(overlay({"target": "$", "update": {"x-mcp": False}}, *chosen)), encoding="utf-8"
    )
    ended = run("tools", "--spec", "d.json", "--overlays", "o.json")
    assert [line.partition("\t")[0] for line in ended.stdout.splitlines()] == [f"r{n}" for n in range(0, 120, 10)]


async def test_the_settings_file_says_the_same_about_single_tools(
    tmp_path: Path, recorder: Recorder, connect: Connect
) -> None:
    """By the tools' names, with variables for values, and over what an overlay says."""
    (tmp_path / "d.json").write_text(json.dumps(document(PATHS, servers=[{"url": recorder.url}])), encoding="utf-8")
    (tmp_path / "s.toml").write_text(
        '[api.shop]\nspec = "d.json"\n[api.shop.operations]\ngetorder = false\n[api.shop.operations.refundorder]\n'
        'name = "refund"\narguments = { X-Tenant = { value = "$TENANT" }, channel = { value = "web" } }\n',
        encoding="utf-8",
    )
    async with connect("--config", "s.toml", env={"TENANT": "marker-tenant-1234"}) as client:
        names = {tool.name for tool in await client.list_tools()}
        await client.call_tool("shop_refund", {"id": "7"})
    assert names == {"expandSchema", "expandResult", "shop_refund", "shop_deleteorder"}
    assert recorder.last.header("x-tenant") == "marker-tenant-1234"
    assert json.loads(recorder.last.body) == {"channel": "web"}


def test_an_object_offers_the_tool_that_it_describes(tmp_path: Path, run: Run) -> None:
    """The example of the documentation leaves two tools of three; what the document says of itself adds none."""
    page = (ROOT / "docs" / "curated-tools.md").read_text(encoding="utf-8")
    (tmp_path / "o.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    post = {**PATHS["/orders/{id}"]["post"], "operationId": "refundOrder"}
    own = {"get": {**OK, "x-mcp": {"name": "own", "include": True, "confirm": True}}}
    root = document({"/orders/{id}": {"get": PATHS["/orders/{id}"]["get"]}, "/orders/{id}/refund": {"post": post}})
    root["paths"]["/own"] = own
    (tmp_path / "d.json").write_text(json.dumps(root), encoding="utf-8")
    ended = run("tools", "--spec", "d.json", "--overlays", "o.yaml", env={"TENANT": "marker-tenant-1234"})
    assert [line.partition("\t")[0] for line in ended.stdout.splitlines()] == ["getorder", "refund_order"]


def test_a_tool_that_an_overlay_excludes_is_offered_if_the_settings_file_describes_it(tmp_path: Path, run: Run) -> None:
    """By its name with or without the prefix, in capitals or not; with `include = false` it is not."""
    (tmp_path / "d.json").write_text(json.dumps(document(PATHS)), encoding="utf-8")
    (tmp_path / "o.json").write_text(json.dumps(overlay({"target": "$", "update": {"x-mcp": False}})), encoding="utf-8")
    (tmp_path / "s.toml").write_text(
        '[api.shop]\nspec = "d.json"\noverlays = ["o.json"]\n[api.shop.operations]\ngetOrder.title = "Get"\n'
        'shop_deleteorder.title = "Delete"\nrefundorder = { title = "Refund", include = false }\n',
        encoding="utf-8",
    )
    ended = run("tools", "--config", "s.toml")
    assert [line.partition("\t")[0] for line in ended.stdout.splitlines()] == ["shop_getorder", "shop_deleteorder"]


WRONG = {
    "an unknown tool": (
        "[api.a.operations]\nrefundordr = false",
        "there is no tool 'refundordr'; the closest are refundorder",
    ),
    "an unknown member": (
        '[api.a.operations.refundorder]\nnam = "x"',
        "line 4: 'nam' is not known; known are include, name,",
    ),
    "an unknown annotation": (
        "[api.a.operations.refundorder.annotations]\ndestructive = true",
        "line 4: annotations: 'destructive' is not known; known are readOnlyHint, destructiveHint, idempotentHint",
    ),
    "an annotation in words": (
        '[api.a.operations.refundorder.annotations]\nreadOnlyHint = "no"',
        "annotations: readOnlyHint must be true or false",
    ),
    "an argument that is no table": (
        '[api.a.operations.refundorder]\narguments = { channel = "web" }',
        "line 4: argument 'channel': expected an object of name, description, value, hidden",
    ),
    "a tool that is a text": (
        '[api.a.operations]\nrefundorder = "no"',
        "line 5: expected true, false or an object of include, name,",
    ),
    "a value that the argument does not take": (
        '[api.a.operations.refundorder]\narguments = { amount = { value = "many" } }',
        "refundorder: argument 'amount' does not take the value that is set for it",
    ),
    "an overlay that does not exist": (
        'overlays = ["nowhere.yaml"]',
        "nowhere.yaml: cannot be read (No such file or directory). Correct --overlays",
    ),
    "a tool to confirm that does not exist": (
        'confirm = ["deletordr"]',
        "--confirm: there is no tool 'deletordr'; the closest are deleteorder",
    ),
    "an unknown argument": (
        '[api.a.operations.refundorder.arguments.chanel]\nvalue = "x"',
        "refundorder has no argument 'chanel'",
    ),
    "a required argument hidden": (
        "[api.a.operations.refundorder.arguments.X-Tenant]\nhidden = true",
        "'X-Tenant' is required, so it cannot be hidden without a value",
    ),
    "a variable that is not set": (
        '[api.a.operations.refundorder.arguments.channel]\nvalue = "$NOWHERE"',
        "refers to $NOWHERE, which is not set",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_word_about_a_tool_is_refused(text: str, message: str, tmp_path: Path, run: Run) -> None:
    """At the start, in one line, with exit status 2."""
    (tmp_path / "d.json").write_text(json.dumps(document(PATHS)), encoding="utf-8")
    (tmp_path / "s.toml").write_text(f'[api.a]\nspec = "d.json"\nprefix = ""\n{text}\n', encoding="utf-8")
    ended = run("tools", "--config", "s.toml")
    assert ended.returncode == 2
    assert message in ended.stderr


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("decision", ["accept", "accept without the box", "decline", "cancel"])
async def test_a_person_is_asked_before_a_confirmed_call(recorder: Recorder, mode: str, decision: str) -> None:
    """In both eras of the protocol; only an explicit yes sends the request."""
    asked: list[str] = []

    async def decide(message: str, response_type: Any, params: ElicitRequestParams, context: Any) -> Any:
        asked.append(message)
        action: Any = decision.partition(" ")[0]
        content = {"confirmed": decision == "accept"} if action == "accept" else None
        return ElicitResult(action=action, content=content)

    settings = Settings(base_url=recorder.url, confirm=("delete*",))
    service = service_of(load_api_of(PATHS), settings)
    async with Client(build_server([service]), elicitation_handler=decide, mode=mode) as client:
        result = await client.call_tool("deleteorder", {"id": "7"}, raise_on_error=False)
        await client.call_tool("getorder", {"id": "7"})
    sent = [request.method for request in recorder.requests]
    assert asked == ['Call deleteorder (DELETE /orders/{id}) with {"id": "7"}?']
    assert sent == (["DELETE", "GET"] if decision == "accept" else ["GET"])
    assert result.is_error is (decision != "accept")


@pytest.mark.parametrize("pattern", ["deleteorder", "shop_delete*", "erase", "shop_erase"])
async def test_a_tool_is_confirmed_by_each_of_its_names(recorder: Recorder, pattern: str) -> None:
    """That of the document and the one that clients see, which has another word and a prefix."""
    renamed = {"deleteorder": ({"name": "erase"}, "file")}
    settings = Settings(base_url=recorder.url, confirm=(pattern,), name="shop", prefix="shop_", operations=renamed)
    if pattern == "shop_delete*":
        settings = replace(settings, operations={})
    async with Client(build_server([service_of(load_api_of(PATHS), settings)])) as client:
        name = "shop_deleteorder" if pattern == "shop_delete*" else "shop_erase"
        result = await client.call_tool(name, {"id": "7"}, raise_on_error=False)
    assert "needs the confirmation of a person" in text_of(result)
    assert not recorder.requests


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_that_cannot_ask_is_refused(recorder: Recorder, mode: str) -> None:
    """Nothing is sent, and the refusal names the setting."""
    service = service_of(load_api_of(PATHS), Settings(base_url=recorder.url, confirm=("*",)))
    async with Client(build_server([service]), mode=mode) as client:
        result = await client.call_tool("deleteorder", {"id": "7"}, raise_on_error=False)
    assert result.is_error
    assert "take deleteorder out of `confirm` in the settings" in text_of(result)
    assert not recorder.requests


def load_api_of(paths: dict[str, Any]) -> Any:
    """Read a document of these paths."""
    from tests.support import api_of

    return api_of(document(copy.deepcopy(paths)))


async def test_curated_arguments_are_read_as_others_are(recorder: Recorder) -> None:
    """A renamed argument has the readings of its schema, and so has the text of a variable that fixes another."""
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "integer"}, "required": True} for name in ("page", "size")
    ]
    said = {"arguments": {"page": {"name": "from"}, "size": {"value": "$PAGE_SIZE"}}}
    root = document({"/x": {"get": {"operationId": "op", "parameters": parameters, **OK}}})
    settings = Settings(base_url=recorder.url, operations={"op": (said, "file")}, environ={"PAGE_SIZE": "20"})
    async with served(root, settings) as client:
        assert not (await client.call_tool("op", {"from": "5"}, raise_on_error=False)).is_error
        refused = await client.call_tool("op", {"from": None}, raise_on_error=False)
        withdrawn = await client.call_tool("op", {"from": 1, "page": None}, raise_on_error=False)
    assert [request.target for request in recorder.requests] == ["/x?page=5&size=20"]
    assert "/from: expected integer, not null" in text_of(refused)
    assert "/page: there is no such argument" in text_of(withdrawn)
