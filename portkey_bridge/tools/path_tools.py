"""Informational tools about a path: the servers and the shared parameters that it declares. They send nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from portkey_bridge.document.sources import is_shipped
from portkey_bridge.openapi.model import Api, Parameter, PathItem
from portkey_bridge.request.servers import server_url
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.text import shown_url
from portkey_bridge.tools.names import MAX_TOOL_NAME, slug, unique_names

#: Characters of the longest name in the shipped document, whose names are known to those who use them.
LONGEST_OF_PORTKEY = 64


@dataclass(frozen=True)
class PathItemTool:
    """A tool that answers with a text that is known at start."""

    name: str
    title: str
    description: str
    answer: str


def build_path_item_tools(
    api: Api, base_url: str | None, budget: float, taken: Collection[str] = (), prefix: str = ""
) -> list[PathItemTool]:
    """Return a `servers_…` tool for each path that declares servers, and a `parameters_…` tool for shared parameters.

    No name is one that is `taken`.
    """
    views = Views(Shapes(api.root), portable=False)
    tools = list(_tools(api, base_url, views, budget))
    longest = LONGEST_OF_PORTKEY if is_shipped(api.uri) else MAX_TOOL_NAME
    names = unique_names([prefix + slug(tool.name) for tool in tools], [tool.name for tool in tools], taken, longest)
    return [replace(tool, name=name) for tool, name in zip(tools, names, strict=True)]


def _tools(api: Api, base_url: str | None, views: Views, budget: float) -> Iterator[PathItemTool]:
    """Yield each tool, its name not yet in the characters of a tool's name."""
    for item in {operation.path: operation.path_item for operation in api.operations}.values():
        if item.servers:
            yield PathItemTool(
                f"servers {item.path}",
                f"Servers of {item.path}",
                f"Shows which servers {item.path} declares and which one a call uses. Sends nothing.",
                _json({"path": item.path, "servers": _servers(item), "used": _used(item, api, base_url)}),
            )
        if item.parameters:
            parameters = [_parameter(parameter, views, budget) for parameter in item.parameters]
            yield PathItemTool(
                f"parameters {item.path}",
                f"Parameters of {item.path}",
                f"Shows which parameters the operations of {item.path} share. Sends nothing.",
                _json({"path": item.path, "parameters": parameters}),
            )


def _servers(item: PathItem) -> list[dict[str, Any]]:
    return [
        {"url": shown_url(server.url), **({"variables": dict(server.variables)} if server.variables else {})}
        for server in item.servers
    ]


def _used(item: PathItem, api: Api, configured: str | None) -> str | None:
    used = configured or server_url(item.servers, api.uri)
    return used and shown_url(used)


def _parameter(parameter: Parameter, views: Views, budget: float) -> dict[str, Any]:
    described = {"description": parameter.description} if parameter.description else {}
    return {
        "name": parameter.name,
        "in": parameter.location,
        "required": parameter.required,
        **described,
        "schema": views.view(parameter.schema, budget),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
