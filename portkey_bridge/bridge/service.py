"""One API as it is served: its tools, the bridge that calls them, and the views of their schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import anyio

from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.configured_bridge import build_bridge, destination
from portkey_bridge.credentials.configuration import configure
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.request.lenience import with_undeclared_body
from portkey_bridge.request.servers import url_of_servers
from portkey_bridge.response.results import Results
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.signatures import BINARY, Signature, comment, parts_of_answer, python_type
from portkey_bridge.schema.views import Views
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools, expansion_budget, found_budget, select_tools
from portkey_bridge.tools.examples import with_example
from portkey_bridge.tools.subjects import SubjectReader

#: The root of pointers into the schema of an answer: no keyword of JSON Schema, so no pointer into arguments.
RESPONSE = "/response"

#: Statuses of success whose answers have no body (RFC 9110 sections 15.3.5 and 15.3.6).
WITHOUT_BODY = {"204", "205"}

#: Characters of the types of an answer that a signature shows.
MAX_ANSWER_SIGNATURE = 1300


@dataclass(frozen=True, eq=False)
class Service:
    """An API with its settings: `every` tool of it, and those of them that the settings select.

    `loaded` is the document as it was read, from which `api` was configured. `results`
    are the large ones that are kept.
    """

    settings: Settings
    loaded: Api
    api: Api
    shapes: Shapes
    every: Sequence[Tool]
    tools: Sequence[Tool]
    results: Results = field(repr=False)

    @cached_property
    def bridge(self) -> Bridge:
        """The bridge that calls the tools with this API's credentials, made when first wanted. Raises SettingsError."""
        return build_bridge(self.api, self.settings, self.tools, self.shapes, self.results)

    async def prepare(self) -> None:
        """Load in a thread what the first call would wait for: the check of arguments, and the trusted certificates."""
        await anyio.to_thread.run_sync(import_module, "jsonschema_rs")
        urls = (destination(self.api, self.settings, tool.operation) for tool in self.tools)
        if url := next(filter(None, urls), None):
            await self.bridge.transport.prepare(url)

    def succeeding(self, before: Service | None) -> Service:
        """Return this service as the one that comes after another of the same API: what was kept there is kept.

        If nothing has changed, connections, tokens and sessions stay, too.
        """
        if before is None:
            return self
        service = replace(self, results=before.results)
        if (before.loaded, before.settings) == (self.loaded, self.settings):
            vars(service)["bridge"] = before.bridge  # where a cached property keeps its value
        return service

    @cached_property
    def _views(self) -> tuple[Views, Views]:
        return Views(self.shapes, portable=True), Views(self.shapes, portable=False)

    @cached_property
    def _types(self) -> Views:
        return Views(self.shapes, portable=False, described=False, of_answers=True)

    @cached_property
    def _answers(self) -> Views:
        return Views(self.shapes, portable=False, of_answers=True)

    def expand(self, tool: Tool, pointer: str) -> Shape:
        """Return the view of a tool's input schema at a pointer, or of its answer. Raises PointerToNowhere.

        In discovery, the whole is shown as a listing shows it. Pointers below `/response` lead into the schema of a
        successful response.
        """
        listed, full = self._views
        inside = pointer.removeprefix("#")
        if inside == RESPONSE or inside.startswith(f"{RESPONSE}/"):
            budget = found_budget(self.settings.schema_budget)
            return self._expand_response(tool, inside.removeprefix(RESPONSE), budget)
        if self.settings.searches and not pointer:
            view = tool.with_choices(listed.expand(tool.schema, pointer, found_budget(self.settings.schema_budget)))
            return with_example(tool, view)
        view = full.expand(tool.schema, pointer, expansion_budget(self.settings.schema_budget))
        return view if inside else with_example(tool, view)

    def signature(self, tool: Tool) -> Signature:
        """Return a tool as a Python signature."""
        view = self.expand(tool, "")
        place = f"{tool.operation.method} {tool.operation.path}"
        said = view.get("description") or tool.description
        heading = f"# {place}{f': {said}' if said != place else ''}"
        arguments = f", {python_type(view)}" if view.get("properties") else ""
        return Signature(tool.name, f'{heading}\nawait call("{tool.name}"{arguments})', *self._returned(tool))

    def python_part(self, tool: Tool, pointer: str) -> str:
        """Return the Python type at a pointer into a tool's arguments or answer. Raises PointerToNowhere."""
        inside = pointer.removeprefix("#")
        view = self.expand(tool, pointer)
        said = comment(view)
        shown = python_type(view, is_answer=inside.startswith(RESPONSE))
        return f"# {inside}{f': {said}' if said else ''}\n{shown}"

    def _returned(self, tool: Tool) -> tuple[str, str, Mapping[int, str]]:
        """Return what is said of a tool's answer, its type, and its parts."""
        schema = self._answer_schema(tool)
        if schema is None:
            successes = {status for status in tool.operation.responses if status.startswith("2")}
            is_empty = bool(successes) and successes <= WITHOUT_BODY
            return "# returns None" if is_empty else "# returns what the document does not declare", "", {}
        answer = self._types.expand(schema, "", MAX_ANSWER_SIGNATURE, RESPONSE)
        if (answer.get("type"), answer.get("format")) == BINARY:
            return "# returns bytes, as a handle", "", {}
        said, parts = comment(answer), parts_of_answer(schema, self.shapes)
        return f"# returns{f': {said}' if said else ''}", python_type(answer, is_answer=True), parts

    def _answer_schema(self, tool: Tool) -> dict[str, Any] | None:
        answers = SubjectReader(self.api.root).answers(tool.operation)
        return next((each for each in answers if isinstance(each, dict)), None)

    def _expand_response(self, tool: Tool, pointer: str, budget: float) -> Shape:
        schema = self._answer_schema(tool)
        if schema is None:
            raise PointerToNowhere(RESPONSE, "", ["no schema: the document declares none for the answer"])
        try:
            return self._answers.expand(schema, pointer, budget, RESPONSE)
        except PointerToNowhere as error:
            raise PointerToNowhere(RESPONSE + error.pointer, RESPONSE + error.prefix, error.available) from error


def service_of(api: Api, settings: Settings, among: int = 0) -> Service:
    """Return the service of an API. Raises SettingsError for a selection of tools that do not exist.

    `among` is the number of operations of all APIs, if there are several.
    """
    ready = configured(api, settings)
    shapes = Shapes(ready.root)
    tools = build_tools(ready, shapes, settings, among)
    selected = select_tools(tools, settings)
    return Service(settings, api, ready, shapes, tools, selected, Results(settings.kept_results, api=settings.name))


def configured(api: Api, settings: Settings) -> Api:
    """Return the API with the security that the settings ask for, and where they are lenient, undeclared bodies."""
    if settings.lenient:
        api = replace(api, operations=tuple(map(with_undeclared_body, api.operations)))
    return configure(api, settings, url_of_servers(api, settings))
