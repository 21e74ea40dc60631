"""The operations of a login, as a recipe names them: declared by the document, or made up for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from portkey_bridge.credentials.configuration import UrlOf, configure, home_of
from portkey_bridge.credentials.recipe import Recipe
from portkey_bridge.errors import SettingsError, likely
from portkey_bridge.openapi.model import TEMPLATE_VARIABLE, Api, Operation, Server
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import origin_of
from portkey_bridge.tools.catalog import Tool, build_tools
from portkey_bridge.tools.names import slug

#: How a recipe names an operation that the document need not declare: by its method, and its path or URL.
UNDECLARED = re.compile(r"(GET|POST|PUT|PATCH) (https?://[^/?#]+)?(/\S*)")


@dataclass(frozen=True)
class LoginSteps:
    """The operations of a login `in_order`, one of which is the `login` itself, and what renews the session, if
    anything does. Each has its own server.

    `home` is the origin that gets the session, and `undeclared` are the operations that are not in the document.
    """

    in_order: Sequence[Tool]
    login: Tool
    renewal: Tool | None
    home: str | None
    undeclared: frozenset[tuple[str, str]]

    def include(self, operation: Operation) -> bool:
        """Check whether an operation is one of them."""
        every = (*self.in_order, *((self.renewal,) if self.renewal else ()))
        return any((operation.method, operation.path) == (it.operation.method, it.operation.path) for it in every)


def steps_of(api: Api, recipe: Recipe, settings: Settings, shapes: Shapes, url_of: UrlOf) -> LoginSteps:
    """Return the operations that a recipe names. Raises SettingsError for what is none, or is sent elsewhere."""
    finder = _Finder(api, recipe, settings, shapes, url_of)
    login = finder.step(recipe.operation, recipe.arguments)
    before, after = (finder.step(name, {}) if name else None for name in (recipe.before, recipe.after))
    renewal = finder.step(recipe.refresh.operation, recipe.refresh.arguments) if recipe.refresh else None
    in_order = [step for step in (before, login, after) if step]
    return LoginSteps(in_order, login, renewal, finder.home, frozenset(finder.undeclared))


class _Finder:
    """Finds the operations that a recipe names, and makes those up that the document does not declare."""

    def __init__(self, api: Api, recipe: Recipe, settings: Settings, shapes: Shapes, url_of: UrlOf) -> None:
        self.api, self.recipe, self.settings, self.shapes, self.url_of = api, recipe, settings, shapes, url_of
        named = [each for each in api.operations if each.operation_id]
        self.declared = {slug(each.operation_id or ""): each for each in named}
        self.declared |= {slug(f"{each.method} {each.path}"): each for each in api.operations}
        self.undeclared: set[tuple[str, str]] = set()
        self.home = self._home()

    def _home(self) -> str | None:
        """Return the origin that gets the session: that of the login, unless it has a URL of its own."""
        login = self.declared.get(slug(self.recipe.operation))
        home = origin_of(self.url_of(login.servers)) if login else home_of(self.api, self.url_of)
        if self.recipe.origin and origin_of(self.recipe.origin) != home:
            name = self.recipe.operation
            raise SettingsError(f"the login recipe is for {self.recipe.origin}, but {name} is sent to {home}.")
        return home

    def step(self, name: str, arguments: Collection[str]) -> Tool:
        """Return the tool of an operation that the recipe names. Raises SettingsError."""
        declared = self.declared.get(slug(name))
        operation = self._of_document(declared, arguments) if declared else self._made_up(name, arguments)
        (tool,) = build_tools(replace(self.api, operations=(replace(operation, curations=()),)), self.shapes)
        return tool

    def _of_document(self, operation: Operation, arguments: Collection[str]) -> Operation:
        """Return an operation of the document, with a body for its arguments if it declares neither."""
        url = self.url_of(operation.servers)
        if origin_of(url) != self.home:
            raise SettingsError(f"the operations of the login recipe are not all sent to {self.home}.")
        if operation.request_body is None and not set(arguments) <= {each.name for each in operation.parameters}:
            made_up = _undeclared(operation.method, operation.path, arguments, self.recipe.media_type)
            operation = replace(operation, parameters=made_up.parameters, request_body=made_up.request_body)
        return replace(operation, servers=(Server(url, {}),) if url else operation.servers)

    def _made_up(self, name: str, arguments: Collection[str]) -> Operation:
        """Return an operation of a method and a path or URL, with the credentials that a person adds to its origin."""
        found = UNDECLARED.fullmatch(name)
        if found is None:
            near = likely(slug(name), self.declared)
            raise SettingsError(f"the login recipe names {name!r}, which is not an operation; {near}")
        method, origin, path = found.groups()
        url = origin or next(filter(None, map(self.url_of, (self.api.servers, *self._servers()))), None)
        operation = _undeclared(method, path, arguments, self.recipe.media_type)
        operation = replace(operation, servers=(Server(url, {}),) if url else ())
        self.undeclared.add((method, path))
        if origin_of(url) != self.home:
            return operation
        return configure(replace(self.api, operations=(operation,)), self.settings, self.url_of).operations[0]

    def _servers(self) -> Iterator[Sequence[Server]]:
        return (operation.servers for operation in self.api.operations)


def _undeclared(method: str, path: str, arguments: Collection[str], media_type: str) -> Operation:
    """Return an operation that takes these arguments: in its path, and in a body, or for GET in the query."""
    in_path = set(TEMPLATE_VARIABLE.findall(path))
    others = [name for name in arguments if name not in in_path]
    declared: dict[str, Any] = {"parameters": [_parameter(name, "path") for name in in_path]}
    if method == "GET":
        declared["parameters"] += [_parameter(name, "query") for name in others]
    elif others:
        schema = {"type": "object", "properties": {name: {} for name in others}}
        declared["requestBody"] = {"required": True, "content": {media_type: {"schema": schema}}}
    root = {"openapi": "3.1.0", "info": {}, "paths": {path: {method.lower(): {**declared, "responses": {}}}}}
    return read_api(root, "").operations[0]


def _parameter(name: str, location: str) -> dict[str, Any]:
    return {"name": name, "in": location, "required": True, "schema": {}}
