"""One entry in a client's configuration: its form, its name, and what an existing one says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portkey_bridge.clients.registry import NAME_PLACEHOLDER, PROGRAM, KnownClient
from portkey_bridge.errors import SettingsError


def entry_for(
    client: KnownClient, name: str, command: str, arguments: Sequence[str], variables: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return the entry in the client's form. A variable without a value becomes a reference to the environment.

    Raises SettingsError if the client supports no references.
    """
    referred = [variable for variable, value in variables.items() if value is None]
    if referred and client.reference is None and client.forwards is None:
        raise SettingsError(
            f"{client.title} cannot read values from the environment. Use --env {referred[0]}=VALUE; "
            "the value is then stored in the file."
        )
    reference = client.reference
    env = {
        variable: (reference or "").replace(NAME_PLACEHOLDER, variable) if value is None else value
        for variable, value in variables.items()
        if value is not None or reference
    }
    extra = {key: name if value == NAME_PLACEHOLDER else value for key, value in client.extra.items()}
    start = (
        {client.key("command"): [command, *arguments]}
        if client.joined
        else {client.key("command"): command, client.key("args"): list(arguments)}
    )
    entry: dict[str, Any] = {**extra, **start}
    if env:
        entry[client.key("env")] = env
    if referred and client.forwards:
        entry[client.forwards] = referred
    return entry


def check_name(client: KnownClient, name: str) -> None:
    """Raise SettingsError for the name of a server that a client refuses."""
    if not re.fullmatch(client.names, name):
        raise SettingsError(
            f"--name: {client.title} ignores a server with the name {name!r}. It has to match {client.names}"
        )


def expanded_in(client: KnownClient, entry: Mapping[str, Any], variables: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return what the client would change in an entry although it is a literal value: variables, and `args`."""
    if client.expands is None:
        return ()
    literal = [name for name, value in variables.items() if value is not None and re.search(client.expands, value)]
    _, *arguments = command_line(client, entry)
    return (*literal, *(["args"] if any(re.search(client.expands, word) for word in arguments) else []))


def command_line(client: KnownClient, entry: Mapping[str, Any]) -> list[str]:
    """Return the command of an entry and its arguments, as far as they are strings."""
    parts = [entry.get(client.key(key)) for key in ("command", "args")]
    words = [word for part in parts for word in (part if isinstance(part, list) else [part])]
    return [word for word in words if isinstance(word, str)]


def entries_in(client: KnownClient, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the names and entries of a parsed configuration."""
    container = value.get(client.container) if isinstance(value, Mapping) else None
    if isinstance(container, list):
        yield from ((str(entry.get("name")), entry) for entry in container if isinstance(entry, Mapping))
    if isinstance(container, Mapping):
        yield from ((name, entry) for name, entry in container.items() if isinstance(entry, Mapping))


def starts_this_program(client: KnownClient, entry: Mapping[str, Any]) -> bool:
    """Check whether an entry starts this program, directly or through another command."""
    pattern = rf"(?:.*[/\\])?{PROGRAM}(?:\.exe|[@=<>~!\[].*)?"
    return any(re.fullmatch(pattern, word) for word in command_line(client, entry))


def variables_in(client: KnownClient, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the variables that an entry passes to the server."""
    env, forwarded = entry.get(client.key("env")), entry.get(client.forwards or "")
    return (*(env if isinstance(env, Mapping) else ()), *(forwarded if isinstance(forwarded, list) else ()))


def literals_in(client: KnownClient, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the variables whose values are stored in an entry."""
    env = entry.get(client.key("env"))
    pairs = env.items() if isinstance(env, Mapping) else ()
    return tuple(name for name, value in pairs if not is_variable_reference(client, str(value)))


def is_variable_reference(client: KnownClient, value: str) -> bool:
    """Check whether a value is a reference to an environment variable in this client's syntax."""
    if client.reference is None:
        return False
    return re.fullmatch(re.escape(client.reference).replace(NAME_PLACEHOLDER, r"[A-Za-z_]\w*"), value) is not None
