"""Measures what tasks on real applications cost a model: with all tools, with --discover, and with --code.

python -m bench.applications

`make applications` installs the applications; those that are missing are left out. Each way has servers of its own, so
that all find the same data.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from bench.figures import section, table
from bench.programs import Cost, Model, Solve, Task, listed_tokens, solved
from tests.applications import found, run_etcd, run_powerdns, running
from tests.public_documents import FOLDER, public
from tests.replicas import free_port

#: The password or key of each application, which is made up.
SECRET = "key-of-the-application"  # noqa: S105

#: How many times fewer tokens a task of several calls should take as a program.
AIM = 5

INTRODUCTION = (
    "Tasks on real applications, solved by a scripted client: with all tools, with `--discover`, and with `--code`. "
    "Calls are those of the model. Tokens (o200k_base) of the listing and of what the model reads are in, what it "
    "writes is out, each counted once; processed are those of the whole conversation before each call and at the end. "
    "Listing and look-up is what a model reads before it knows what to call. Seconds are those of the calls alone."
)

#: The ways to solve a task: options, and what the model does.
WAYS: dict[str, tuple[tuple[str, ...], Solve]] = {
    "all tools": ((), Model.plain),
    "--discover": (("--discover",), Model.discovering),
    "--code": (("--code",), Model.coding),
}


@dataclass(frozen=True)
class Application:
    """How an application starts in a folder, is filled, and is served, and the tasks on it."""

    start: Callable[[Path], AbstractContextManager[str]]
    fill: Callable[[str], None]
    options: Callable[[str], list[str]]
    tasks: tuple[Task, ...]


def fill_powerdns(url: str) -> None:
    """Create 20 zones with an address each, of which every third has no mail server."""
    with httpx.Client(headers={"X-API-Key": SECRET}, timeout=60) as client:
        for number in range(1, 21):
            name = f"zone{number:02}.example."
            records = [("www", "A", f"192.0.2.{number}")] + [("", "MX", f"10 mail.{name}")] * bool(number % 3)
            rrsets = [
                {
                    "name": f"{label}.{name}".removeprefix("."),
                    "type": kind,
                    "ttl": 3600,
                    "records": [{"content": content, "disabled": False}],
                }
                for label, kind, content in records
            ]
            zone = {"name": name, "kind": "Native", "nameservers": ["ns1.example.net."], "rrsets": rrsets}
            client.post(f"{url}/api/v1/servers/localhost/zones", json=zone).raise_for_status()


def kinto(folder: Path) -> AbstractContextManager[str]:
    """Run Kinto in memory, where accounts may create buckets."""
    port, command = free_port(), found("kinto", "kinto")
    backends = ["--backend", "memory", "--cache-backend", "memory", "--host", "127.0.0.1"]
    init = [command, "init", "--ini", "kinto.ini", *backends]
    subprocess.run(init, cwd=folder, check=True, capture_output=True)  # noqa: S603
    file = folder / "kinto.ini"
    left_out = ("kinto.plugins.admin", "kinto.bucket_create_principals")
    lines = [line for line in file.read_text().splitlines() if not line.strip().startswith(left_out)]
    lines.insert(lines.index("[app:main]") + 1, "kinto.bucket_create_principals = system.Authenticated")
    file.write_text("\n".join(lines))
    started = [command, "start", "--ini", "kinto.ini", "--port", str(port)]
    return running(started, f"http://127.0.0.1:{port}/v1/", folder)


def fill_kinto(url: str) -> None:
    """Create customers and orders in a bucket."""
    httpx.put(f"{url}accounts/jo", json={"data": {"password": SECRET}}).raise_for_status()
    with httpx.Client(auth=("jo", SECRET), base_url=url, timeout=60) as client:
        client.put("buckets/shop").raise_for_status()
        for name, total in (("customers", 15), ("orders", 40)):
            client.put(f"buckets/shop/collections/{name}").raise_for_status()
            for number in range(1, total + 1):
                customer = {"name": f"Customer {number}", "city": ("Berlin", "Paris", "Rome")[number % 3]}
                order = {"customer": f"c{number % 15 + 1}", "total": number * 3, "paid": number % 4 != 0}
                data = customer if name == "customers" else order
                place = f"buckets/shop/collections/{name}/records/{name[0]}{number}"
                client.put(place, json={"data": data}).raise_for_status()


def chroma(folder: Path) -> AbstractContextManager[str]:
    """Run Chroma without authentication."""
    port = free_port()
    command = [found("chroma", "chroma"), "run", "--path", str(folder / "data"), "--host", "127.0.0.1"]
    return running([*command, "--port", str(port)], f"http://127.0.0.1:{port}", folder)


def fill_chroma(url: str) -> None:
    """Create six collections with some documents each."""
    base = f"{url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    for number in range(1, 7):
        made = httpx.post(base, json={"name": f"notes{number}"}, timeout=60).raise_for_status().json()
        ids = [f"n{number}-{index}" for index in range(number * 2)]
        vectors = [[float(index), float(number)] for index in range(len(ids))]
        documents = [f"Note {each} about apples" for each in ids]
        added = {"ids": ids, "embeddings": vectors, "documents": documents}
        httpx.post(f"{base}/{made['id']}/add", json=added, timeout=60).raise_for_status()


def jupyter(folder: Path) -> AbstractContextManager[str]:
    """Run a Jupyter server with a token."""
    (folder / "files").mkdir()
    port = free_port()
    options = {"port": port, "ip": "127.0.0.1", "open_browser": False, "root_dir": str(folder / "files")}
    words = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    command = [found("jupyter-server", "jupyter"), "--allow-root", *words, f"--IdentityProvider.token={SECRET}"]
    return running(command, f"http://127.0.0.1:{port}", folder)


def fill_jupyter(url: str) -> None:
    """Create a folder of 15 notes, of which each third is empty."""
    with httpx.Client(
        headers={"Authorization": f"token {SECRET}"}, base_url=f"{url}/api/contents/", timeout=60
    ) as client:
        client.put("notes", json={"type": "directory"}).raise_for_status()
        for number in range(1, 16):
            text = "" if number % 3 == 0 else f"Note {number}\nSomething about apples, and {number} pears."
            file = {"type": "file", "format": "text", "content": text}
            client.put(f"notes/note{number:02}.txt", json=file).raise_for_status()


def jupyter_options(url: str) -> list[str]:
    """Return the options that serve a Jupyter server by the document that is installed with it."""
    (spec,) = Path(found("jupyter-server", "jupyter")).parents[1].rglob("jupyter_server/services/api/api.yaml")
    return ["--spec", str(spec), "--base-url", url, "--header", "Authorization=APP_HEADER", "--lenient"]


def etcd(folder: Path) -> AbstractContextManager[str]:
    """Run etcd without authentication. Skips it where its document is not among the public ones."""
    public("etcd.json")
    return run_etcd(folder)


def fill_etcd(url: str) -> None:
    """Create ten keys below old/, and two roles."""
    for number in range(10):
        pair = {"key": f"old/k{number}".encode(), "value": f"value {number}".encode()}
        sent = {name: base64.b64encode(text).decode() for name, text in pair.items()}
        httpx.post(f"{url}/v3/kv/put", json=sent, timeout=60).raise_for_status()
    for name in ("reader", "writer"):
        httpx.post(f"{url}/v3/auth/role/add", json={"name": name}, timeout=60).raise_for_status()


PLACE = 'place = {"tenant": "default_tenant", "database": "default_database"}\n'
ZONES = 'server = {"server_id": "localhost"}\nzones = await call("listzones", server)\n'
RECORDS = """
async def records(name):
    found = await call("get_records", {"bucket_id": "shop", "collection_id": name})
    return found["data"]
"""

#: etcd's keys and values are bytes, in base64.
MOVED = """
import base64
def text(value):
    return base64.b64decode(value).decode()
def data(words):
    return base64.b64encode(words.encode()).decode()
found = await call("kv_range", {"key": data("old/"), "range_end": data("old0")})
for pair in found["kvs"]:
    await call("kv_put", {"key": data(text(pair["key"]).replace("old/", "new/")), "value": pair["value"]})
    await call("kv_deleterange", {"key": pair["key"]})
new = await call("kv_range", {"key": data("new/"), "range_end": data("new0"), "keys_only": True})
[text(pair["key"]) for pair in new["kvs"]]
"""

USERS = """
names = [f"user{number}" for number in range(1, 7)]
for name in names:
    await call("auth_useradd", {"name": name, "password": "made-up"})
    await call("auth_usergrantrole", {"user": name, "role": "reader"})
roles = {}
for name in (await call("auth_userlist", {"body": {}}))["users"]:
    roles[name] = (await call("auth_userget", {"name": name}))["roles"]
[name for name in sorted(roles) if "reader" in roles[name]]
"""

APPLICATIONS = (
    Application(
        partial(run_powerdns, key=SECRET),
        fill_powerdns,
        lambda url: [
            *("--spec", f"{url}/api/docs", "--header", "X-API-Key=APP_KEY", "--credentials", f"APP_KEY@{url}")
        ],
        (
            Task(
                "Show the zone zone07.example.",
                ("listzone",),
                'zone = await call("listzone", {"server_id": "localhost", "zone_id": "zone07.example."})\nzone',
            ),
            Task(
                "Which zones have no MX record?",
                ("listzones", "listzone"),
                ZONES
                + """
missing = []
for zone in zones:
    whole = await call("listzone", {**server, "zone_id": zone["id"]})
    if not any(each["type"] == "MX" for each in whole["rrsets"]):
        missing.append(zone["name"])
sorted(missing)
""",
                searches=("list zones", "show a zone with its records"),
            ),
            Task(
                "Set the TTL of all A records in all zones to 300",
                ("listzones", "listzone", "patchzone"),
                ZONES
                + """
changed = 0
for zone in zones:
    whole = await call("listzone", {**server, "zone_id": zone["id"]})
    found = [{**each, "ttl": 300, "changetype": "REPLACE"} for each in whole["rrsets"] if each["type"] == "A"]
    for each in found:
        each.pop("comments", None)
    await call("patchzone", {**server, "zone_id": zone["id"], "rrsets": found})
    changed += len(found)
changed
""",
                searches=("list zones", "show a zone with its records", "change records of a zone"),
            ),
            Task(
                "Create the zones a1.example. to a8.example., and list those that are there",
                ("createzone", "listzones"),
                """
for number in range(1, 9):
    zone = {"server_id": "localhost", "name": f"a{number}.example.", "kind": "Native", "nameservers": []}
    await call("createzone", zone)
found = await call("listzones", {"server_id": "localhost"})
sorted(zone["name"] for zone in found if zone["name"].startswith("a"))
""",
                searches=("create a zone", "list zones"),
            ),
        ),
    ),
    Application(
        kinto,
        fill_kinto,
        lambda url: ["--spec", f"{url}__api__", "--scheme", "basic=APP_LOGIN"],
        (
            Task(
                "Show the order o7 in the bucket shop",
                ("get_record",),
                'await call("get_record", {"bucket_id": "shop", "collection_id": "orders", "id": "o7"})',
                searches=("get a record of a collection",),
            ),
            Task(
                "What have customers of each city paid?",
                ("get_records",),
                RECORDS
                + """
cities = {each["id"]: each["city"] for each in await records("customers")}
paid = {}
for order in await records("orders"):
    if order["paid"]:
        city = cities[order["customer"]]
        paid[city] = paid.get(city, 0) + order["total"]
dict(sorted(paid.items()))
""",
                searches=("list records of a collection",),
            ),
            Task(
                "Mark the unpaid orders above 20 as reminded",
                ("get_records", "patch_record"),
                RECORDS
                + """
due = [order["id"] for order in await records("orders") if not order["paid"] and order["total"] > 20]
for number in due:
    place = {"bucket_id": "shop", "collection_id": "orders", "id": number}
    await call("patch_record", {**place, "data": {"reminded": True}})
len(due)
""",
                searches=("list records of a collection", "patch a record"),
            ),
            Task(
                "Create a collection stock with ten records, and count them",
                ("update_collection", "update_record", "get_records"),
                RECORDS
                + """
await call("update_collection", {"bucket_id": "shop", "id": "stock", "data": {}})
for number in range(10):
    place = {"bucket_id": "shop", "collection_id": "stock", "id": f"s{number}"}
    await call("update_record", {**place, "data": {"name": f"Item {number}", "count": number}})
len(await records("stock"))
""",
                searches=("put a collection", "put a record", "list records of a collection"),
            ),
        ),
    ),
    Application(
        jupyter,
        fill_jupyter,
        jupyter_options,
        (
            Task(
                "Delete the empty files in notes, and say which are left",
                ("get_api_contents_path_", "delete_api_contents_path_"),
                """
folder = await call("get_api_contents_path_", {"path": "notes"})
for each in folder["content"]:
    if each["size"] == 0:
        await call("delete_api_contents_path_", {"path": each["path"]})
folder = await call("get_api_contents_path_", {"path": "notes"})
sorted(each["name"] for each in folder["content"])
""",
                searches=("contents of a folder", "delete a file"),
            ),
            Task(
                "Write the first line of each file in notes into index.txt, and show that",
                ("get_api_contents_path_", "put_api_contents_path_"),
                """
folder = await call("get_api_contents_path_", {"path": "notes"})
lines = []
for name in sorted(each["path"] for each in folder["content"]):
    file = await call("get_api_contents_path_", {"path": name})
    lines.append(file["content"].partition("\\n")[0])
index = {"path": "index.txt", "type": "file", "format": "text", "content": "\\n".join(lines)}
await call("put_api_contents_path_", index)
(await call("get_api_contents_path_", {"path": "index.txt"}))["content"].split("\\n")
""",
                searches=("contents of a file", "save a file"),
            ),
        ),
    ),
    Application(
        chroma,
        fill_chroma,
        lambda url: ["--spec", f"{url}/openapi.json", "--authenticate", "none"],
        (
            Task(
                "How many records does each collection have?",
                ("list_collections", "collection_count"),
                PLACE
                + """
counts = {}
for each in await call("list_collections", place):
    counts[each["name"]] = await call("collection_count", {**place, "collection_id": each["id"]})
dict(sorted(counts.items()))
""",
                searches=("list collections", "count the records of a collection"),
            ),
            Task(
                "Copy the documents of all collections into a new one",
                ("list_collections", "collection_get", "create_collection", "collection_add"),
                PLACE
                + """
old = sorted(await call("list_collections", place), key=lambda each: each["name"])
new = await call("create_collection", {**place, "name": "everything"})
copied = 0
for each in old:
    wanted = {**place, "collection_id": each["id"], "include": ["documents", "embeddings"]}
    found = await call("collection_get", wanted)
    added = {"ids": found["ids"], "documents": found["documents"], "embeddings": found["embeddings"]}
    await call("collection_add", {**place, "collection_id": new["id"], **added})
    copied += len(found["ids"])
copied
""",
                searches=("list collections", "get records of a collection", "create a collection", "add records"),
            ),
        ),
    ),
    Application(
        etcd,
        fill_etcd,
        lambda url: ["--spec", str(FOLDER / "etcd.json"), "--base-url", url, "--authenticate", "none"],
        (
            Task(
                "Move all keys below old/ to new/, and list them there",
                ("kv_range", "kv_put", "kv_deleterange"),
                MOVED,
                searches=("get keys in a range", "put a key", "delete keys"),
            ),
            Task(
                "Create user1 to user6 with the role reader, and list who has it",
                ("auth_useradd", "auth_usergrantrole", "auth_userlist", "auth_userget"),
                USERS,
                searches=("add a user", "grant a role to a user", "list users", "get roles of a user"),
            ),
        ),
    ),
)


async def measured(application: Application, way: str) -> list[Cost]:
    """Solve the tasks on an application in one of the ways, and return what each costs."""
    options, solve = WAYS[way]
    with tempfile.TemporaryDirectory() as folder, application.start(Path(folder)) as url:
        application.fill(url)
        env = {
            "APP_KEY": SECRET,
            "APP_LOGIN": f"jo:{SECRET}",
            "APP_HEADER": f"token {SECRET}",
            "PATH": os.environ["PATH"],
            "HOME": folder,
        }
        words = ["-m", "portkey_bridge", *application.options(url), *options]
        transport = StdioTransport(sys.executable, words, env=env, cwd=str(Path.cwd()), keep_alive=False)
        async with Client(transport) as client:
            listed = await listed_tokens(client)
            return [await solved(client, task, listed, solve) for task in application.tasks]


class Solved(NamedTuple):
    """A task, and what each way to solve it costs."""

    task: Task
    costs: dict[str, Cost]

    @property
    def saved(self) -> float:
        """How many times fewer tokens a program takes than all tools."""
        return self.costs["all tools"].tokens / self.costs["--code"].tokens


async def every_task(applications: Sequence[Application]) -> AsyncIterator[Solved]:
    """Solve all tasks in all ways, on the applications that are installed."""
    for application in applications:
        try:
            ways = {way: await measured(application, way) for way in WAYS}
        except pytest.skip.Exception as reason:
            print(reason, file=sys.stderr)
            continue
        for number, task in enumerate(application.tasks):
            costs = {way: ways[way][number] for way in WAYS}
            results = [json.dumps(cost.result, sort_keys=True) for cost in costs.values()]
            assert task.question.startswith("Show") or len(set(results)) == 1, (task.question, results)  # noqa: S101
            yield Solved(task, costs)


def rows(task: Solved) -> Iterator[Sequence[str]]:
    """Yield a row for each way to solve a task."""
    for way, cost in task.costs.items():
        times = f"{task.costs['all tools'].tokens / cost.tokens:.1f}"
        numbers = (cost.calls, cost.listed + cost.read, cost.written, cost.tokens, cost.listed + cost.found)
        shown = [f"{each:,}" for each in numbers]
        yield [task.task.question, way, *shown, times, f"{cost.processed:,}", f"{cost.seconds:.1f}"]


async def report() -> str:
    """Return the section about programs: a table of all tasks in all ways, and what it shows."""
    every = [each async for each in every_task(APPLICATIONS)]
    several = [each for each in every if each.costs["all tools"].calls > 1]
    single = [each for each in every if each.costs["all tools"].calls == 1]
    heads = ["task", "way", "calls", "in", "out", "tokens", "listing and look-up", "times fewer", "processed", "s"]
    below = [each for each in several if each.saved < AIM]
    fixed = sum(each.costs["--code"].listed + each.costs["--code"].found for each in below)
    totals = [sum(each.costs[way].tokens for each in several) for way in ("all tools", "--code")]
    said = [
        f"{len(several) - len(below)} of {len(several)} tasks of several calls take at least {AIM} times fewer tokens "
        f"with --code, and all of them together {totals[0] / totals[1]:.1f} times fewer.",
        f"Of what the other {len(below)} take, {fixed / sum(each.costs['--code'].tokens for each in below):.0%} is for "
        "the listing, the search and the signatures, which cost the same however much a program does."
        if below
        else "",
        f"Single calls take {min(each.saved for each in single):.1f} to {max(each.saved for each in single):.1f} times "
        "fewer.",
    ]
    return section("Programs", INTRODUCTION, table(heads, chain.from_iterable(map(rows, every))), " ".join(said))


if __name__ == "__main__":
    print(asyncio.run(report()))
