"""The listing as model APIs get it: converted by their own libraries, none of which may refuse or crash.

The libraries are large. `pip install --group converters` brings them, and `.ci/run` does that; without them these tests
are skipped.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import warnings
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Annotated, Any

import pytest
from mcp_types import Tool as McpTool
from pydantic import Field, TypeAdapter

from portkey_bridge.bridge.load import load_api
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools, schema_budget
from tests.conftest import ROOT
from tests.node import missing
from tests.portability import subschemas

#: Documents with every construct, and the shipped one.
SPECS = [None, *sorted((ROOT / "tests" / "documents").glob("*.yaml"))]

#: pydantic checks these with Rust, and refuses what Rust does.
CHECKED_BY_PYDANTIC = {"pattern": "pattern", "minLength": "min_length", "maxLength": "max_length"}


@cache
def imported(path: str) -> Any:
    """Return `module:name` of a library, or skip if the library is not installed."""
    module, _, name = path.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return reduce(getattr, name.split("."), importlib.import_module(module))
        except ModuleNotFoundError as error:
            missing(f"{error.name} is not installed; pip install --group converters does it")


def to_anthropic(tool: Tool, schema: Any) -> None:
    imported("anthropic:transform_schema")(schema)


def to_openai(tool: Tool, schema: Any) -> None:
    imported("openai.lib._pydantic:_ensure_strict_json_schema")(schema, path=(), root=schema)


def to_gemini(tool: Tool, schema: Any) -> None:
    declaration = imported("google.genai.types:FunctionDeclaration")
    declaration(name=tool.name, description=tool.description, parameters=schema)


def to_gemini_from_mcp(tool: Tool, schema: Any) -> None:
    convert = imported("google.genai._mcp_utils:mcp_to_gemini_tool")
    convert(McpTool(name=tool.name, description=tool.description, input_schema=schema))


def to_gemini_by_langchain(tool: Tool, schema: Any) -> None:
    convert = imported("langchain_google_genai._function_utils:convert_to_genai_function_declarations")
    convert([{"name": tool.name, "description": tool.description, "parameters": schema}])


def to_pydantic(tool: Tool, schema: Any) -> None:
    for _, part in subschemas(schema):
        limits = {field: part[keyword] for keyword, field in CHECKED_BY_PYDANTIC.items() if keyword in part}
        if limits and part.get("type") == "string":
            TypeAdapter(Annotated[str, Field(**limits)])


CONVERTERS = [to_anthropic, to_openai, to_gemini, to_gemini_from_mcp, to_gemini_by_langchain, to_pydantic]


@cache
def listings(spec: Path | None) -> list[tuple[Tool, str]]:
    """Return the tools of a document with their listed schemas, as listed and with everything shown, as JSON."""
    api = load_api(Settings(spec=str(spec) if spec else None))
    shapes = Shapes(api.root)
    tools, views = build_tools(api, shapes), Views(shapes, portable=True)
    budgets = (schema_budget(None, len(tools)), math.inf)
    return [(tool, json.dumps(tool.listed_schema(views, budget))) for tool in tools for budget in budgets]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem if spec else "portkey")
@pytest.mark.parametrize("convert", CONVERTERS, ids=lambda convert: convert.__name__)
def test_every_listed_schema_is_converted(convert: Callable[[Tool, Any], None], spec: Path | None) -> None:
    """The library that sends tools to a model takes each of them; one that it refused would take all others with it."""
    logging.getLogger("langchain_google_genai").setLevel(logging.ERROR)
    refused = {}
    for tool, schema in listings(spec):
        try:
            convert(tool, json.loads(schema))
        except Exception as error:
            refused[tool.name] = str(error)
    assert refused == {}
