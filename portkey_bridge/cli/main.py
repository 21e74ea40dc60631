"""The command line: parses options, runs a command, and turns errors into messages and exit codes.

Exit codes: 0 done; 1 the command found a problem; 2 an invalid option, variable or document; 130 interrupted; 141 the
output was closed early. Results go to stdout, messages to stderr.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

from portkey_bridge import __version__
from portkey_bridge.cli.commands import COMMANDS, SERVE, Command
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.normalizing import documents_ahead
from portkey_bridge.document import cache
from portkey_bridge.errors import SettingsError, SetupError
from portkey_bridge.settings.file import read_config
from portkey_bridge.settings.option import Option
from portkey_bridge.settings.options import OPTIONS
from portkey_bridge.settings.topics import TOPICS
from portkey_bridge.stdio.warm_start import WarmStart
from portkey_bridge.text import printable

PROGRAM_DESCRIPTION = "Turns any API that has an OpenAPI document into MCP tools, and serves them over stdio or HTTP."

EPILOG = """examples:
  portkey-bridge demo                     see it work, without a key or a network
  portkey-bridge add cursor --env X_PORTKEY_API_KEY
                                          set it up in an MCP client
  portkey-bridge doctor                   diagnose problems
  portkey-bridge tools --grep prompt      look for a tool
  portkey-bridge call listmodels          call one from the shell
  portkey-bridge                          serve the Portkey API to a client
  portkey-bridge --spec petstore.yaml     serve another API
  portkey-bridge check petstore.yaml      see what is wrong with a document

exit codes:
  0  done
  1  the command found a problem
  2  invalid option, variable or document
  130  interrupted
  141  output closed early, as by head
"""

#: Heading of the options that all serving commands share.
SETTINGS = "settings"

_VARIABLE = re.compile(r"--[A-Z][A-Z0-9_]*=")


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line that points to `--help`."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"portkey-bridge: {message}; see {self.prog} --help\n")


def main(typed: Sequence[str], warm_start: WarmStart | None = None) -> int:
    """Run the command line and return the exit code. `warm_start` answers a client until the command takes over."""
    try:
        _refuse_unusable_process()
        status = _run(typed, warm_start)
        sys.stdout.flush()
    except SetupError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as in `portkey-bridge tools | head`
        _close_output()
        return 141
    except UnicodeEncodeError as error:
        _close_output()
        character = ascii(error.object[error.start])
        return _failed(f"{character} cannot be written in {error.encoding}; set PYTHONIOENCODING=utf-8")
    except OSError as error:
        _close_output()
        return _failed(f"cannot write output: {error}")
    return status


def _failed(problem: str) -> int:
    print(f"portkey-bridge: {printable(problem)}", file=sys.stderr)
    return 2


def _refuse_unusable_process() -> None:
    """Raise SettingsError if stdout is closed or the working directory was deleted."""
    if sys.stdout is None:
        raise SettingsError("standard output is closed. Redirect it to /dev/null if you do not need it.")
    try:
        Path.cwd()
    except OSError as error:
        raise SettingsError(f"the working directory cannot be used ({error.strerror}). Start in another.") from error


def _close_output() -> None:
    """Discard what is left in the buffer, which Python would flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(typed: Sequence[str], warm_start: WarmStart | None) -> int:
    words = _spelled_out(typed)
    parser = build_parser([command for command in COMMANDS if command.name in words])
    _refuse_unknown_options(parser, words)
    options = vars(parser.parse_args(words))
    name = options.pop("command", None) or SERVE.name
    command = next(command for command in COMMANDS if command.name == name)
    apis = read_config(options, os.environ, options.get("env_file"))
    cache.set_enabled(apis[0].cache)
    if command is not SERVE:
        gc.enable()
    module, _, function = command.run.partition(":")
    with documents_ahead(apis if command is SERVE else ()):
        run: Callable[[Invocation], int] = getattr(import_module(f"portkey_bridge.cli.{module}"), function)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # set by `__main__` for the imports
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(Invocation(apis, options, typed, warm_start))


def _spelled_out(typed: Sequence[str]) -> Sequence[str]:
    """Return the words with the values that may be left out, and for a command that takes variables, with `--env`.

    `--KEY=VALUE` is short for `--env=KEY=VALUE`.
    """
    typed = [_with_value(*pair) for pair in zip_longest(typed, typed[1:], fillvalue="")]
    takes = {command.name for command in COMMANDS if any(own.flag == "--env" for own in command.arguments)}
    if takes.isdisjoint(typed):
        return typed
    return ["--env=" + word.removeprefix("--") if _VARIABLE.match(word) else word for word in typed]


def _with_value(word: str, following: str) -> str:
    option = next((each for each in OPTIONS if each.bare and each.flag == word), None)
    if option is None or following in (option.metavar or "").split("|"):
        return word
    return f"{word}={option.bare}"


def _refuse_unknown_options(parser: argparse.ArgumentParser, typed: Sequence[str]) -> None:
    """Report the first unknown option, before argparse takes the word after it for a command."""
    own = {argument.flag for command in COMMANDS for argument in command.arguments}
    known = {option.flag for option in OPTIONS} | own | {"--env-file", "--version", "--help", "-h"}
    for flag in (word.partition("=")[0] for word in typed if word.startswith("--")):
        if flag not in known:
            near = [f"{flag}=VALUE"] if flag.isupper() else difflib.get_close_matches(flag, known, n=1)
            parser.error(f"unknown option {flag}" + (f", did you mean {near[0]}?" if near else ""))


class _Joined(argparse.Action):
    """Joins the values of a repeated option with commas, as its variable has them."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Add a value."""
        before = getattr(namespace, self.dest, "")
        setattr(namespace, self.dest, f"{before},{values}" if before else values)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Shows a command's own options in its usage, without the settings, which have a section of their own."""

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        own = [action for action in actions if not str(action.container.title).startswith(SETTINGS)]
        super().add_usage(usage, own, groups, prefix)


#: Arguments of every parser.
_PARSER: Mapping[str, Any] = {"formatter_class": _Help, "argument_default": argparse.SUPPRESS, "allow_abbrev": False}


def build_parser(complete: Collection[Command] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the command line. Only the commands in `complete` have their options, which take long."""
    parser = _Parser(prog="portkey-bridge", description=PROGRAM_DESCRIPTION, epilog=EPILOG, **_PARSER)
    version = f"portkey-bridge {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_settings(parser)
    for command in COMMANDS:
        description = f"{command.help[:1].upper()}{command.help[1:]}."
        subparser = commands.add_parser(
            command.name, help=command.help, description=description, epilog=command.epilog, **_PARSER
        )
        if command in complete:
            for argument in command.arguments:
                subparser.add_argument(argument.flag, **argument.details)
            if command.serves:
                _add_settings(subparser)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group(SETTINGS, "Every option except --env-file overrides an environment variable.")
    by_field = {option.field: option for option in OPTIONS}
    for topic, named in TOPICS.items():
        group = parser.add_argument_group(f"{SETTINGS}: {topic}")
        for field in named.split():
            _add_option(group, by_field[field])
    group.add_argument("--env-file", metavar="FILE", help="read variables from FILE instead of .env, and trust it")


def _add_option(group: Any, option: Option) -> None:
    text = f"{option.help} ({option.variable}{'=0' if option.default is True else ''})"
    if option.metavar is None:
        value = "0" if option.default else "1"
        group.add_argument(option.flag, dest=option.field, action="store_const", const=value, help=text)
    else:
        action = _Joined if option.repeatable else "store"
        group.add_argument(option.flag, dest=option.field, metavar=option.metavar, action=action, help=text)
