"""The command `config`: checks the settings file, prints its JSON Schema, or writes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from portkey_bridge.bridge.load import warn
from portkey_bridge.bridge.service import Service
from portkey_bridge.callers.roles import check_roles
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import state
from portkey_bridge.cli.loading import require_services
from portkey_bridge.cli.terminal import print_json, print_table
from portkey_bridge.credentials.environment import read_environment, shared_variables
from portkey_bridge.document.files import replace_file
from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.file import config_path, default_path, json_schema, read_config, template
from portkey_bridge.text import printable, shown_url


def run_config(invocation: Invocation) -> int:
    """Do what the command line says. Return 1 if an API cannot be served. Raises SetupError."""
    return ACTIONS[invocation.options["action"]](invocation)


def _check(invocation: Invocation) -> int:
    """Print what results from the settings file. Raises SettingsError for a pattern of a role that matches nothing."""
    apis, options = invocation.apis, invocation.options
    if file := options.get("file"):
        apis = read_config({**options, "config": file}, os.environ, options.get("env_file"))
    path = config_path(apis[0])
    if not path.is_file():
        raise SettingsError(f"there is no settings file {path}. Name one, or write it with portkey-bridge config init.")
    services = require_services(apis)
    if len(services) == len(apis):
        check_roles(services, apis[0].roles)
    warn(chain.from_iterable(map(_unused, services)))
    columns = ("api", "document", "tools", "names", "base URL", "variables")
    print_table(columns, [("", [_row(service) for service in services])], spare=("base URL", "document"))
    print(f"{printable(str(path))}: {len(services)} of {len(apis)} APIs can be served", file=sys.stderr)
    return 0 if len(services) == len(apis) else 1


def _unused(service: Service) -> Iterator[str]:
    """Yield which variables are set or assigned, but not used, and why."""
    settings, taken = service.settings, {name for tool in service.tools for name in tool.variables}
    reasons = read_environment(service.api, settings).reasons(taken)
    yield from (f"{settings.name}: {reason}".removeprefix(": ") for reason in reasons)
    shared = shared_variables(service.api)
    for name in settings.assigned:
        if name in shared and name not in taken and not settings.environ.get(name):
            instead = " or ".join(shared[name])
            yield f"{settings.name}: {name} is assigned, but several schemes would share it: assign {instead}"


def _row(service: Service) -> tuple[object, ...]:
    settings = service.settings
    names = sorted({name for tool in service.tools for name in tool.variables})
    environment = read_environment(service.api, settings)
    variables = ", ".join(f"{name} ({state(name, settings, environment)})" for name in names)
    base = shown_url(settings.base_url) if settings.base_url else "of the document"
    count = f"{len(service.tools)} of {len(service.every)}"
    return settings.name or "(one)", service.api.title, count, f"{settings.prefix}…", base, variables or "none"


def _schema(_: Invocation) -> int:
    print_json(json_schema())
    return 0


def _init(invocation: Invocation) -> int:
    """Write a settings file from the options of this command line and environment. Never replaces one."""
    path = Path(invocation.options.get("file") or default_path()).expanduser()
    try:
        if path.is_symlink() or path.exists():
            raise SettingsError(f"{path} exists. Edit it, or name another file.")
        replace_file(path, template(invocation.apis[0].texts).encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}). Name another file.") from error
    print(f"wrote {printable(str(path))}", file=sys.stderr)
    return 0


ACTIONS = {"check": _check, "schema": _schema, "init": _init}
