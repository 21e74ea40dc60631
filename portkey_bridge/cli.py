"""The command line: words to a person, and exit codes.

0 done; 1 the command found something wrong; 2 something that the person can mend: an option, a variable, the document.
The table COMMANDS is the only place where a command is declared.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NoReturn

from portkey_bridge import __version__
from portkey_bridge.errors import SetupError
from portkey_bridge.settings import OPTIONS, Settings, read_settings

DESCRIPTION = "Serves an API that has an OpenAPI document as tools of the Model Context Protocol, over stdio."

EPILOG = """examples:
  portkey-bridge                                   serve the Portkey API
  portkey-bridge --tools listmodels,createchatcompletion
  portkey-bridge --spec petstore.yaml              serve another API
  portkey-bridge call listmodels                   call one tool from the shell
  portkey-bridge demo                              see it work, without a key or a network
  portkey-bridge mock --port 8080                  answer as the API would, with made-up data
"""


@dataclass(frozen=True)
class Argument:
    """An argument that only one command takes: its flag or name, and what argparse wants to know about it."""

    flag: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command: `run` is `module:function`, imported when the command is used, and gives the exit code."""

    name: str
    help: str
    run: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class Invocation:
    """What a command is run with: the settings, its own options by name, and everything that was typed."""

    settings: Settings
    options: Mapping[str, Any]
    typed: Sequence[str]


_CLIENT = (
    Argument(
        "client", {"metavar": "CLIENT", "help": "a client by its name (list shows them), or its file by its path"}
    ),
    Argument("--name", {"metavar": "NAME", "help": "name of the entry (default: portkey-bridge)"}),
    Argument("--dry-run", {"action": "store_true", "help": "print the change as a diff, and change nothing"}),
)

SERVE = Command("serve", "serve over stdio (what happens without a command, too)", "portkey_bridge.server:serve_stdio")

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
                    "help": "name=value, or a JSON object, or @FILE with one, or - for one on standard input",
                },
            ),
            Argument(
                "--dry-run",
                {"action": "store_true", "help": "show the request as HTTP and as curl, and send nothing"},
            ),
        ),
    ),
    Command("demo", "show the server at work against an embedded mock of the API", "portkey_bridge.demo:run_demo"),
    Command(
        "mock",
        "answer on the loopback interface as the API would, with made-up data",
        "portkey_bridge.mock:serve_mock",
        (Argument("--port", {"type": int, "metavar": "N", "help": "port to listen on (default: a free one)"}),),
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
    ),
    Command("remove", "take this server out of an MCP client", "portkey_bridge.client_commands:remove", _CLIENT),
    Command("list", "show in which MCP clients this server is set up", "portkey_bridge.client_commands:show"),
)

_VARIABLE = re.compile(r"--[A-Z][A-Z0-9_]*=")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and what to do about it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"portkey-bridge: {message}; see {self.prog} --help\n")


def entry_point() -> NoReturn:
    """Run the command line as a program."""
    sys.exit(main(sys.argv[1:]))


def main(typed: Sequence[str]) -> int:
    """Run the command line and give the exit code."""
    parser = _parser()
    words = _spelled_out(typed)
    _refuse_unknown_options(parser, words)
    options = vars(parser.parse_args(words))
    name = options.pop("command", None) or SERVE.name
    command = next(command for command in COMMANDS if command.name == name)
    try:
        settings = read_settings(options, os.environ, options.pop("env_file", None))
        module, _, function = command.run.partition(":")
        status: int = getattr(import_module(module), function)(Invocation(settings, options, typed))
        return status
    except SetupError as error:
        print(f"portkey-bridge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has gone, and wants no more; nor may the interpreter try to flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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


def _parser() -> argparse.ArgumentParser:
    shared = _shared_options()
    parser = _Parser(
        prog="portkey-bridge",
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[shared],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"portkey-bridge {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name,
            parents=[shared],
            help=command.help,
            description=f"{command.help[:1].upper()}{command.help[1:]}.",
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        for argument in command.arguments:
            subparser.add_argument(argument.flag, **argument.details)
    return parser


def _shared_options() -> _Parser:
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for option in OPTIONS:
        text = f"{option.help} ({option.variable})"
        if option.metavar is None:
            shared.add_argument(option.flag, dest=option.field, action="store_true", help=text)
        else:
            shared.add_argument(option.flag, dest=option.field, metavar=option.metavar, help=text)
    shared.add_argument("--env-file", metavar="FILE", help="read variables from FILE instead of .env, and trust it")
    return shared
