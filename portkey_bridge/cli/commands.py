"""The table of commands: the only place where a command is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CommandArgument:
    """An argument that only one command takes: its flag or name, and the keyword arguments of `add_argument`."""

    flag: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command: `run` is `module:function`, which is imported when the command is used and returns the exit code.

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
    CommandArgument("client", {"metavar": "CLIENT", "help": "name of a client (see list), or path of its file"}),
    CommandArgument("--name", {"metavar": "NAME", "help": "name of the entry (default: short name of the API)"}),
    CommandArgument("--dry-run", {"action": "store_true", "help": "print the change as a diff instead of making it"}),
)


_API = CommandArgument(
    "api", {"nargs": "?", "metavar": "NAME", "help": "name of the API in the settings file, if it has several"}
)


SERVE = Command(
    "serve",
    "serve over stdio (default), or over HTTP",
    "portkey_bridge.cli.serve:serve",
    (
        CommandArgument(
            "--http",
            {
                "nargs": "?",
                "const": "",
                "metavar": "HOST:PORT",
                "help": "serve over HTTP at /mcp instead of stdio (default: 127.0.0.1:8000)",
            },
        ),
    ),
    examples=("", "--spec petstore.yaml", "--tools listmodels,createchatcompletion", "--http 127.0.0.1:8000"),
)


COMMANDS = (
    SERVE,
    Command(
        "call",
        "call one tool and print its result",
        "portkey_bridge.cli.call:call",
        (
            CommandArgument("tool", {"metavar": "TOOL", "help": "name of the tool"}),
            CommandArgument(
                "arguments",
                {
                    "metavar": "ARGUMENT",
                    "nargs": "*",
                    "default": (),  # without a default, argparse lists it as required
                    "help": "name=value, a JSON object, @FILE or - to read an object from a file or standard input",
                },
            ),
            CommandArgument(
                "--dry-run",
                {"action": "store_true", "help": "show the request as HTTP and curl instead of sending it"},
            ),
        ),
        (
            "listmodels",
            "getprompt promptId=welcome --dry-run",
            "createchatcompletion @request.json",
        ),
    ),
    Command(
        "tools",
        "list the tools and their sizes by tag; tab-separated when piped",
        "portkey_bridge.cli.listing:print_tools",
        (
            CommandArgument("--grep", {"metavar": "TEXT", "help": "only tools matching this regular expression"}),
            CommandArgument("--json", {"action": "store_true", "help": "print a JSON array"}),
        ),
        ("", "--grep 'chat|embedding'", "--tag prompts --json", "--spec petstore.yaml"),
    ),
    Command(
        "schema",
        "show the input schema of a tool as a model sees it",
        "portkey_bridge.cli.listing:print_schema",
        (
            CommandArgument("tool", {"metavar": "TOOL", "help": "name of the tool"}),
            CommandArgument(
                "pointer", {"nargs": "?", "metavar": "POINTER", "help": "JSON pointer of the part to expand"}
            ),
            CommandArgument(
                "--full", {"action": "store_true", "help": "the whole schema that arguments are checked against"}
            ),
        ),
        ("createchatcompletion", "createchatcompletion /properties/messages/items", "createchatcompletion --full"),
    ),
    Command(
        "env",
        "list the variables that the document asks for, whether they are set, and which tools need them",
        "portkey_bridge.cli.listing:print_env",
        examples=("", "--spec petstore.yaml"),
    ),
    Command(
        "docs",
        "write a reference of all tools, as Markdown or as one searchable HTML page",
        "portkey_bridge.cli.docs:print_docs",
        (
            _API,
            CommandArgument("--html", {"action": "store_true", "help": "write one self-contained HTML page"}),
        ),
        ("> reference.md", "--html > reference.html", "--html --spec petstore.yaml > petstore.html"),
    ),
    Command(
        "login",
        "log in to an API with OAuth 2, in the browser or with a code, and keep the tokens",
        "portkey_bridge.cli.login:login",
        (
            _API,
            CommandArgument("--device", {"action": "store_true", "help": "print a code to enter on any device"}),
            CommandArgument(
                "--redirect",
                {
                    "metavar": "URL",
                    "help": "redirect URI that the client is registered with, on the loopback interface (default: "
                    "http://127.0.0.1:PORT/callback with a free port)",
                },
            ),
        ),
        ("--spec petstore.yaml", "--spec petstore.yaml --device"),
    ),
    Command(
        "logout",
        "forget the login to an API",
        "portkey_bridge.cli.login:logout",
        (_API,),
        examples=("--spec petstore.yaml",),
    ),
    Command(
        "doctor",
        "diagnose problems and suggest fixes",
        "portkey_bridge.cli.doctor:print_checks",
        examples=("", "--spec petstore.yaml --base-url http://localhost:8080"),
    ),
    Command(
        "diff",
        "show how two versions of a document differ as tools",
        "portkey_bridge.cli.diff:print_difference",
        (
            CommandArgument("old", {"metavar": "OLD", "help": "path or URL of the old document"}),
            CommandArgument("spec", {"metavar": "NEW", "help": "path or URL of the new document"}),
            CommandArgument("--json", {"action": "store_true", "help": "print a JSON array"}),
            CommandArgument(
                "--fail-on",
                {"choices": ("breaking", "any"), "help": "exit with 1 if there is a breaking change, or any"},
            ),
        ),
        ("old.yaml new.yaml", "old.yaml new.yaml --fail-on breaking"),
    ),
    Command(
        "accept",
        "show what has changed since a document was accepted, and accept it (see --pin)",
        "portkey_bridge.cli.diff:accept_document",
        (
            _API,
            CommandArgument("--dry-run", {"action": "store_true", "help": "only show what has changed"}),
        ),
        ("petstore --config team.toml", "--spec petstore.yaml --dry-run"),
    ),
    Command(
        "config",
        "check the settings file, print its JSON Schema, or write one",
        "portkey_bridge.cli.config:run_config",
        (
            CommandArgument("action", {"choices": ("check", "schema", "init"), "help": "what to do"}),
            CommandArgument(
                "file",
                {
                    "nargs": "?",
                    "metavar": "FILE",
                    "help": "file to check, or to write (default: the user's own, which is found by itself)",
                },
            ),
        ),
        ("check team.toml", "schema", "init team.toml"),
    ),
    Command(
        "check",
        "report what each document offers, and what was left out or repaired, and where",
        "portkey_bridge.cli.check:print_report",
        (
            CommandArgument("spec", {"nargs": "?", "metavar": "SPEC", "help": "the document, as --spec takes it"}),
            CommandArgument("--json", {"action": "store_true", "help": "print a JSON object"}),
            CommandArgument("--strict", {"action": "store_true", "help": "exit with 1 if there are findings"}),
        ),
        ("petstore.yaml", "petstore.yaml --strict", "petstore.yaml --json"),
    ),
    Command(
        "inspect",
        "start the official MCP inspector with this server, its options and environment",
        "portkey_bridge.cli.inspector:run_inspector",
        examples=("", "--tools listmodels"),
    ),
    Command(
        "completion",
        "print the completion script for a shell",
        "portkey_bridge.cli.completion:print_completion",
        (CommandArgument("shell", {"choices": ("bash", "zsh", "fish"), "help": "shell to write for"}),),
        (
            "bash > ~/.local/share/bash-completion/completions/portkey-bridge",
            'zsh > "${fpath[1]}/_portkey-bridge"',
            "fish > ~/.config/fish/completions/portkey-bridge.fish",
        ),
        serves=False,
    ),
    Command("demo", "show the server at work with a built-in mock of the API", "portkey_bridge.cli.demo:run_demo"),
    Command(
        "mock",
        "serve a mock of the API on the loopback interface, with made-up data",
        "portkey_bridge.cli.mock:serve_mock",
        (
            _API,
            CommandArgument("--port", {"type": int, "metavar": "N", "help": "port to listen on (default: a free one)"}),
        ),
        ("", "--port 8080"),
    ),
    Command(
        "add",
        "set up this server in an MCP client, with the given options",
        "portkey_bridge.cli.clients:add",
        (
            *_CLIENT,
            CommandArgument(
                "--env",
                {
                    "action": "append",
                    "metavar": "KEY[=VALUE]",
                    "help": "variable for the server, or KEY alone to refer to the environment; "
                    "--KEY=VALUE with KEY in upper case is the same; repeatable",
                },
            ),
            CommandArgument("--yes", {"action": "store_true", "help": "replace an existing entry without asking"}),
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
        "portkey_bridge.cli.clients:remove",
        _CLIENT,
        ("cursor", "cursor --name petstore --dry-run"),
        serves=False,
    ),
    Command(
        "list",
        "list MCP clients and where this server is set up",
        "portkey_bridge.cli.clients:show",
        serves=False,
    ),
)
