"""The table of commands: the only place where a command is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Argument:
    """An argument that only one command takes: its flag or name, and what argparse wants to know about it."""

    flag: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command: `run` is `module:function`, imported when the command is used, and gives the exit code.

    `examples` are command lines without the program's name, each a first thing to try. Only a command that `serves`
    takes the options of a server.
    """

    name: str
    help: str
    run: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ("",)
    serves: bool = True

    @property
    def epilog(self) -> str:
        """The examples, as `--help` shows them."""
        lines = (f"  portkey-bridge {self.name} {words}".rstrip() for words in self.examples)
        return "\n".join(["examples:", *lines])


_CLIENT = (
    Argument(
        "client", {"metavar": "CLIENT", "help": "a client by its name (list shows them), or its file by its path"}
    ),
    Argument("--name", {"metavar": "NAME", "help": "name of the entry (default: portkey-bridge)"}),
    Argument("--dry-run", {"action": "store_true", "help": "print the change as a diff, and change nothing"}),
)


SERVE = Command(
    "serve",
    "serve over stdio (what happens without a command, too)",
    "portkey_bridge.cli.serve:serve_stdio",
    examples=("", "--spec petstore.yaml", "--tools listmodels,createchatcompletion"),
)


COMMANDS = (
    SERVE,
    Command(
        "call",
        "call one tool and print its result",
        "portkey_bridge.cli.call:call",
        (
            Argument("tool", {"metavar": "TOOL", "help": "name of the tool"}),
            Argument(
                "arguments",
                {
                    "metavar": "ARGUMENT",
                    "nargs": "*",
                    "default": (),  # without one, argparse names it among what is required
                    "help": "name=value, or a JSON object, or @FILE with one, or - for one on standard input",
                },
            ),
            Argument(
                "--dry-run",
                {"action": "store_true", "help": "show the request as HTTP and as curl, and send nothing"},
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
        "list the tools with their sizes, by tag; where no terminal is, one a line with tabs between",
        "portkey_bridge.cli.listing:print_tools",
        (
            Argument("--grep", {"metavar": "TEXT", "help": "only tools with this regular expression in their words"}),
            Argument("--json", {"action": "store_true", "help": "print a JSON array"}),
        ),
        ("", "--grep 'chat|embedding'", "--tag prompts --json", "--spec petstore.yaml"),
    ),
    Command(
        "schema",
        "show the input schema of a tool as a model sees it",
        "portkey_bridge.cli.listing:print_schema",
        (
            Argument("tool", {"metavar": "TOOL", "help": "the tool's name"}),
            Argument("pointer", {"nargs": "?", "metavar": "POINTER", "help": "JSON pointer of the part to expand"}),
            Argument("--full", {"action": "store_true", "help": "what arguments are checked against, whole"}),
        ),
        ("createchatcompletion", "createchatcompletion /properties/messages/items", "createchatcompletion --full"),
    ),
    Command(
        "env",
        "list the variables that the document asks for, whether they are set, and what each opens",
        "portkey_bridge.cli.listing:print_env",
        examples=("", "--spec petstore.yaml"),
    ),
    Command(
        "docs",
        "write the reference of all tools: Markdown, or one HTML page to search in",
        "portkey_bridge.cli.docs:print_docs",
        (Argument("--html", {"action": "store_true", "help": "write one self-contained HTML page"}),),
        ("> reference.md", "--html > reference.html", "--html --spec petstore.yaml > petstore.html"),
    ),
    Command(
        "doctor",
        "look at everything that can be wrong, and say how to mend it",
        "portkey_bridge.cli.doctor:print_checks",
        examples=("", "--spec petstore.yaml --base-url http://localhost:8080"),
    ),
    Command(
        "check",
        "report what a document offers, what had to be left out or repaired, and where",
        "portkey_bridge.cli.check:print_report",
        (
            Argument("spec", {"nargs": "?", "metavar": "SPEC", "help": "the document, as --spec takes it"}),
            Argument("--json", {"action": "store_true", "help": "print a JSON object"}),
            Argument("--strict", {"action": "store_true", "help": "exit with 1 where there is a finding"}),
        ),
        ("petstore.yaml", "petstore.yaml --strict", "petstore.yaml --json"),
    ),
    Command(
        "inspect",
        "start the official MCP inspector on this server, with these options and this environment",
        "portkey_bridge.cli.inspector:run_inspector",
        examples=("", "--tools listmodels"),
    ),
    Command(
        "completion",
        "print the script that completes commands and options in a shell",
        "portkey_bridge.cli.completion:print_completion",
        (Argument("shell", {"choices": ("bash", "zsh", "fish"), "help": "the shell to write for"}),),
        (
            "bash > ~/.local/share/bash-completion/completions/portkey-bridge",
            'zsh > "${fpath[1]}/_portkey-bridge"',
            "fish > ~/.config/fish/completions/portkey-bridge.fish",
        ),
        serves=False,
    ),
    Command("demo", "show the server at work against an embedded mock of the API", "portkey_bridge.cli.demo:run_demo"),
    Command(
        "mock",
        "answer on the loopback interface as the API would, with made-up data",
        "portkey_bridge.cli.mock:serve_mock",
        (Argument("--port", {"type": int, "metavar": "N", "help": "port to listen on (default: a free one)"}),),
        ("", "--port 8080"),
    ),
    Command(
        "add",
        "set this server up in an MCP client, with the options that are given here",
        "portkey_bridge.cli.clients:add",
        (
            *_CLIENT,
            Argument(
                "--env",
                {
                    "action": "append",
                    "metavar": "KEY[=VALUE]",
                    "help": "a variable for the server, or KEY alone to refer to the environment; "
                    "--KEY=VALUE with KEY in upper case does the same; may be repeated",
                },
            ),
            Argument("--yes", {"action": "store_true", "help": "replace an existing entry without asking"}),
        ),
        (
            "cursor --env X_PORTKEY_API_KEY",
            "claude-desktop --env X_PORTKEY_API_KEY=… --dry-run",
            "./mcp.json --name petstore --spec petstore.yaml",
        ),
    ),
    Command(
        "remove",
        "take this server out of an MCP client",
        "portkey_bridge.cli.clients:remove",
        _CLIENT,
        ("cursor", "cursor --name petstore --dry-run"),
        serves=False,
    ),
    Command(
        "list",
        "show in which MCP clients this server is set up",
        "portkey_bridge.cli.clients:show",
        serves=False,
    ),
)
