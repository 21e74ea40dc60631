"""The command line: words to a person, and exit codes.

0 done; 1 the command found something wrong; 2 something that the person can mend: an option, a variable, the document;
130 interrupted; 141 nobody reads the output any more. Results go to stdout, words to stderr.
The table COMMANDS is the only place where a command is declared.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NoReturn

from portkey_bridge import __version__
from portkey_bridge.errors import SetupError
from portkey_bridge.opening import Opening
from portkey_bridge.settings import OPTIONS, Settings, read_settings
from portkey_bridge.terminal import printable

DESCRIPTION = "Serves an API that has an OpenAPI document as tools of the Model Context Protocol, over stdio."

EPILOG = """examples:
  portkey-bridge demo                     see it work, without a key or a network
  portkey-bridge add cursor --env X_PORTKEY_API_KEY
                                          set it up in a client (list names them)
  portkey-bridge doctor                   see whether everything is in place
  portkey-bridge tools --grep prompt      look for a tool
  portkey-bridge call listmodels          call one from the shell
  portkey-bridge                          serve the Portkey API to a client
  portkey-bridge --spec petstore.yaml     serve another API
  portkey-bridge check petstore.yaml      see what is wrong with a document

exit codes:
  0  done
  1  the command found something wrong
  2  something to mend: an option, a variable, the document
  130  interrupted, 141  the reader of the output went away
"""


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


@dataclass(frozen=True)
class Invocation:
    """What a command is run with: the settings, its own options by name, and everything that was typed.

    `opening` is what answers a client until the command does.
    """

    settings: Settings
    options: Mapping[str, Any]
    typed: Sequence[str]
    opening: Opening | None = None


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
    "portkey_bridge.server:serve_stdio",
    examples=("", "--spec petstore.yaml", "--tools listmodels,createchatcompletion"),
)

COMMANDS = (
    SERVE,
    Command(
        "call",
        "call one tool and print its result",
        "portkey_bridge.call:call",
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
        "portkey_bridge.listing:print_tools",
        (
            Argument("--grep", {"metavar": "TEXT", "help": "only tools with this regular expression in their words"}),
            Argument("--json", {"action": "store_true", "help": "print a JSON array"}),
        ),
        ("", "--grep 'chat|embedding'", "--tag prompts --json", "--spec petstore.yaml"),
    ),
    Command(
        "schema",
        "show the input schema of a tool as a model sees it",
        "portkey_bridge.listing:print_schema",
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
        "portkey_bridge.listing:print_env",
        examples=("", "--spec petstore.yaml"),
    ),
    Command(
        "docs",
        "write the reference of all tools: Markdown, or one HTML page to search in",
        "portkey_bridge.reference:print_docs",
        (Argument("--html", {"action": "store_true", "help": "write one self-contained HTML page"}),),
        ("> reference.md", "--html > reference.html", "--html --spec petstore.yaml > petstore.html"),
    ),
    Command(
        "doctor",
        "look at everything that can be wrong, and say how to mend it",
        "portkey_bridge.doctor:print_checks",
        examples=("", "--spec petstore.yaml --base-url http://localhost:8080"),
    ),
    Command(
        "check",
        "report what a document offers, what had to be left out or repaired, and where",
        "portkey_bridge.check:print_report",
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
        "portkey_bridge.inspector:run_inspector",
        examples=("", "--tools listmodels"),
    ),
    Command(
        "completion",
        "print the script that completes commands and options in a shell",
        "portkey_bridge.completion:print_completion",
        (Argument("shell", {"choices": ("bash", "zsh", "fish"), "help": "the shell to write for"}),),
        (
            "bash > ~/.local/share/bash-completion/completions/portkey-bridge",
            'zsh > "${fpath[1]}/_portkey-bridge"',
            "fish > ~/.config/fish/completions/portkey-bridge.fish",
        ),
        serves=False,
    ),
    Command("demo", "show the server at work against an embedded mock of the API", "portkey_bridge.demo:run_demo"),
    Command(
        "mock",
        "answer on the loopback interface as the API would, with made-up data",
        "portkey_bridge.mock:serve_mock",
        (Argument("--port", {"type": int, "metavar": "N", "help": "port to listen on (default: a free one)"}),),
        ("", "--port 8080"),
    ),
    Command(
        "add",
        "set this server up in an MCP client, with the options that are given here",
        "portkey_bridge.client_commands:add",
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
        "portkey_bridge.client_commands:remove",
        _CLIENT,
        ("cursor", "cursor --name petstore --dry-run"),
        serves=False,
    ),
    Command(
        "list",
        "show in which MCP clients this server is set up",
        "portkey_bridge.client_commands:show",
        serves=False,
    ),
)

#: The heading of the options that decide what is served and how.
SETTINGS = "settings"

_VARIABLE = re.compile(r"--[A-Z][A-Z0-9_]*=")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and what to do about it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"portkey-bridge: {message}; see {self.prog} --help\n")


def main(typed: Sequence[str], opening: Opening | None = None) -> int:
    """Run the command line and give the exit code. `opening` is what answers a client meanwhile."""
    try:
        status = _run(typed, opening)
        sys.stdout.flush()
    except SetupError as error:
        print(f"portkey-bridge: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as in `portkey-bridge tools | head`
        _close_output()
        return 141
    except OSError as error:
        _close_output()
        print(f"portkey-bridge: the system says {error}. Check where the output goes, and its room.", file=sys.stderr)
        return 2
    return status


def _close_output() -> None:
    """Let the last flush, which Python does at the end, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(typed: Sequence[str], opening: Opening | None) -> int:
    parser = build_parser()
    words = _spelled_out(typed)
    _refuse_unknown_options(parser, words)
    options = vars(parser.parse_args(words))
    name = options.pop("command", None) or SERVE.name
    command = next(command for command in COMMANDS if command.name == name)
    settings = read_settings(options, os.environ, options.get("env_file"))
    if command is not SERVE:
        gc.enable()
    module, _, function = command.run.partition(":")
    run: Callable[[Invocation], int] = getattr(import_module(module), function)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `__main__` has it until all is imported
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(Invocation(settings, options, typed, opening))


def _spelled_out(typed: Sequence[str]) -> Sequence[str]:
    """Spell `--KEY=VALUE` out as `--env=KEY=VALUE` for a command that takes variables."""
    takes = {command.name for command in COMMANDS if any(own.flag == "--env" for own in command.arguments)}
    if takes.isdisjoint(typed):
        return typed
    return ["--env=" + word.removeprefix("--") if _VARIABLE.match(word) else word for word in typed]


def _refuse_unknown_options(parser: argparse.ArgumentParser, typed: Sequence[str]) -> None:
    """Name the first option that nobody knows, before argparse takes the word behind it for a command."""
    own = {argument.flag for command in COMMANDS for argument in command.arguments}
    known = {option.flag for option in OPTIONS} | own | {"--env-file", "--version", "--help", "-h"}
    for flag in (word.partition("=")[0] for word in typed if word.startswith("--")):
        if flag not in known:
            near = [f"{flag}=VALUE"] if flag.isupper() else difflib.get_close_matches(flag, known, n=1)
            parser.error(f"unknown option {flag}" + (f", did you mean {near[0]}?" if near else ""))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Names a command's own options in its usage; the settings, which most commands share, have their section."""

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        own = [action for action in actions if action.container.title != SETTINGS]
        super().add_usage(usage, own, groups, prefix)


#: What every parser here is told.
_MANNERS: Mapping[str, Any] = {
    "formatter_class": _Help,
    "argument_default": argparse.SUPPRESS,
    "allow_abbrev": False,
}


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the whole command line."""
    parser = _Parser(prog="portkey-bridge", description=DESCRIPTION, epilog=EPILOG, **_MANNERS)
    version = f"portkey-bridge {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_settings(parser)
    for command in COMMANDS:
        description = f"{command.help[:1].upper()}{command.help[1:]}."
        subparser = commands.add_parser(
            command.name, help=command.help, description=description, epilog=command.epilog, **_MANNERS
        )
        for argument in command.arguments:
            subparser.add_argument(argument.flag, **argument.details)
        if command.serves:
            _add_settings(subparser)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(SETTINGS, "Each but --env-file has a variable, which it wins over.")
    for option in OPTIONS:
        text = f"{option.help} ({option.variable})"
        if option.metavar is None:
            group.add_argument(option.flag, dest=option.field, action="store_true", help=text)
        else:
            group.add_argument(option.flag, dest=option.field, metavar=option.metavar, help=text)
    group.add_argument("--env-file", metavar="FILE", help="read variables from FILE instead of .env, and trust it")
