"""MCP clients: the path of each configuration file, and the form of an entry in it.

The table CLIENTS is the only place where a client is declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from portkey_bridge.clients import edit_jsonc, edit_toml, edit_yaml
from portkey_bridge.clients.spans import Format

PROGRAM = "portkey-bridge"

SYSTEMS = LINUX, MACOS, WINDOWS = "linux", "darwin", "win32"

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
    "copilot": ("COPILOT_HOME", ".copilot"),
    "hermes": ("HERMES_HOME", ".hermes"),
}

#: What clients replace in the strings of an entry, also where a literal value was intended.
BRACES, DOLLARS = r"\$\{", r"\$[\w{]"

#: Files as (folder, path in it). The first whose folder exists is used, else the first without a wildcard; of several
#: in that folder, one that exists.
ClientFiles = Sequence[tuple[str, str]]

#: Placeholder in CLIENTS for the name of a variable or of the server.
NAME_PLACEHOLDER = "NAME"

JSON_FILE, TOML_FILE, YAML_FILE = cast(Format, edit_jsonc), cast(Format, edit_toml), cast(Format, edit_yaml)


def _everywhere(folder: str, *paths: str) -> Mapping[str, ClientFiles]:
    return {system: [(folder, path) for path in paths] for system in SYSTEMS}


def _settings(path: str) -> Mapping[str, ClientFiles]:
    """Return the file of an application that uses the system's settings folder."""
    return {LINUX: [("xdg", path)], MACOS: [("library", path)], WINDOWS: [("appdata", path)]}


def _after(first: tuple[str, str], files: Mapping[str, ClientFiles], *systems: str) -> Mapping[str, ClientFiles]:
    """Add a file before the others on some systems."""
    return {system: [first, *known] if system in systems else known for system, known in files.items()}


@dataclass(frozen=True)
class KnownClient:
    """A client, or one of its files.

    `container` is the key of its servers, an object by name or, if `listed`, a list. An entry is `extra` with
    `command`, `args` and `env`, which `keys` may rename; if `joined`, `command` is a list that includes the arguments.
    `reference` is the syntax of a reference to an environment variable; `forwards` is the key of a list of variables
    to pass on; with neither, the client supports no references. `expands` matches what the client would replace in a
    literal value, `names` the names of servers that it takes. `most_tools` is the number of tools that it sends to a
    model at most. `desktop` marks an application that starts without a shell, and so without its PATH. `fresh` is the
    further content of a new file.
    """

    name: str
    title: str
    files: Mapping[str, ClientFiles]
    container: str = "mcpServers"
    format: Format = JSON_FILE
    reference: str | None = None
    forwards: str | None = None
    expands: str | None = None
    names: str = r".+"
    most_tools: int | None = None
    desktop: bool = False
    joined: bool = False
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


def _with_project(client: KnownClient, *paths: str) -> tuple[KnownClient, KnownClient]:
    """Return a client, and its file in the working directory, which a project shares with its team."""
    name, title = f"{client.name}-project", f"{client.title}, this folder"
    return client, replace(client, name=name, title=title, files=_everywhere("project", *paths), desktop=False)


#: How most editors refer to a variable, and how shells do.
EDITOR_REFERENCE: Mapping[str, Any] = {"reference": "${env:NAME}", "expands": BRACES}
SHELL_REFERENCE: Mapping[str, Any] = {"reference": "${NAME}", "expands": BRACES}

OPENCODE: Mapping[str, Any] = {
    "container": "mcp",
    "reference": "{env:NAME}",
    "expands": r"\{(?:env|file):",
    "joined": True,
    "extra": {"type": "local", "enabled": True},
    "keys": {"env": "environment"},
}

CLIENTS = (
    KnownClient(
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
    *_with_project(
        KnownClient("claude-code", "Claude Code", _everywhere("claude", ".claude.json"), **SHELL_REFERENCE), ".mcp.json"
    ),
    *_with_project(
        KnownClient("cursor", "Cursor", _everywhere("home", ".cursor/mcp.json"), **EDITOR_REFERENCE, desktop=True),
        ".cursor/mcp.json",
    ),
    *_with_project(
        KnownClient(
            "vscode",
            "VS Code",
            _settings("Code/User/mcp.json"),
            "servers",
            **EDITOR_REFERENCE,
            most_tools=128,  # with one request to a model
            desktop=True,
            extra={"type": "stdio"},
        ),
        ".vscode/mcp.json",
    ),
    KnownClient(
        "windsurf",
        "Windsurf",
        _everywhere("home", ".codeium/windsurf/mcp_config.json"),
        **EDITOR_REFERENCE,
        most_tools=100,  # at any time
        desktop=True,
    ),
    KnownClient(
        "cline",
        "Cline",
        # Older versions store it with the editor's data.
        _after(
            ("home", ".cline/data/settings/cline_mcp_settings.json"),
            _settings("Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
            *SYSTEMS,
        ),
        # The editor's extension expands ${env:NAME}, the command line does not; both read this file. The command line
        # gives up after three seconds if the entry has no timeout.
        expands=BRACES,
        desktop=True,
        extra={"timeout": 60},
    ),
    KnownClient(
        "gemini-cli",
        "Gemini CLI",
        _everywhere("home", ".gemini/settings.json"),
        reference="${NAME}",
        expands=r"\$[\w{$]",
    ),
    KnownClient(
        "qwen-code", "Qwen Code", _everywhere("home", ".qwen/settings.json"), reference="${NAME}", expands=DOLLARS
    ),
    KnownClient(
        "copilot-cli",
        "GitHub Copilot CLI",
        _everywhere("copilot", "mcp-config.json"),
        reference="${NAME}",
        expands=DOLLARS,
        extra={"type": "local", "tools": ["*"]},
    ),
    *_with_project(
        KnownClient(
            "opencode", "opencode", _everywhere("xdg", "opencode/opencode.json", "opencode/opencode.jsonc"), **OPENCODE
        ),
        "opencode.json",
        "opencode.jsonc",
    ),
    *_with_project(  # since version 7 a relative of opencode
        KnownClient("kilo", "Kilo Code", _everywhere("xdg", "kilo/kilo.json", "kilo/kilo.jsonc"), **OPENCODE),
        "kilo.json",
        "kilo.jsonc",
    ),
    *_with_project(
        KnownClient(
            "roo-code",
            "Roo Code",
            _settings("Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"),
            desktop=True,
            **EDITOR_REFERENCE,
        ),
        ".roo/mcp.json",
    ),
    *_with_project(
        KnownClient("kiro", "Kiro", _everywhere("home", ".kiro/settings/mcp.json"), desktop=True, **SHELL_REFERENCE),
        ".kiro/settings/mcp.json",
    ),
    *_with_project(
        KnownClient("junie", "Junie", _everywhere("home", ".junie/mcp/mcp.json"), desktop=True), ".junie/mcp/mcp.json"
    ),
    KnownClient("antigravity", "Antigravity", _everywhere("home", ".gemini/config/mcp_config.json"), desktop=True),
    KnownClient("lm-studio", "LM Studio", _everywhere("home", ".lmstudio/mcp.json"), desktop=True),
    KnownClient(
        "anythingllm",
        "AnythingLLM",
        _settings("anythingllm-desktop/storage/plugins/anythingllm_mcp_servers.json"),
        desktop=True,
    ),
    KnownClient("droid", "Factory droid", _everywhere("home", ".factory/mcp.json"), extra={"type": "stdio"}),
    KnownClient("amp", "Amp", _everywhere("xdg", "amp/settings.json"), "amp.mcpServers", **SHELL_REFERENCE),
    KnownClient("auggie", "Auggie", _everywhere("home", ".augment/settings.json")),
    KnownClient("openhands", "OpenHands CLI", _everywhere("home", ".openhands/mcp.json")),
    KnownClient(
        "mcporter",
        "mcporter",
        _everywhere("home", ".mcporter/mcporter.json"),
        reference="${NAME}",
        expands=r"\$\{|\$env:",
    ),
    KnownClient(
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
    KnownClient(
        "codex",
        "Codex",
        _everywhere("codex", "config.toml"),
        "mcp_servers",
        TOML_FILE,
        forwards="env_vars",
        names=r"[A-Za-z0-9_:@/.-]+",
    ),
    KnownClient(
        "goose",
        "Goose",
        {
            LINUX: [("xdg", "goose/config.yaml")],
            MACOS: [("xdg", "goose/config.yaml")],
            WINDOWS: [("appdata", "Block/goose/config/config.yaml")],
        },
        "extensions",
        YAML_FILE,
        forwards="env_keys",
        desktop=True,
        extra={
            "enabled": True,
            "type": "stdio",
            "name": NAME_PLACEHOLDER,
            "description": "An API as tools",
            "timeout": 300,
        },
        keys={"command": "cmd", "env": "envs"},
    ),
    KnownClient("hermes", "Hermes", _everywhere("hermes", "config.yaml"), "mcp_servers", YAML_FILE, **SHELL_REFERENCE),
    KnownClient(
        "continue",
        "Continue",
        _everywhere("continue", "config.yaml"),
        format=YAML_FILE,
        reference="${{ secrets.NAME }}",
        expands=r"\$\{\{",
        desktop=True,
        listed=True,
        extra={"name": NAME_PLACEHOLDER},
        fresh="name: Local Config\nversion: 1.0.0\nschema: v1\n",
    ),
)

#: Formats by file suffix.
FORMATS: Mapping[str, Format] = {
    ".json": JSON_FILE,
    ".jsonc": JSON_FILE,
    ".toml": TOML_FILE,
    ".yaml": YAML_FILE,
    ".yml": YAML_FILE,
}
