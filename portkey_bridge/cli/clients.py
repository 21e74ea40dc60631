"""The commands `add`, `remove` and `list`: this server in the configuration of MCP clients.

Results go to stdout, messages to stderr. No command prints the value of a variable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from portkey_bridge.bridge.service import Service
from portkey_bridge.bridge.several_apis import load_services
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.launching import EXTRAS, arguments_of, launcher, start_once
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.terminal import print_table, print_text, waiting
from portkey_bridge.clients.entries import (
    check_name,
    command_line,
    entry_for,
    expanded_in,
    literals_in,
    starts_this_program,
)
from portkey_bridge.clients.files import (
    ClientFile,
    is_readable_by_others,
    read_client_file,
    rewrite,
    text_difference,
    with_entry,
    without_entry,
)
from portkey_bridge.clients.names import DEFAULT_ENTRY, name_for_adding, name_for_removing, short_name
from portkey_bridge.clients.places import System, client_for, locate, this_system
from portkey_bridge.clients.registry import CLIENTS, KnownClient
from portkey_bridge.credentials.recipe import recipe_variables
from portkey_bridge.credentials.signing import signs_for_aws
from portkey_bridge.errors import ClientFileError, SettingsError, SetupError
from portkey_bridge.request.servers import url_of_servers
from portkey_bridge.settings.file import config_path, read_config
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import VARIABLE
from portkey_bridge.text import origin_of, printable, with_shown_urls
from portkey_bridge.tools.names import EXPAND_RESULT, EXPAND_SCHEMA

#: Tools that are listed besides those of the document.
BUILTIN = (EXPAND_SCHEMA, EXPAND_RESULT)


@dataclass(frozen=True)
class FoundEntry:
    """A client's file, and its entries that start this program, by name; or the reason why it cannot be read."""

    client: KnownClient
    path: Path
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problem: str | None = None


def add(invocation: Invocation) -> int:
    """Write the entry of this server into a client's file; return 1 if the user declines. Raises SetupError."""
    options, system = invocation.options, this_system()
    client, path = client_for(options["client"], system)
    file = read_client_file(client, path)
    given = _variables(options.get("env", ()))
    apis = _apis(options, given)
    served = _served(apis, client)
    variables = {**_referred(apis, given, client), **given}
    if served.lists_too_many(client):
        options = {**options, "discover": "1"}
        _say(
            f"{client.title} takes at most {client.most_tools} tools, and {served.tools} are served, so --discover is "
            "set: it lists three tools that search, show schemas and call. --tools or --tag select some instead."
        )
    if "credentials" in options:
        options = {**options, "credentials": _bound(invocation.settings)}
    start, warning = launcher(client, system, served.extras)
    arguments = arguments_of(options, system)
    name = options.get("name") or name_for_adding(client, file.entries, served.name, arguments)
    check_name(client, name)
    entry = entry_for(client, name, start[0], [*start[1:], *arguments], variables)
    if warning:
        _say(warning)
    if file.entries.get(name) == entry:
        _say(f"{name} is already set up like this in {path}; nothing to do.")
        return 0
    return _write(file, name, entry, variables, options)


def _write(
    file: ClientFile,
    name: str,
    entry: Mapping[str, Any],
    variables: Mapping[str, str | None],
    options: Mapping[str, Any],
) -> int:
    """Write an entry after confirmation, and start the server once; return 1 if the user declines."""
    new = with_entry(file, name, entry)
    present = name in file.entries
    _warn_of_expansion(file.client, entry, variables)
    if options.get("dry_run"):
        print_text(with_shown_urls(text_difference(file, new, name)))
        return 0
    if present and not options.get("yes"):
        print_text(with_shown_urls(text_difference(file, new, name)))
        sys.stdout.flush()
        if not _agreed(f"{file.path} already has a different {name}"):
            return 1
    backup = rewrite(file, new)
    _say(f"{'Replaced' if present else 'Added'} {name} in {file.path}." + _kept(backup))
    _warn_of_secrets(file, entry)
    _prepare(file.client, entry, variables)
    _say(f"Restart {file.client.title.partition(',')[0]} to use it.")
    return 0


@dataclass(frozen=True)
class Served:
    """What an entry serves, as far as it is known: its name, the number of tools that would be listed, and the extras
    of this program that are needed.
    """

    name: str
    tools: int = 0
    discovers: bool = False
    extras: tuple[str, ...] = ()

    def lists_too_many(self, client: KnownClient) -> bool:
        """Check whether a client cannot take all tools of the listing."""
        return client.most_tools is not None and not self.discovers and self.tools > client.most_tools


def _apis(options: Mapping[str, Any], variables: Mapping[str, str | None]) -> tuple[Settings, ...]:
    """Return the settings of an entry with these options. Raises SettingsError."""
    given = {name: value for name, value in variables.items() if value is not None}
    # Neither this shell's environment nor its `.env` is there where the client starts the server.
    return read_config(options, given, options.get("env_file") or os.devnull)


def _referred(apis: Sequence[Settings], given: Mapping[str, str | None], client: KnownClient) -> dict[str, None]:
    """Return the variables that options name, are set here and that the client can pass on: the entry refers to them.

    Others that have no value yet are a warning.
    """
    named = {name for each in apis for name in (*each.named, *recipe_variables(each), each.client_key_passphrase)}
    has_value = given.keys() | {name for each in apis for name in each.environ}
    lacking = sorted(name for name in named - has_value if name)
    can_refer = bool(client.reference or client.forwards)
    referred = [name for name in lacking if can_refer and os.environ.get(name)]
    if unset := [name for name in lacking if name not in referred]:
        how = f"--env {unset[0]}" if can_refer else f"--env {unset[0]}=VALUE, which stores the value in the file"
        _say(f"warning: the entry has no value for {', '.join(unset)}. Add {how}, or --env-file FILE.")
    return dict.fromkeys(referred)


def _served(apis: Sequence[Settings], client: KnownClient) -> Served:
    """Return what an entry with these settings serves. Whatever cannot be read now is a warning."""
    extras = {extra for each in apis for option, extra in EXTRAS.items() if getattr(each, option)}
    source = (apis[0].spec or "") if len(apis) == 1 else str(config_path(apis[0]))
    title, count = "", 0
    if source or client.most_tools is not None:
        try:
            services = load_services(apis)
        except SetupError as error:
            _say(f"warning: {error} The entry is written anyway.")
        else:
            extras |= {EXTRAS["aws_sigv4"]} if any(map(_signs_for_aws, services)) else set()
            title = services[0].api.title if len(apis) == 1 else ""
            count = sum(len(service.tools) for service in services) + len(BUILTIN)
    name = short_name(title, source) if source else DEFAULT_ENTRY
    return Served(name, count, apis[0].searches, tuple(extra for extra in EXTRAS.values() if extra in extras))


def _signs_for_aws(service: Service) -> bool:
    """Check whether a document asks for requests that are signed for AWS, and a person named the secret for it."""
    schemes = chain.from_iterable(chain(*tool.operation.security) for tool in service.tools)
    return signs_for_aws(schemes, service.settings.named)


def remove(invocation: Invocation) -> int:
    """Remove the entry from a client's file, if it is there. Raises SetupError."""
    options = invocation.options
    client, path = client_for(options["client"], this_system())
    file = read_client_file(client, path)
    name = options.get("name") or name_for_removing(client, file.entries)
    if name not in file.entries:
        _say(f"{name} is not in {path}; nothing to do.")
        return 0
    new = without_entry(file, name)
    if options.get("dry_run"):
        print_text(with_shown_urls(text_difference(file, new, name)))
        return 0
    _say(f"Removed {name} from {path}." + _kept(rewrite(file, new)))
    return 0


def show(invocation: Invocation) -> int:
    """Print the clients that this server is set up in; return 1 if a client's file cannot be read."""
    del invocation  # the table has no options
    found = list(set_up_in(this_system()))
    rows = [(each.client.name, ", ".join(each.entries) or "-", each.path) for each in found]
    print_table(("client", "set up as", "file"), [("", rows)])
    for each in found:
        if each.problem:
            _say(each.problem)
    return int(any(each.problem for each in found))


def set_up_in(system: System) -> Iterator[FoundEntry]:
    """Read the file of every client."""
    for client in CLIENTS:
        path = locate(client, system)
        try:
            entries = read_client_file(client, path).entries
        except ClientFileError as error:
            yield FoundEntry(client, path, problem=str(error))
            continue
        yield FoundEntry(
            client, path, {name: each for name, each in entries.items() if starts_this_program(client, each)}
        )


def _variables(given: Sequence[str]) -> dict[str, str | None]:
    """Parse `KEY=VALUE`, or `KEY` for a reference to the environment. No message repeats a value."""
    variables: dict[str, str | None] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not VARIABLE.fullmatch(key):
            raise SettingsError(
                "--env takes KEY=VALUE, or KEY to refer to the environment; KEY is the name of a variable."
            )
        variables[key] = value if equals else None
    return variables


def _bound(settings: Settings) -> str:
    """Return OPEN_MCP_CREDENTIALS with each name bound to the origins that the document sends it to now."""
    unbound = settings.named - settings.bound.keys()
    origins: dict[str, set[str]] = {}
    try:
        api, tools = load_tools(settings)
    except SetupError as error:
        _say(f"The credentials are not bound to an origin, because the document cannot be read: {error}")
        return ",".join(sorted(settings.credentials))
    for tool in tools:
        origin = origin_of(url_of_servers(api, settings)(tool.operation.servers))
        for name in unbound.intersection(tool.variables) if origin else ():
            origins.setdefault(name, set()).add(str(origin))
    bound = [f"{name}@{origin}" for name, found in origins.items() for origin in found]
    return ",".join(sorted({*(name for name in settings.credentials if name not in origins), *bound}))


def _agreed(problem: str) -> bool:
    """Ask on the terminal whether to replace the entry. Raises SettingsError if nobody can answer."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise SettingsError(f"{problem}. Nothing was changed. To replace it as shown, add --yes.")
    print(f"{problem}. Replace it as shown? [y/N] ", end="", file=sys.stderr, flush=True)
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        _say("Nothing was changed.")
    return agreed


def _warn_of_secrets(file: ClientFile, entry: Mapping[str, Any]) -> None:
    """Warn if others can read a value that is now in the file."""
    literal = literals_in(file.client, entry)
    if not literal:
        return
    names = " and ".join(literal)
    if is_readable_by_others(file.path):
        _say(f"warning: others on this machine can read {names} in it. Run: chmod 600 {file.path}")
    if file.client.shared and file.client.reference:
        _say(f"warning: {names} must not be committed. --env {literal[0]} refers to the environment instead.")


def _warn_of_expansion(client: KnownClient, entry: Mapping[str, Any], variables: Mapping[str, str | None]) -> None:
    """Warn if the client would replace a part of a literal value."""
    names = expanded_in(client, entry, variables)
    if names:
        _say(
            f"warning: {client.title} replaces references in {' and '.join(names)} when it starts the server, and has "
            "no way to escape them. Put such values in a file, and name it with --env-file."
        )


def _prepare(client: KnownClient, entry: Mapping[str, Any], variables: Mapping[str, str | None]) -> None:
    """Start the server once, because some clients do not wait for a slow first start."""
    given = {name: value for name, value in variables.items() if value is not None}
    with waiting("starting the server once, so that the client finds it ready"):
        problem = start_once(command_line(client, entry), given)
    if problem:
        _say(f"A first start of the server failed: {printable(problem)}\nportkey-bridge doctor looks for the cause.")


def _kept(backup: Path | None) -> str:
    return f" The previous file is saved as {backup}." if backup else ""


def _say(words: str) -> None:
    print(words, file=sys.stderr)
