"""The Portkey API from end to end: what is listed, what can be expanded, and the document itself.

`data/tool-inventory.json` holds facts about the server that this program stands in for: one entry a tool, with its
kind, its environment variables and the type of each argument (`other` where the schema has no single type).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from bench.tokens import compact, count
from tests.conftest import BARE, ROOT, Connect, Recorder, Run, connected, text_of
from tests.portability import ARGUMENT_NAME, portability_problems, subschemas

Json = dict[str, Any]
Session = Client[StdioTransport]

INVENTORY: list[Json] = json.loads((ROOT / "tests/data/tool-inventory.json").read_text(encoding="utf-8"))
OPERATIONS = [entry for entry in INVENTORY if entry["kind"] == "operation"]
PATH_ITEMS = [entry for entry in INVENTORY if entry["kind"] == "path-item"]

#: What the protocol takes for granted of a tool that gives no hints.
HINTS = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}

METHODS = ("get", "put", "post", "delete", "patch")

CLIENT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
REQUESTS = (
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)

#: The tools that are no operations.
EXPANDING = {"expandSchema", "expandResult"}

STUB = re.compile(r"\[expandSchema (\S+)\]$")

#: What every known client accepts: names of tools and arguments, and the keywords of a listed schema.
TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def raw_listing(hash_seed: str) -> bytes:
    """Return the bytes that a server answers to `tools/list` over stdio."""
    with subprocess.Popen(
        [sys.executable, "-m", "portkey_bridge"],
        env={**BARE, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT / "tests",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("".join(f"{json.dumps(request)}\n" for request in REQUESTS).encode())
        server.stdin.flush()
        server.stdout.readline()
        answer = server.stdout.readline()
        server.stdin.close()
    return answer


@pytest.fixture(scope="module")
def listing() -> bytes:
    """Return the answer to `tools/list`, as it came."""
    return raw_listing("1")


@pytest.fixture(scope="module")
def tools(listing: bytes) -> dict[str, Json]:
    """Return the listed tools by their names."""
    return {tool["name"]: tool for tool in json.loads(listing)["result"]["tools"]}


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[Session]:
    """Return a session with a server without options."""
    async with connected() as client:
        yield client


@pytest.fixture(scope="module")
def document() -> Json:
    """Return the document as a parser without this program's rules reads it."""
    text = (ROOT / "specs/portkey.yaml").read_text(encoding="utf-8")
    read: Json = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are safe
    return read


@pytest.fixture(scope="module")
def operations(document: Json) -> dict[str, Json]:
    """Return the operations of the document by method and path."""
    return {
        f"{method.upper()} {path}": item[method]
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


def kinds(schema: Json) -> set[str]:
    """Return the types that a schema allows, by its own `type` and its alternatives."""
    if "type" in schema:
        return {schema["type"]}
    return set().union(*(kinds(branch) for branch in schema.get("anyOf", [])))


def is_of(kind: str, schema: Json) -> bool:
    """Check whether a schema is of this type, null aside; `other` is one that needs alternatives."""
    return "type" not in schema if kind == "other" else kinds(schema) - {"null"} == {kind}


def stubs(value: Any) -> dict[str, Json]:
    """Return the stubs inside a view, or a part of one, by their pointers."""
    found = {}
    if isinstance(value, dict) and (marked := STUB.search(str(value.get("description", "")))):
        found[marked[1]] = value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        found |= stubs(child)
    return found


# The listing against the inventory


def test_the_inventory_is_whole() -> None:
    """The facts that the listing is judged by are 162 operations with 936 arguments, and 99 path items."""
    assert len(OPERATIONS) == 162
    assert sum(len(entry["params"]) for entry in OPERATIONS) == 936
    assert len(PATH_ITEMS) == 99


def test_every_operation_of_the_inventory_is_listed(tools: dict[str, Json]) -> None:
    """Whoever used the other server finds each of its 162 operations under its old name."""
    assert [entry["tool"] for entry in OPERATIONS if entry["tool"] not in tools] == []


def test_all_operations_and_expand_schema_are_listed(tools: dict[str, Json]) -> None:
    """All 231 operations are tools, the two that expand stand beside them, and nothing else."""
    assert tools.keys() >= EXPANDING
    assert len(tools) == 231 + len(EXPANDING)


async def test_every_argument_keeps_its_name_and_type(tools: dict[str, Json], client: Session) -> None:
    """Each of the 936 arguments is there with its type, as it is listed and, where that is a stub, expanded."""
    wrong = []
    for entry in OPERATIONS:
        listed = tools[entry["tool"]]["inputSchema"]["properties"]
        expanded = await expand(client, entry["tool"], [f"/properties/{name}" for name in entry["params"]])
        for name, kind in entry["params"].items():
            whole = expanded[f"/properties/{name}"]["schema"]
            if not is_of(kind, whole) or kinds(listed[name]) != kinds(whole):
                wrong.append((entry["tool"], name, kind, listed[name], whole))
    assert wrong == []


def test_every_operation_takes_the_same_variables(run: Run) -> None:
    """A configuration with credentials stays valid: each operation names the environment variables that it had."""
    served = {row["name"]: row["variables"] for row in json.loads(run("tools", "--json").stdout)}
    assert {entry["tool"]: served[entry["tool"]] for entry in OPERATIONS} == {
        entry["tool"]: entry["env"] for entry in OPERATIONS
    }


@pytest.mark.slow
async def test_path_item_tools_answer_from_the_document(
    document: Json, tools: dict[str, Json], connect: Connect, recorder: Recorder
) -> None:
    """With the option, a tool for what each path declares tells it, the 99 of the inventory too, and sends nothing."""
    declared = {
        (f"{kind}{re.sub(r'[^a-z0-9]+', '_', path.lower())}", kind): item[kind]
        for path, item in document["paths"].items()
        for kind in ("servers", "parameters")
        if item.get(kind)
    }
    assert {entry["tool"] for entry in PATH_ITEMS} <= {name for name, _ in declared}
    async with connect("--path-item-tools", env={"OPEN_MCP_BASE_URL": recorder.url}) as client:
        listed = {tool.name: tool for tool in await client.list_tools()}
        assert listed.keys() - tools.keys() == {name for name, _ in declared}
        for (name, kind), entries in declared.items():
            answer = json.loads(text_of(await client.call_tool(name, {})))
            field = "url" if kind == "servers" else "name"
            assert [entry[field] for entry in answer[kind]] == [entry[field] for entry in entries]
            assert answer.get("used", recorder.url) == recorder.url
            assert listed[name].input_schema == {"type": "object", "properties": {}}
    assert recorder.requests == []


async def test_path_item_tools_name_the_server_that_the_path_declares(connect: Connect) -> None:
    """Without a base URL, the first server of the path is the one that a call uses."""
    async with connect("--path-item-tools", "--tools", "listmodels") as client:
        answer = json.loads(text_of(await client.call_tool("servers_chat_completions", {})))
    assert answer["used"] == "https://api.portkey.ai/v1"


# The listing itself


@pytest.mark.slow
def test_the_listing_is_byte_identical_from_run_to_run(listing: bytes) -> None:
    """Two processes with different hash seeds answer `tools/list` with the same bytes, so clients can cache it."""
    assert listing == raw_listing("2")


def test_the_listing_is_small(tools: dict[str, Json]) -> None:
    """All 231 operations take at most 30,000 tokens (o200k_base) and 130,000 bytes in every conversation."""
    listing = compact(list(tools.values()))
    assert len(listing.encode()) <= 130_000
    assert count(listing) <= 30_000


COMMON_CALLS: dict[str, Json] = {
    "createchatcompletion": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
    "createembedding": {"model": "text-embedding-3-small", "input": "Hi"},
    "createpromptcompletion": {"promptId": "welcome", "variables": {"name": "Ada"}},
}


@pytest.mark.parametrize("name", COMMON_CALLS)
def test_the_common_call_is_listed(tools: dict[str, Json], name: str) -> None:
    """A common call can be made from the listing alone: each key in it is named there, and what it needs is in it."""
    schema = tools[name]["inputSchema"]
    Draft202012Validator(schema).validate(COMMON_CALLS[name])
    assert schema["properties"].keys() >= COMMON_CALLS[name].keys() >= set(schema["required"])


def test_a_message_is_listed_with_its_parts(tools: dict[str, Json]) -> None:
    """What every form of a chat message has stands in the listing, though each form is left out."""
    message = tools["createchatcompletion"]["inputSchema"]["properties"]["messages"]["items"]
    assert message["properties"].keys() >= {"role", "content"}
    assert message["required"] == ["role"]


def test_every_tool_says_what_it_is(tools: dict[str, Json]) -> None:
    """Every tool has a title and a description."""
    assert [name for name, tool in tools.items() if not (tool.get("title") and tool.get("description"))] == []


@pytest.mark.parametrize(
    ("tool", "read_only", "destructive", "idempotent"),
    [
        ("listmodels", True, True, False),  # the last two mean nothing where nothing is changed
        ("createchatcompletion", False, False, False),
        ("updateconfig", False, True, True),
        ("deleteconfig", False, True, True),
    ],
)
def test_hints_follow_the_method(
    tools: dict[str, Json], tool: str, read_only: bool, destructive: bool, idempotent: bool
) -> None:
    """A client may call a GET without asking, and asks before a PUT or DELETE."""
    assert {**HINTS, **tools[tool]["annotations"]} == {
        "readOnlyHint": read_only,
        "destructiveHint": destructive,
        "idempotentHint": idempotent,
        "openWorldHint": True,
    }


def test_tool_names_fit_every_client(tools: dict[str, Json]) -> None:
    """Tool and argument names have the characters and the length that every model API takes."""
    assert [name for name in tools if not TOOL_NAME.fullmatch(name)] == []
    assert [
        (tool["name"], name)
        for tool in tools.values()
        for name in tool["inputSchema"]["properties"]
        if not ARGUMENT_NAME.fullmatch(name)
    ] == []


def test_listed_schemas_are_json_schemas(tools: dict[str, Json]) -> None:
    """Every listed input schema is a valid JSON Schema 2020-12 of an object, without a union at its root."""
    for tool in tools.values():
        schema = tool["inputSchema"]
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object", tool["name"]
        assert not schema.keys() & {"anyOf", "oneOf", "allOf"}, tool["name"]


def test_listed_schemas_are_portable(tools: dict[str, Json]) -> None:
    """No listed schema has anything that a known client refuses."""
    problems = [
        (tool["name"], pointer, problem)
        for tool in tools.values()
        for pointer, schema in subschemas(tool["inputSchema"])
        for problem in portability_problems(schema)
    ]
    assert problems == []


# Expansion


async def expand(client: Session, tool: str, pointers: list[str]) -> dict[str, Json]:
    """Return the entries of an `expandSchema` answer by their pointers."""
    answer = await client.call_tool("expandSchema", {"toolName": tool, "jsonPointers": pointers})
    entries = json.loads(text_of(answer))
    assert [entry["jsonPointer"] for entry in entries] == pointers
    return {entry["jsonPointer"]: entry for entry in entries}


def without_place(schema: Json, pointer: str) -> str:
    """Return a view as text in which stubs point relative to it, to compare views of different places."""
    return json.dumps(schema).replace(f"[expandSchema {pointer}/", "[expandSchema ./")


async def expand_all(client: Session, tool: Json) -> None:
    """Expand every stub of a tool, and those that appear, until none is left or what stands above repeats."""
    known = {pointer: kinds(stub) for pointer, stub in stubs(tool["inputSchema"]).items()}
    known |= {f"/properties/{name}": kinds(view) for name, view in tool["inputSchema"]["properties"].items()}
    waiting, done = known, dict[str, str]()
    while waiting:
        entries = await expand(client, tool["name"], sorted(waiting))
        found: dict[str, set[str]] = {}
        for pointer, entry in entries.items():
            assert "schema" in entry, (tool["name"], entry)
            assert kinds(entry["schema"]) <= waiting[pointer], (tool["name"], entry, waiting[pointer])
            view = without_place(entry["schema"], pointer)
            if not any(pointer.startswith(f"{above}/") and view == seen for above, seen in done.items()):
                found |= {below: kinds(stub) for below, stub in stubs(entry["schema"]).items()}
            done[pointer] = view
        waiting = {pointer: allowed for pointer, allowed in found.items() if pointer not in done}


async def test_every_stub_expands_to_the_end(tools: dict[str, Json], client: Session) -> None:
    """Each stub of each tool expands, and each that then appears, to a schema of the type that the stub showed."""
    for name, tool in tools.items():
        if name not in EXPANDING:
            await expand_all(client, tool)


@pytest.mark.slow
async def test_the_smallest_stubs_expand_to_the_end(connect: Connect) -> None:
    """So it is where the budget shows one level at a time, and pointers reach deep."""
    async with connect(env={"OPEN_MCP_SCHEMA_BUDGET": "20"}) as client:
        for tool in await client.list_tools():
            if tool.name not in EXPANDING:
                await expand_all(client, tool.model_dump(by_alias=True, exclude_none=True))


async def test_a_pointer_to_nowhere_is_explained(client: Session) -> None:
    """A wrong pointer beside a right one costs only itself, and its error names the closest that exists."""
    pointers = ["/properties/messages", "/properties/mesages/items"]
    answer = await expand(client, "createchatcompletion", pointers)
    assert "schema" in answer["/properties/messages"]
    assert "/properties/messages" in answer["/properties/mesages/items"]["error"]


async def test_an_unknown_tool_to_expand_is_explained(client: Session) -> None:
    """A tool's name that does not exist is an error that names the closest."""
    arguments = {"toolName": "createchatcompletions", "jsonPointers": [""]}
    answer = await client.call_tool("expandSchema", arguments, raise_on_error=False)
    assert answer.is_error
    assert "createchatcompletion," in text_of(answer)


# The document


@pytest.mark.slow
def test_the_document_is_valid(document: Json) -> None:
    """`specs/portkey.yaml` is an OpenAPI document without an error."""
    validate(document)


def test_the_document_is_whole(document: Json, operations: dict[str, Json]) -> None:
    """It has all operations and all schemas of the API."""
    assert len(operations) == 231
    assert len(document["components"]["schemas"]) == 517


def test_every_operation_has_a_summary_of_its_own(operations: dict[str, Json]) -> None:
    """A model chooses by the summary, so each operation has one, and no two are alike."""
    assert [name for name, operation in operations.items() if not operation.get("summary", "").strip()] == []
    counted = Counter(operation["summary"].strip().lower() for operation in operations.values())
    assert [summary for summary, count in counted.items() if count > 1] == []


def test_every_response_has_a_description(document: Json, operations: dict[str, Json]) -> None:
    """Each response says what it is, as OpenAPI requires."""
    shared = document["components"].get("responses", {})
    responses = [
        (name, status, response if "$ref" not in response else shared[response["$ref"].rpartition("/")[2]])
        for name, operation in operations.items()
        for status, response in operation["responses"].items()
    ]
    assert [entry[:2] for entry in responses if not entry[2].get("description", "").strip()] == []


def test_header_parameters_that_are_objects_are_json(document: Json, operations: dict[str, Json]) -> None:
    """The API takes `x-portkey-metadata` as JSON, so no object in a header is left to a style."""
    shared = document["components"]["parameters"]
    inline = [parameter for operation in operations.values() for parameter in operation.get("parameters", [])]
    inline += [parameter for item in document["paths"].values() for parameter in item.get("parameters", [])]
    headers = [parameter for parameter in (*shared.values(), *inline) if parameter.get("in") == "header"]
    assert [parameter["name"] for parameter in headers if parameter.get("schema", {}).get("type") == "object"] == []
    assert shared["PortkeyMetadata"]["content"]["application/json"]["schema"]["type"] == "object"


@pytest.mark.slow
def test_models_can_be_listed_with_a_provider_s_credentials(operations: dict[str, Json]) -> None:
    """A self-hosted gateway needs the provider's credentials for the list of models as for a chat completion."""
    assert operations["GET /models"]["security"] == operations["POST /chat/completions"]["security"]
