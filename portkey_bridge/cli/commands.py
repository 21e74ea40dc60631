"""The table of commands: the only place where a command is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CommandArgument:
    """An argument that only one command takes: its flag or name, and the keyword arguments of `add_argument`."""

    flag: str
    details: Mapping[str, Any]


def _argument(flag: str, text: str, **details: Any) -> CommandArgument:
    return CommandArgument(flag, {"help": text, **details})


def _switch(flag: str, text: str) -> CommandArgument:
    return _argument(flag, text, action="store_true")


@dataclass(frozen=True)
class Command:
    """A command: `run` is `module:function` in this package, imported when it is used; it returns the exit code.

    `examples` are command lines without the program's name, each a first thing to try. Only a command that `serves`
    takes the options of a server.
    """

    name: str
    help: str
    run: str
    arguments: tuple[CommandArgument, ...] = ()
    examples: tuple[str, ...] = ("",)
    serves: bool = True

    @property
    def epilog(self) -> str:
        """The examples, as `--help` shows them."""
        lines = (f"  portkey-bridge {self.name} {words}".rstrip() for words in self.examples)
        return "\n".join(["examples:", *lines])


_CLIENT = (
    _argument("client", "name of a client (see list), or path of its file", metavar="CLIENT"),
    _argument("--name", "name of the entry (default: short name of the API)", metavar="NAME"),
    _switch("--dry-run", "print the change as a diff instead of making it"),
)

_API = _argument("api", "name of the API in the settings file, if it has several", metavar="NAME", nargs="?")

SERVE = Command(
    "serve",
    "serve over stdio (default), or over HTTP",
    "serve:serve",
    (
        _argument(
            "--http",
            "serve over HTTP at /mcp instead of stdio (default: 127.0.0.1:8000)",
            metavar="HOST:PORT",
            nargs="?",
            const="",
        ),
    ),
    examples=("", "--spec petstore.yaml", "--tools listmodels,createchatcompletion", "--http 127.0.0.1:8000"),
)

COMMANDS = (
    SERVE,
    Command(
        "call",
        "call one tool and print its result",
        "call:call",
        (
            _argument("tool", "name of the tool", metavar="TOOL"),
            _argument(
                "arguments",
                "name=value, a JSON object, @FILE or - to read an object from a file or standard input",
                metavar="ARGUMENT",
                nargs="*",
                default=(),  # without a default, argparse lists it as required
            ),
            _switch("--dry-run", "show the request as HTTP and curl instead of sending it"),
        ),
        ("listmodels", "getprompt promptId=welcome --dry-run", "createchatcompletion @request.json"),
    ),
    Command(
        "tools",
        "list the tools and their sizes by tag; tab-separated when piped",
        "listing:print_tools",
        (
            _argument("--grep", "only tools matching this regular expression", metavar="TEXT"),
            _switch("--json", "print a JSON array"),
        ),
        ("", "--grep 'chat|embedding'", "--tag prompts --json", "--spec petstore.yaml"),
    ),
    Command(
        "schema",
        "show the input schema of a tool as a model sees it",
        "listing:print_schema",
        (
            _argument("tool", "name of the tool", metavar="TOOL"),
            _argument("pointer", "JSON pointer of the part to expand", metavar="POINTER", nargs="?"),
            _switch("--full", "the whole schema that arguments are checked against"),
        ),
        ("createchatcompletion", "createchatcompletion /properties/messages/items", "createchatcompletion --full"),
    ),
    Command(
        "env",
        "list the variables that the document asks for, whether they are set, and which tools need them",
        "listing:print_env",
        examples=("", "--spec petstore.yaml"),
    ),
    Command(
        "docs",
        "write a reference of all tools, as Markdown or as one searchable HTML page",
        "docs:print_docs",
        (_API, _switch("--html", "write one self-contained HTML page")),
        ("> reference.md", "--html > reference.html", "--html --spec petstore.yaml > petstore.html"),
    ),
    Command(
        "login",
        "log in to an API with OAuth 2, in the browser or with a code, and keep the tokens",
        "login:login",
        (
            _API,
            _switch("--device", "print a code to enter on any device"),
            _argument(
                "--redirect",
                "redirect URI that the client is registered with, on the loopback interface (default: "
                "http://127.0.0.1:PORT/callback with a free port)",
                metavar="URL",
            ),
        ),
        ("--spec petstore.yaml", "--spec petstore.yaml --device"),
    ),
    Command("logout", "forget the login to an API", "login:logout", (_API,), examples=("--spec petstore.yaml",)),
    Command(
        "doctor",
        "diagnose problems and suggest fixes",
        "doctor:print_checks",
        examples=("", "--spec petstore.yaml --base-url http://localhost:8080"),
    ),
    Command(
        "diff",
        "show how two versions of a document differ as tools",
        "diff:print_difference",
        (
            _argument("old", "path or URL of the old document", metavar="OLD"),
            _argument("spec", "path or URL of the new document", metavar="NEW"),
            _switch("--json", "print a JSON array"),
            _argument("--fail-on", "exit with 1 if there is a breaking change, or any", choices=("breaking", "any")),
        ),
        ("old.yaml new.yaml", "old.yaml new.yaml --fail-on breaking"),
    ),
    Command(
        "accept",
        "show what has changed since a document was accepted, and accept it (see --pin)",
        "diff:accept_document",
        (_API, _switch("--dry-run", "only show what has changed")),
        ("petstore --config team.toml", "--spec petstore.yaml --dry-run"),
    ),
    Command(
        "config",
        "check the settings file, print its JSON Schema, or write one",
        "config:run_config",
        (
            _argument("action", "what to do", choices=("check", "schema", "init")),
            _argument(
                "file",
                "file to check, or to write (default: the user's own, which is found by itself)",
                metavar="FILE",
                nargs="?",
            ),
        ),
        ("check team.toml", "schema", "init team.toml"),
    ),
    Command(
        "check",
        "report what each document offers, and what was left out or repaired, and where",
        "check:print_report",
        (
            _argument("spec", "the document, as --spec takes it", metavar="SPEC", nargs="?"),
            _switch("--json", "print a JSON object"),
            _switch("--strict", "exit with 1 if there are findings"),
        ),
        ("petstore.yaml", "petstore.yaml --strict", "petstore.yaml --json"),
    ),
    Command(
        "inspect",
        "start the official MCP inspector with this server, its options and environment",
        "inspector:run_inspector",
        examples=("", "--tools listmodels"),
    ),
    Command(
        "completion",
        "print the completion script for a shell",
        "completion:print_completion",
        (_argument("shell", "shell to write for", choices=("bash", "zsh", "fish")),),
        (
            "bash > ~/.local/share/bash-completion/completions/portkey-bridge",
            'zsh > "${fpath[1]}/_portkey-bridge"',
            "fish > ~/.config/fish/completions/portkey-bridge.fish",
        ),
        serves=False,
    ),
    Command("demo", "show the server at work with a built-in mock of the API", "demo:run_demo"),
    Command(
        "mock",
        "serve a mock of the API on the loopback interface, with made-up data",
        "mock:serve_mock",
        (_API, _argument("--port", "port to listen on (default: a free one)", metavar="N", type=int)),
        ("", "--port 8080"),
    ),
    Command(
        "add",
        "set up this server in an MCP client, with the given options",
        "clients:add",
        (
            *_CLIENT,
            _argument(
                "--env",
                "variable for the server, or KEY alone to refer to the environment; "
                "--KEY=VALUE with KEY in upper case is the same; repeatable",
                metavar="KEY[=VALUE]",
                action="append",
            ),
            _switch("--yes", "replace an existing entry without asking"),
        ),
        (
            "cursor --env X_PORTKEY_API_KEY",
            "claude-desktop --env X_PORTKEY_API_KEY=… --dry-run",
            "vscode-project --name petstore --spec petstore.yaml",
        ),
    ),
    Command(
        "remove",
        "remove this server from an MCP client",
        "clients:remove",
        _CLIENT,
        ("cursor", "cursor --name petstore --dry-run"),
        serves=False,
    ),
    Command("list", "list MCP clients and where this server is set up", "clients:show", serves=False),
)
