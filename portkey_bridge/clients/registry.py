"""MCP clients: the path of each configuration file, and the form of an entry in it.

The table CLIENTS is the only place where a client is declared.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from portkey_bridge.clients import edit_jsonc, edit_toml, edit_yaml
from portkey_bridge.clients.spans import Format, Unreadable
from portkey_bridge.errors import SettingsError

PROGRAM = "portkey-bridge"

LINUX, MACOS, WINDOWS = "linux", "darwin", "win32"

#: Folders of CLIENTS by name: the variable that overrides the folder, and its default in the home folder.
FOLDERS: Mapping[str, tuple[str | None, str]] = {
    "project": (None, ""),
    "home": (None, ""),
    "library": (None, "Library/Application Support"),
    "xdg": ("XDG_CONFIG_HOME", ".config"),
    "appdata": ("APPDATA", "AppData/Roaming"),
    "localappdata": ("LOCALAPPDATA", "AppData/Local"),
    "claude": ("CLAUDE_CONFIG_DIR", ""),
    "codex": ("CODEX_HOME", ".codex"),
    "continue": ("CONTINUE_GLOBAL_DIR", ".continue"),
}

#: Files as (folder, path in it). The first whose folder exists is used, else the first without a wildcard.
ClientFiles = Sequence[tuple[str, str]]

#: Placeholder in CLIENTS for the name of a variable or of the server.
NAME = "NAME"

JSON, TOML, YAML = cast(Format, edit_jsonc), cast(Format, edit_toml), cast(Format, edit_yaml)


def _everywhere(folder: str, path: str) -> Mapping[str, ClientFiles]:
    return {system: [(folder, path)] for system in (LINUX, MACOS, WINDOWS)}


def _settings(path: str) -> Mapping[str, ClientFiles]:
    """Return the file of an application that uses the system's settings folder."""
    return {LINUX: [("xdg", path)], MACOS: [("library", path)], WINDOWS: [("appdata", path)]}


def _after(first: tuple[str, str], files: Mapping[str, ClientFiles], *systems: str) -> Mapping[str, ClientFiles]:
    """Add a file before the others on some systems."""
    return {system: [first, *known] if system in systems else known for system, known in files.items()}


@dataclass(frozen=True)
class Client:
    """A client, or one of its files.

    `container` is the key of its servers, an object by name or, if `listed`, a list. An entry is `extra` with
    `command`, `args` and `env`, which `keys` may rename. `reference` is the syntax of a reference to an environment
    variable; `forwards` is the key of a list of variables to pass on; with neither, the client supports no references.
    `desktop` marks an application that starts without a shell, and so without its PATH. `fresh` is the further content
    of a new file.
    """

    name: str
    title: str
    files: Mapping[str, ClientFiles]
    container: str = "mcpServers"
    format: Format = JSON
    reference: str | None = None
    forwards: str | None = None
    desktop: bool = False
    listed: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    fresh: str = ""

    def key(self, key: str) -> str:
        """Return this client's key for `command`, `args` or `env`."""
        return self.keys.get(key, key)

    @property
    def shared(self) -> bool:
        """Whether the file belongs to a project and is shared with its team."""
        return any(folder == "project" for files in self.files.values() for folder, _ in files)


CLIENTS = (
    Client(
        "claude-desktop",
        "Claude Desktop",
        # A Windows package sees its own folder instead of the usual one.
        _after(
            ("localappdata", "Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json"),
            _settings("Claude/claude_desktop_config.json"),
            WINDOWS,
        ),
        desktop=True,
    ),
    Client("claude-code", "Claude Code", _everywhere("claude", ".claude.json"), reference="${NAME}"),
    Client("claude-code-project", "Claude Code, this folder", _everywhere("project", ".mcp.json"), reference="${NAME}"),
    Client("cursor", "Cursor", _everywhere("home", ".cursor/mcp.json"), reference="${env:NAME}", desktop=True),
    Client(
        "cursor-project", "Cursor, this folder", _everywhere("project", ".cursor/mcp.json"), reference="${env:NAME}"
    ),
    Client(
        "vscode",
        "VS Code",
        _settings("Code/User/mcp.json"),
        "servers",
        reference="${env:NAME}",
        desktop=True,
        extra={"type": "stdio"},
    ),
    Client(
        "vscode-project",
        "VS Code, this folder",
        _everywhere("project", ".vscode/mcp.json"),
        "servers",
        reference="${env:NAME}",
        extra={"type": "stdio"},
    ),
    Client(
        "windsurf",
        "Windsurf",
        _everywhere("home", ".codeium/windsurf/mcp_config.json"),
        reference="${env:NAME}",
        desktop=True,
    ),
    Client(
        "cline",
        "Cline",
        # Older versions store it with the editor's data.
        _after(
            ("home", ".cline/data/settings/cline_mcp_settings.json"),
            _settings("Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
            LINUX,
            MACOS,
            WINDOWS,
        ),
        reference="${env:NAME}",
        desktop=True,
    ),
    Client("gemini-cli", "Gemini CLI", _everywhere("home", ".gemini/settings.json"), reference="${NAME}"),
    Client(
        "zed",
        "Zed",
        {
            LINUX: [("xdg", "zed/settings.json")],
            MACOS: [("home", ".config/zed/settings.json")],
            WINDOWS: [("appdata", "Zed/settings.json")],
        },
        "context_servers",
        desktop=True,
        extra={"source": "custom"},
    ),
    Client("codex", "Codex", _everywhere("codex", "config.toml"), "mcp_servers", TOML, forwards="env_vars"),
    Client(
        "goose",
        "Goose",
        {
            LINUX: [("xdg", "goose/config.yaml")],
            MACOS: [("xdg", "goose/config.yaml")],
            WINDOWS: [("appdata", "Block/goose/config/config.yaml")],
        },
        "extensions",
        YAML,
        forwards="env_keys",
        desktop=True,
        extra={"enabled": True, "type": "stdio", "name": NAME, "description": "An API as tools", "timeout": 300},
        keys={"command": "cmd", "env": "envs"},
    ),
    Client(
        "continue",
        "Continue",
        _everywhere("continue", "config.yaml"),
        format=YAML,
        reference="${{ secrets.NAME }}",
        desktop=True,
        listed=True,
        extra={"name": NAME},
        fresh="name: Local Config\nversion: 1.0.0\nschema: v1\n",
    ),
)

#: Formats by file suffix.
FORMATS: Mapping[str, Format] = {".json": JSON, ".jsonc": JSON, ".toml": TOML, ".yaml": YAML, ".yml": YAML}


@dataclass(frozen=True)
class System:
    """The facts about the machine that decide where files are."""

    platform: str
    environ: Mapping[str, str]
    home: Path
    project: Path


def this_system() -> System:
    """Return the facts about this machine, user and working directory."""
    return System(sys.platform, os.environ, Path.home(), Path.cwd())


def locate(client: Client, system: System) -> Path:
    """Return the path of a client's file, which may not exist."""
    files = client.files.get(system.platform, client.files[LINUX])
    usual = next((folder, path) for folder, path in files if "*" not in path)
    found = (path for file in files for path in _candidates(system, *file) if path.parent.is_dir())
    return next(found, _folder(system, usual[0]) / usual[1])


def client_for(word: str, system: System) -> tuple[Client, Path]:
    """Return the client and its file for the name of a client or the path of a file.

    Raises SettingsError.
    """
    known = next((client for client in CLIENTS if client.name == word), None)
    if known is not None:
        return known, locate(known, system)
    path = system.project / Path(word).expanduser()
    if path.suffix in FORMATS:
        return _client_of_file(path), path
    names = [client.name for client in CLIENTS]
    near = get_close_matches(word, names, n=1)
    raise SettingsError(
        f"{word} is not a supported client"
        + (f", did you mean {near[0]}? " if near else ". ")
        + f"Use one of {', '.join(names)}, or a file that ends in {', '.join(FORMATS)}."
    )


def entry_for(
    client: Client, name: str, command: str, arguments: Sequence[str], variables: Mapping[str, str | None]
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
        variable: (reference or "").replace(NAME, variable) if value is None else value
        for variable, value in variables.items()
        if value is not None or reference
    }
    extra = {key: name if value == NAME else value for key, value in client.extra.items()}
    entry = {**extra, client.key("command"): command, client.key("args"): list(arguments)}
    if env:
        entry[client.key("env")] = env
    if referred and client.forwards:
        entry[client.forwards] = referred
    return entry


def entries_in(client: Client, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the names and entries of a parsed configuration."""
    container = value.get(client.container) if isinstance(value, Mapping) else None
    if isinstance(container, list):
        yield from ((str(entry.get("name")), entry) for entry in container if isinstance(entry, Mapping))
    if isinstance(container, Mapping):
        yield from ((name, entry) for name, entry in container.items() if isinstance(entry, Mapping))


def starts_this_program(client: Client, entry: Mapping[str, Any]) -> bool:
    """Check whether an entry starts this program, directly or through another command."""
    arguments = entry.get(client.key("args"))
    words = [entry.get(client.key("command")), *(arguments if isinstance(arguments, list) else [])]
    return any(re.fullmatch(rf"(?:.*[/\\])?{PROGRAM}(?:\.exe|[@=<>~!\[].*)?", str(word)) for word in words)


def variables_in(client: Client, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the variables that an entry passes to the server."""
    env, forwarded = entry.get(client.key("env")), entry.get(client.forwards or "")
    return (*(env if isinstance(env, Mapping) else ()), *(forwarded if isinstance(forwarded, list) else ()))


def literals_in(client: Client, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the variables whose values are stored in an entry."""
    env = entry.get(client.key("env"))
    pairs = env.items() if isinstance(env, Mapping) else ()
    return tuple(name for name, value in pairs if not is_variable_reference(client, str(value)))


def is_variable_reference(client: Client, value: str) -> bool:
    """Check whether a value is a reference to an environment variable in this client's syntax."""
    if client.reference is None:
        return False
    return re.fullmatch(re.escape(client.reference).replace(NAME, r"[A-Za-z_]\w*"), value) is not None


def _client_of_file(path: Path) -> Client:
    """Return the client that a file belongs to, judged by its path, else by its content."""
    for client in sorted(CLIENTS, key=lambda client: not client.shared):
        if any(_is_file_of(path, *file) for files in client.files.values() for file in files):
            return client
    of_format = [client for client in CLIENTS if client.format is FORMATS[path.suffix]]
    try:
        text = path.read_text("utf-8-sig")
        keys = of_format[0].format.read(text)
    except (OSError, UnicodeDecodeError, Unreadable):
        keys = ()
    told = [client for client in of_format if client.container in keys]
    if told and told[0].container != "mcpServers":
        return replace(told[0], desktop=False)
    return _client_of_format(path, of_format)


def _client_of_format(path: Path, of_format: Sequence[Client]) -> Client:
    """Return the client with the most common form, for a file that could belong to any."""
    if FORMATS[path.suffix] is JSON:
        return Client("file", f"the client of {path.name}", {})
    return replace(of_format[-1], desktop=False)


def _is_file_of(path: Path, folder: str, relative: str) -> bool:
    parts = (*Path(FOLDERS[folder][1]).parts, *Path(relative).parts)
    return "*" not in relative and path.parts[-len(parts) :] == parts


def _candidates(system: System, folder: str, path: str) -> Iterator[Path]:
    base = _folder(system, folder)
    if "*" not in path:
        return iter([base / path])
    name = Path(path).name
    return iter(sorted(parent / name for parent in base.glob(str(Path(path).parent))))


def _folder(system: System, name: str) -> Path:
    variable, default = FOLDERS[name]
    named = system.environ.get(variable, "").strip() if variable else ""
    # The XDG Base Directory Specification ignores relative paths, which make no sense for the others either.
    if named and Path(named).is_absolute():
        return Path(named)
    return (system.project if name == "project" else system.home) / default
