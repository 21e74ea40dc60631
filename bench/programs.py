"""Measures what tasks of several calls cost a model: with all tools, with --discover, and with --code.

python -m bench.programs

Each task is a program. With --code the sandbox runs it; otherwise this module does, and each of its calls is one call
of the model. The listing, what the model writes (arguments) and what it reads (results) are counted once as tokens, and
as processed tokens again in each turn, because a model reads the whole conversation before each call and at the end.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastmcp import Client
from mcp_types import TextContent

from bench.tokens import compact, count
from portkey_bridge.bridge.service import service_of
from portkey_bridge.builtin.sandbox import prepared, run_program
from portkey_bridge.document.parse import Document
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import ProgramLimits

#: The resources of the API, with the fields of each beside its id.
FIELDS: dict[str, dict[str, str]] = {
    "user": {"name": "string", "email": "string", "team": "string", "active": "boolean"},
    "project": {"name": "string", "ownerId": "integer", "status": "string", "budget": "number"},
    "issue": {
        "title": "string",
        "projectId": "integer",
        "assigneeId": "integer",
        "state": "string",
        "points": "integer",
    },
    "comment": {"issueId": "integer", "authorId": "integer", "text": "string"},
}

#: Items of each resource at the start, and on one page.
COUNTS, PAGE = {"user": 40, "project": 12, "issue": 150, "comment": 200}, 50


@dataclass(frozen=True)
class Task:
    """A task: what a person asks, the tools that it takes, and the program that solves it.

    `searches` are what a model looks for, all in one search; without them it is the question.
    """

    question: str
    tools: tuple[str, ...]
    program: str
    searches: tuple[str, ...] = ()


#: Reads all pages of a list.
EVERY = """
async def every(tool, **filters):
    items, page = [], 1
    while True:
        found = await call(tool, {"page": page, **filters})
        items += found["items"]
        if len(items) >= found["total"]:
            return items
        page += 1
"""

TASKS = (
    Task("Show user 7", ("getuser",), 'await call("getuser", {"id": 7})'),
    Task("Create a project Apollo", ("createproject",), 'await call("createproject", {"name": "Apollo"})'),
    Task(
        "How many points do the open issues of each project have?",
        ("listissues", "listprojects"),
        EVERY
        + """
names = {project["id"]: project["name"] for project in await every("listprojects")}
points = {}
for issue in await every("listissues", state="open"):
    name = names[issue["projectId"]]
    points[name] = points.get(name, 0) + issue["points"]
points
""",
    ),
    Task(
        "Which active users have no open issue?",
        ("listusers", "listissues"),
        EVERY
        + """
busy = {issue["assigneeId"] for issue in await every("listissues", state="open")}
[user["name"] for user in await every("listusers") if user["active"] and user["id"] not in busy]
""",
    ),
    Task(
        "Close all issues of project 3 that have no comment",
        ("listissues", "listcomments", "updateissue"),
        EVERY
        + """
commented = {comment["issueId"] for comment in await every("listcomments")}
idle = [issue for issue in await every("listissues", projectId=3) if issue["id"] not in commented]
for issue in idle:
    if issue["state"] == "open":
        await call("updateissue", {"id": issue["id"], "state": "closed"})
[issue["id"] for issue in await every("listissues", projectId=3) if issue["state"] == "closed"]
""",
    ),
    Task(
        "Who has written the most comments?",
        ("listcomments", "getuser"),
        EVERY
        + """
written = {}
for comment in await every("listcomments"):
    written[comment["authorId"]] = written.get(comment["authorId"], 0) + 1
best = max(written, key=lambda author: (written[author], -author))
{"name": (await call("getuser", {"id": best}))["name"], "comments": written[best]}
""",
    ),
    Task(
        "Create a project Mars with five issues, and check that they are there",
        ("createproject", "createissue", "listissues"),
        """
project = await call("createproject", {"name": "Mars", "ownerId": 1, "status": "new", "budget": 5})
for number in range(1, 6):
    issue = {"title": f"Step {number}", "projectId": project["id"], "assigneeId": 1, "state": "open", "points": number}
    await call("createissue", issue)
found = await call("listissues", {"projectId": project["id"]})
[issue["title"] for issue in found["items"]]
""",
    ),
    Task(
        "Give the issues of inactive users to the owner of their project",
        ("listusers", "listissues", "listprojects", "updateissue"),
        EVERY
        + """
inactive = {user["id"] for user in await every("listusers") if not user["active"]}
owners = {project["id"]: project["ownerId"] for project in await every("listprojects")}
moved = [issue for issue in await every("listissues", state="open") if issue["assigneeId"] in inactive]
for issue in moved:
    await call("updateissue", {"id": issue["id"], "assigneeId": owners[issue["projectId"]]})
len(moved)
""",
    ),
    Task(
        "List the e-mail addresses of the owners of projects over budget 50",
        ("listprojects", "getuser"),
        EVERY
        + """
owners = sorted({project["ownerId"] for project in await every("listprojects") if project["budget"] > 50})
[(await call("getuser", {"id": owner}))["email"] for owner in owners]
""",
    ),
    Task(
        "Delete all comments that say spam",
        ("listcomments", "deletecomment"),
        EVERY
        + """
spam = [comment["id"] for comment in await every("listcomments") if "spam" in comment["text"]]
for number in spam:
    await call("deletecomment", {"id": number})
len(spam)
""",
    ),
)


def document(url: str) -> dict[str, Any]:
    """Return the document of an issue tracker with five operations for each of its resources."""
    paths: dict[str, Any] = {}
    for name, fields in FIELDS.items():
        properties = {field: {"type": kind} for field, kind in fields.items()}
        item = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, **properties}}
        of_page = {"items": {"type": "array", "items": item}, "total": {"type": "integer"}}
        page = {"type": "object", "required": ["items", "total"], "properties": of_page}
        body = {"content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}
        filters = [_parameter(field, kind, "query") for field, kind in {"page": "integer", **fields}.items()]
        paths[f"/{name}s"] = {
            "get": _operation(f"list{name}s", f"List {name}s", page, parameters=filters),
            "post": _operation(f"create{name}", f"Create a {name}", item, requestBody={**body, "required": True}),
        }
        paths[f"/{name}s/{{id}}"] = {
            "parameters": [_parameter("id", "integer", "path")],
            "get": _operation(f"get{name}", f"Show a {name}", item),
            "patch": _operation(f"update{name}", f"Change fields of a {name}", item, requestBody=body),
            "delete": {
                "operationId": f"delete{name}",
                "summary": f"Delete a {name}",
                "responses": {"204": {"description": "Deleted"}},
            },
        }
    return {"openapi": "3.1.0", "info": {"title": "Tracker", "version": "1"}, "servers": [{"url": url}], "paths": paths}


def _parameter(name: str, kind: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": kind}}


def _operation(name: str, summary: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    responses = {"200": {"description": "OK", "content": {"application/json": {"schema": answer}}}}
    return {"operationId": name, "summary": summary, "responses": responses, **more}


def _items() -> dict[str, dict[int, dict[str, Any]]]:
    """Return the same items each time."""
    make: dict[str, Callable[[int], Any]] = {
        "name": lambda n: f"Name {n}",
        "email": lambda n: f"user{n}@example.com",
        "team": lambda n: ("red", "green", "blue")[n % 3],
        "active": lambda n: n % 5 != 0,
        "ownerId": lambda n: n % 7 + 1,
        "status": lambda n: "running",
        "budget": lambda n: n * 10.5,
        "title": lambda n: f"Something about {n} does not work as expected",
        "projectId": lambda n: n % 12 + 1,
        "assigneeId": lambda n: n % 30 + 1,
        "state": lambda n: "closed" if n % 3 else "open",
        "points": lambda n: n % 8 + 1,
        "issueId": lambda n: n * 7 % 150 + 1,
        "authorId": lambda n: n % 11 + 1,
        "text": lambda n: "spam" if n % 20 == 0 else f"I have seen this, too, in version {n}",
    }
    return {
        name: {n: {"id": n, **{field: make[field](n) for field in FIELDS[name]}} for n in range(1, total + 1)}
        for name, total in COUNTS.items()
    }


@contextmanager
def tracker() -> Iterator[str]:
    """Serve the issue tracker on the loopback interface, and return its URL."""
    items = _items()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = urlsplit(self.path)
            found = _answer(items, self.command, url.path, dict(parse_qsl(url.query)), json.loads(body or b"{}"))
            content = b"" if found is None else json.dumps(found).encode()
            self.send_response(200 if content else 204)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(items: dict[str, dict[int, Any]], method: str, path: str, query: dict[str, str], body: Any) -> Any:
    name, _, number = path.strip("/").partition("/")
    kept = items[name.removesuffix("s")]
    if method == "POST":
        new = {"id": max(kept) + 1, **body}
        kept[new["id"]] = new
        return new
    if number:
        if method == "DELETE":
            del kept[int(number)]
            return None
        kept[int(number)].update(body)
        return kept[int(number)]
    page = int(query.pop("page", 1))
    found = [each for each in kept.values() if all(str(each.get(key)) == value for key, value in query.items())]
    return {"items": found[(page - 1) * PAGE : page * PAGE], "total": len(found)}


@dataclass
class Cost:
    """What a task costs: calls by the model, tokens of the listing, written, read and processed, and seconds.

    Those `found` are among those read: what was searched for and shown of tools.
    """

    listed: int = 0
    found: int = 0
    calls: int = 0
    written: int = 0
    read: int = 0
    processed: int = 0
    seconds: float = 0.0
    result: Any = None

    @property
    def tokens(self) -> int:
        """All tokens, each counted once."""
        return self.listed + self.written + self.read


class Model:
    """A model that knows what to do, and pays for it."""

    def __init__(self, client: Client[Any], cost: Cost) -> None:
        self._client, self._cost = client, cost

    async def call(self, name: str, arguments: dict[str, Any] | None = None) -> str:
        """Call a tool of the listing, and return the text of its result."""
        result = await self._client.call_tool(name, arguments or {})
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        self._cost.processed += self._cost.tokens
        self._cost.calls += 1
        self._cost.written += count(compact({"name": name, "arguments": arguments or {}}))
        self._cost.read += count(text)
        return text

    async def plain(self, task: Task) -> Any:
        """Solve a task with all tools."""
        return await _run(task.program, lambda name, arguments=None: self._value(name, arguments))

    async def discovering(self, task: Task) -> Any:
        """Solve a task with --discover."""
        await self._search(task)
        for name in task.tools:
            await self.call("expandSchema", {"toolName": name, "jsonPointers": [""]})
        self._cost.found = self._cost.read
        return await _run(
            task.program,
            lambda name, arguments=None: self._value("callTool", {"toolName": name, "arguments": arguments or {}}),
        )

    async def coding(self, task: Task) -> Any:
        """Solve a task with --code."""
        await self._search(task)
        first, *further = task.tools
        await self.call("expandSchema", {"toolName": first, **({"toolNames": further} if further else {})})
        self._cost.found = self._cost.read
        return _json(await self.call("runProgram", {"code": task.program.strip()}))

    async def _search(self, task: Task) -> None:
        """Search until each tool is named: by what the task is about, then by its name."""
        first, *further = task.searches or (task.question,)
        found = await self.call("searchTools", {"query": first, **({"queries": further} if further else {})})
        for name in task.tools:
            if name not in re.findall(r"\w+", found):
                found += await self.call("searchTools", {"query": name})

    async def _value(self, name: str, arguments: Any) -> Any:
        return _json(await self.call(name, arguments))


def _json(text: str) -> Any:
    """Return the JSON value that a result begins with; remarks follow it."""
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None


async def _run(program: str, call: Callable[..., Awaitable[Any]]) -> Any:
    """Run a program here, and return the value of its last expression, as JSON has it."""
    tree = ast.parse(program)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr), program  # noqa: S101
    tree.body[-1] = ast.fix_missing_locations(ast.copy_location(_assigned(last.value), last))
    names: dict[str, Any] = {"call": call}
    code = compile(tree, "task", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)  # noqa: S307  the tasks above
    if running is not None:
        await running
    return json.loads(json.dumps(names["_result"]))


def _assigned(value: ast.expr) -> ast.Assign:
    return ast.Assign(targets=[ast.Name(id="_result", ctx=ast.Store())], value=value)


async def listed_tokens(client: Client[Any]) -> int:
    """Return the tokens of the tools that a server lists."""
    tools = await client.list_tools()
    return count(compact([tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in tools]))


async def solved(client: Client[Any], task: Task, listed: int, solve: Solve) -> Cost:
    """Solve a task in one of the ways, and return what it costs."""
    cost, began = Cost(listed=listed), time.perf_counter()
    cost.result = await solve(Model(client, cost), task)
    cost.processed += cost.tokens  # the answer to the person
    cost.seconds = time.perf_counter() - began
    return cost


Solve = Callable[[Model, Task], Awaitable[Any]]
"""What a model does to solve a task."""

#: The ways to solve a task: the settings of the server, and what the model does.
WAYS: dict[str, tuple[Settings, Solve]] = {
    "all tools": (Settings(), Model.plain),
    "--discover": (Settings(discover=True), Model.discovering),
    "--code": (Settings(code="only"), Model.coding),
}


async def measured(task: Task, way: str) -> Cost:
    """Solve a task in one of the ways, with an API of its own, and return what it costs."""
    settings, solve = WAYS[way]
    with tracker() as url:
        api = read_api(normalize(Document("tracker", "file:///tracker", document(url))).root, "file:///tracker")
        async with Client(build_server([service_of(api, settings)])) as client:
            return await solved(client, task, await listed_tokens(client), solve)


async def table() -> str:
    """Return a table of all tasks in all ways."""
    heading = "| task | way | calls | listing | written | read | tokens | processed | ms |"
    lines = [heading, f"|---|---|{'--:|' * 7}"]
    for task in TASKS:
        for way in WAYS:
            cost = await measured(task, way)
            tokens = (cost.listed, cost.written, cost.read, cost.tokens, cost.processed)
            numbers = (cost.calls, *tokens, round(cost.seconds * 1000))
            lines.append(f"| {task.question} | {way} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)


async def start(times: int = 40) -> str:
    """Return how long programs take from their start to their first call, and how much CPU time each takes."""
    called = [0.0]

    async def call(written: str) -> None:
        called[0] = time.perf_counter()

    seconds, before = list[float](), os.times()
    for _ in range(times):
        began = time.perf_counter()
        await run_program(prepared('await call("tool")'), ProgramLimits(), call, lambda *_: None)
        seconds.append(called[0] - began)
    used = (sum(os.times()[:4]) - sum(before[:4])) / times
    return f"Start of a program to its first call: {1000 * median(seconds):.1f} ms, {1000 * used:.1f} ms of CPU."


if __name__ == "__main__":
    print(asyncio.run(table()))
    print(asyncio.run(start()))
