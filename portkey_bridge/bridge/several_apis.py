"""Several APIs that are served together: loaded at the same time, and kept apart.

Nothing is shared between them, and a variable that two of them would take goes to neither.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from portkey_bridge.bridge.load import load_api, warn
from portkey_bridge.bridge.service import Service, service_of
from portkey_bridge.credentials.oauth_grants import takes_token
from portkey_bridge.credentials.variables import OAUTH_VARIABLES
from portkey_bridge.errors import SettingsError, SetupError
from portkey_bridge.openapi.model import Api
from portkey_bridge.settings.options import Settings


def load_services(apis: Sequence[Settings], *, from_copies: bool = False) -> list[Service]:
    """Load the document of each API at the same time, and return their services. Raises SetupError.

    One of several that cannot be loaded is left out with a warning. With `from_copies`, a document from a URL is the
    last good copy if there is one.
    """
    if len(apis) == 1:
        return compose([(load_api(apis[0], from_copy=from_copies), apis[0])])
    with ThreadPoolExecutor(len(apis)) as pool:
        loaded = [*pool.map(partial(_loaded, from_copy=from_copies), apis)]
    warn(f"{settings.name}: {api}" for settings, api in zip(apis, loaded, strict=True) if not isinstance(api, Api))
    usable = [(api, settings) for settings, api in zip(apis, loaded, strict=True) if isinstance(api, Api)]
    if not usable:
        raise SettingsError("none of the APIs in the settings file can be served. Correct what is reported above.")
    return compose(usable)


def compose(apis: Sequence[tuple[Api, Settings]]) -> list[Service]:
    """Return the services of APIs that are served together. Raises SettingsError if two tools have the same name."""
    among = sum(len(api.operations) for api, _ in apis) if len(apis) > 1 else 0
    make = _named_service if len(apis) > 1 else service_of
    services = [make(api, settings, among) for api, settings in apis]
    _refuse_clashes(services)
    return uncontested(services)


def _named_service(api: Api, settings: Settings, among: int) -> Service:
    """Return the service of an API; an error says which one it is about. Raises SettingsError."""
    try:
        return service_of(api, settings, among)
    except SettingsError as error:
        raise SettingsError(f"{settings.name}: {error}") from error


def _loaded(settings: Settings, *, from_copy: bool) -> Api | SetupError:
    try:
        return load_api(settings, from_copy=from_copy)
    except SetupError as error:
        return error


def _refuse_clashes(services: Sequence[Service]) -> None:
    owners: dict[str, str] = {}
    for service in services:
        for tool in service.tools:
            other = owners.setdefault(tool.name, service.settings.name)
            if other != service.settings.name:
                raise SettingsError(
                    f"two APIs have a tool {tool.name}: {other} and {service.settings.name}. Set another prefix in "
                    f"[api.{service.settings.name}]."
                )


def uncontested(services: Sequence[Service]) -> list[Service]:
    """Withhold each variable that several APIs would take, unless the settings file assigns it to one; warn of it."""
    takers: defaultdict[str, list[str]] = defaultdict(list)
    for service in services:
        for name in _unassigned(service):
            takers[name].append(service.settings.name)
    contested = {name for name, apis in takers.items() if len(apis) > 1}
    warn(
        f"{name} is set, and {' and '.join(takers[name])} would take it, so none gets it; assign it in the settings "
        f'file, as in [api.{takers[name][0]}.env] {name} = "${name}"'
        for name in sorted(contested)
    )
    return [_without(service, contested & _unassigned(service)) for service in services]


def _unassigned(service: Service) -> set[str]:
    """Return the variables that are set, and that an API would take without being told so."""
    settings = service.settings
    named = settings.named.union(settings.assigned)
    wanted = {name for tool in service.tools for name in tool.variables}
    if any(takes_token(tool.operation.security) for tool in service.tools):
        wanted |= set(OAUTH_VARIABLES)
    return {name for name in wanted - named if settings.environ.get(name, "").strip()}


def _without(service: Service, names: set[str]) -> Service:
    environ = {name: value for name, value in service.settings.environ.items() if name not in names}
    return replace(service, settings=replace(service.settings, environ=environ)) if names else service
