"""The commands `tools`, `schema` and `env`: list what is served. Nothing is sent."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from portkey_bridge.bridge.configured_bridge import token_sources
from portkey_bridge.bridge.service import Service
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import find_in, require_services
from portkey_bridge.cli.terminal import is_terminal, print_json, print_table, waiting
from portkey_bridge.credentials.environment import UNEXPANDED, Environment, read_environment, shared_variables
from portkey_bridge.credentials.oauth_grants import is_for_people, variables_of_grants
from portkey_bridge.credentials.variables import variable
from portkey_bridge.credentials.withheld import with_names
from portkey_bridge.errors import SettingsError
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.schema.bundle import self_contained
from portkey_bridge.schema.prose import plain, shorten
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.settings.options import Settings, key_in_file
from portkey_bridge.tools.catalog import Tool, expansion_budget, schema_budget
from portkey_bridge.tools.examples import listed_description
from portkey_bridge.tools.reference import UNTAGGED

#: Longest summary in a table, in characters.
SUMMARY = 80

#: Number of tools that a table names for each variable.
MAX_NAMED_TOOLS = 4


@dataclass(frozen=True)
class Row:
    """A tool in the listing.

    `tokens` estimates the cost of listing it to a model; `variables` hold the credentials that it takes.
    """

    name: str
    method: str
    path: str
    summary: str
    tags: tuple[str, ...]
    tokens: int
    variables: tuple[str, ...]


def print_tools(invocation: Invocation) -> int:
    """List the tools that are served. The exit code is 1 if there are none. Raises SetupError."""
    services = require_services(invocation.apis)
    options = invocation.options
    count = sum(len(service.tools) for service in services)
    with waiting("measuring the tools"):
        rows = [row for service in services for row in _rows(service, options.get("grep"), count)]
    if options.get("json"):
        print_json([asdict(row) for row in rows])
    else:
        columns = ("name", "method", "path", "summary", "tokens")
        print_table(columns, _by_tag(rows), spare=("path", "method", "summary"))
    if not any(service.every for service in services):
        print("portkey-bridge: there are no operations under `paths` to serve; check --spec", file=sys.stderr)
    print(f"{len(rows)} of {count} tools, about {sum(row.tokens for row in rows):,} tokens to list", file=sys.stderr)
    return 0 if rows else 1


def _rows(service: Service, pattern: str | None, count: int) -> Iterator[Row]:
    """Yield a row for each tool of an API that the pattern matches; `count` tools share the room for schemas."""
    views = Views(service.shapes, portable=True)
    budget = schema_budget(service.settings.schema_budget, count)
    yield from (_row(tool, views, budget) for tool in service.tools if _mentions(tool, pattern))


def _row(tool: Tool, views: Views, budget: float) -> Row:
    operation = tool.operation
    summary = shorten(plain(operation.summary or operation.description), SUMMARY)
    tokens = about_tokens(listed_tool(tool, views, budget))
    return Row(tool.name, operation.method, operation.path, summary, operation.tags, tokens, tool.variables)


def listed_tool(tool: Tool, views: Views, budget: float) -> dict[str, Any]:
    """Return the model's view of a tool: its name, its description and its input schema."""
    schema = tool.listed_schema(views, budget)
    return {"name": tool.name, "description": listed_description(tool, schema, budget), "inputSchema": schema}


def about_tokens(value: Mapping[str, Any]) -> int:
    """Estimate the tokens of a value as compact JSON, at the usual four characters a token. Models differ."""
    return round(len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) / 4)


def _mentions(tool: Tool, pattern: str | None) -> bool:
    operation = tool.operation
    words = (tool.name, f"{operation.method} {operation.path}", operation.summary, operation.description)
    try:
        return pattern is None or any(re.search(pattern, text, re.IGNORECASE) for text in words)
    except re.error as error:
        raise SettingsError(f"--grep: {pattern!r} is not a regular expression ({error}). Correct it.") from error


def _by_tag(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Yield the rows under their first tag, tags in the order of their first use."""
    order = {tag: at for at, tag in reversed(list(enumerate(map(_first_tag, rows))))}
    for tag, group in groupby(sorted(rows, key=lambda row: order[_first_tag(row)]), _first_tag):
        yield tag, [(row.name, row.method, row.path, row.summary, row.tokens) for row in group]


def _first_tag(row: Row) -> str:
    return row.tags[0] if row.tags else UNTAGGED


def print_schema(invocation: Invocation) -> int:
    """Print the input schema of one tool, as listed, expanded at a pointer, or in full. Raises SetupError."""
    services, options = require_services(invocation.apis), invocation.options
    service, tool = find_in(services, options["tool"])
    pointer, asked = options.get("pointer"), service.settings.schema_budget
    count = sum(len(service.tools) for service in services)
    try:
        if options.get("full"):
            print_json(_full(tool, service.api, pointer))
        elif pointer is None:
            print_json(tool.listed_schema(Views(service.shapes, portable=True), schema_budget(asked, count)))
        else:
            print_json(Views(service.shapes, portable=False).expand(tool.schema, pointer, expansion_budget(asked)))
    except PointerToNowhere as error:
        raise SettingsError(str(error)) from error
    return 0


def _full(tool: Tool, api: Api, pointer: str | None) -> Any:
    """Return the schema that arguments are checked against."""
    schema = Views(Shapes(api.root), portable=False).locate(tool.schema, pointer or "")
    return self_contained(schema, api.root) if isinstance(schema, dict) else schema


def print_env(invocation: Invocation) -> int:
    """List the variables of the credentials, never their values. Raises SetupError."""
    services = require_services(invocation.apis)
    print_table(("variable", "state", "opens"), [(each.settings.name, _variable_rows(each)) for each in services])
    tools = [tool for service in services for tool in service.tools]
    free = sum(not all(tool.operation.security) or not tool.operation.security for tool in tools)
    print(f"{free} of {len(tools)} tools need no credential", file=sys.stderr)
    for service in services:
        for line in dict.fromkeys(_token_lines(service)):
            print(line, file=sys.stderr)
        for name, instead in shared_variables(service.api).items():
            if name not in variables_of(service.tools):
                took = ", ".join(instead)
                print(f"{name} is not used: several schemes would share it, and take {took}", file=sys.stderr)
    return 0


def _token_lines(service: Service) -> Iterator[str]:
    """Yield how each token is obtained, or can be."""
    environment = read_environment(service.api, service.settings)
    sources = token_sources(service.api, service.settings, service.tools, environment)
    for source in sources.every(tool.operation for tool in service.tools):
        name = variable(source.scheme)
        ways = [" and ".join(names) for names in variables_of_grants(source.scheme, service.settings)]
        ways += ["`portkey-bridge login`"] if is_for_people(source.scheme, service.settings) else []
        if name in environment.secrets or not ways:
            continue
        yield f"{name} " + (
            "is obtained by itself" if source.is_configured else f"can be obtained: {', or '.join(ways)}"
        )


def _variable_rows(service: Service) -> list[tuple[object, ...]]:
    opened = (lambda names: _some(names, len(service.tools))) if is_terminal() else ",".join
    opens, environment = variables_of(service.tools), read_environment(service.api, service.settings)
    return [
        (environment.to_set([name])[0], state(name, service.settings, environment), opened(names))
        for name, names in opens.items()
    ]


def variables_of(tools: Sequence[Tool]) -> dict[str, list[str]]:
    """Return the variables of credentials, the most used first, with the names of the tools that take each."""
    uses = Counter(name for tool in tools for name in tool.variables)
    return {name: [tool.name for tool in tools if name in tool.variables] for name, _ in uses.most_common()}


def state(name: str, settings: Settings, environment: Environment) -> str:
    """Return whether the variable of a credential is set, and whether the document may use it."""
    if name in environment.secrets:
        return "set in .env" if name in settings.from_dotenv else "set"
    if name in environment.withheld:
        names = with_names(settings, [name])
        key = key_in_file(settings.name, "credentials", names)
        return f"set, but withheld until {key or f'OPEN_MCP_CREDENTIALS={names}'}"
    return f"not set: it {UNEXPANDED}" if name in environment.unexpanded else "not set"


def _some(names: Sequence[str], total: int) -> str:
    more = f" and {len(names) - MAX_NAMED_TOOLS} more" if len(names) > MAX_NAMED_TOOLS else ""
    return f"{len(names)} of {total} tools: {', '.join(names[:MAX_NAMED_TOOLS])}{more}"
