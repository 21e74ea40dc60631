"""Which roles a caller has, and which tools these may use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from portkey_bridge.bridge.service import Service
from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.serving import Role
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import closest


def roles_of(
    roles: Sequence[Role], caller: str | None, scopes: Collection[str], claims: Mapping[str, Any]
) -> frozenset[str]:
    """Return the names of the roles of a caller: a name of `--tokens`, the scopes and the claims of a token."""
    return frozenset(role.name for role in roles if role.is_everyones or _is_of(role, caller, scopes, claims))


def _is_of(role: Role, caller: str | None, scopes: Collection[str], claims: Mapping[str, Any]) -> bool:
    by_claim = any(not wanted.isdisjoint(_texts(claims.get(claim))) for claim, wanted in role.claims.items())
    return caller in role.callers or not role.scopes.isdisjoint(scopes) or by_claim


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def limited(services: Sequence[Service], roles: Iterable[Role]) -> list[Service]:
    """Return the services with the tools that at least one of the roles may use; everything else is shared.

    One with fewer tools has no informational tools, since these describe all paths of its document.
    """
    granted = tuple(roles)
    return [_limited(service, granted) for service in services]


def _limited(service: Service, roles: Sequence[Role]) -> Service:
    prefix = service.settings.prefix
    tools = [tool for tool in service.tools if any(_may_use(role, tool, prefix) for role in roles)]
    if len(tools) == len(service.tools):
        return service
    few = replace(service, tools=tools, settings=replace(service.settings, path_item_tools=False))
    vars(few)["bridge"] = service.bridge  # the same connections and tokens, kept where a cached property has its value
    return few


def _may_use(role: Role, tool: Tool, prefix: str) -> bool:
    names = _names(tool, prefix)
    is_chosen = not role.tools or _matches(names, role.tools)
    is_tagged = not role.tag or _matches([tag.lower() for tag in tool.operation.tags], role.tag)
    return (
        is_chosen and is_tagged and not _matches(names, role.exclude) and (tool.effect.read_only or not role.read_only)
    )


def _names(tool: Tool, prefix: str) -> set[str]:
    return {tool.name, tool.name.removeprefix(prefix)}


def _matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern.lower()) for name in names for pattern in patterns)


def check_roles(services: Sequence[Service], roles: Iterable[Role]) -> None:
    """Check that each pattern of a role matches something, since a typing error could open a tool.

    Raises SettingsError.
    """
    tools = [(tool, service.settings.prefix) for service in services for tool in service.tools]
    names = {name for tool, prefix in tools for name in _names(tool, prefix)}
    tags = {tag.lower() for tool, _ in tools for tag in tool.operation.tags}
    for role in roles:
        for key, patterns, known in (
            ("tools", role.tools, names),
            ("exclude", role.exclude, names),
            ("tag", role.tag, tags),
        ):
            for pattern in patterns:
                if not _matches(known, [pattern]):
                    raise SettingsError(
                        f"[serve.roles.{role.name}]: {key}: nothing is called {pattern!r}; {closest(pattern, known)}."
                    )
