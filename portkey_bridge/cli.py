"""The command line: words to a person, and exit codes.

0 done; 1 the demo found something wrong; 2 something that the person can mend: an option, a variable, the document.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from portkey_bridge import __version__
from portkey_bridge.document import portkey_document, read_document
from portkey_bridge.errors import SetupError
from portkey_bridge.normalize import normalize
from portkey_bridge.operations import Api, read_api
from portkey_bridge.settings import OPTIONS, Settings, read_settings

EPILOG = """examples:
  portkey-bridge                                   serve the Portkey API over stdio
  portkey-bridge --tools listmodels,createchatcompletion
  portkey-bridge --spec petstore.yaml              serve another API
  portkey-bridge demo                              see it work, without a key or a network
  portkey-bridge mock --port 8080                  answer as the API would, with made-up data
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and what to do about it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"portkey-bridge: {message}; see {self.prog} --help\n")


def entry_point() -> NoReturn:
    """Run the command line as a program."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the command line and give the exit code."""
    parser = _parser()
    _refuse_unknown_options(parser, arguments)
    options = vars(parser.parse_args(arguments))
    command, env_file, port = options.pop("command", None), options.pop("env_file", None), options.pop("port", None)
    try:
        settings = read_settings(options, os.environ, env_file)
        return _run(command, settings, port, arguments)
    except SetupError as error:
        print(f"portkey-bridge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _refuse_unknown_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Name the first option that nobody knows, before argparse takes the word behind it for a command."""
    known = {option.flag for option in OPTIONS} | {"--env-file", "--version", "--help", "-h", "--port"}
    for flag in (argument.partition("=")[0] for argument in arguments if argument.startswith("-")):
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            parser.error(f"unknown option {flag}" + (f", did you mean {near[0]}?" if near else ""))


def _run(command: str | None, settings: Settings, port: int | None, arguments: Sequence[str]) -> int:
    api = load(settings)
    if command == "mock":
        from portkey_bridge.mock import serve_mock

        serve_mock(api, port or 0)
    elif command == "demo":
        from portkey_bridge.demo import run_demo

        return run_demo(api, [argument for argument in arguments if argument != "demo"])
    else:
        from portkey_bridge.server import serve_stdio

        serve_stdio(api, settings)
    return 0


def load(settings: Settings) -> Api:
    """Read the document that the settings name. Raises DocumentError."""
    document = read_document(settings.spec or str(portkey_document()))
    root, repairs = normalize(document)
    api = read_api(root, document.uri)
    for repair in (*repairs, *api.repairs):
        print(f"portkey-bridge: {repair}", file=sys.stderr)
    return api


def _parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for option in OPTIONS:
        text = f"{option.help} ({option.variable})"
        if option.metavar is None:
            shared.add_argument(option.flag, dest=option.field, action="store_true", help=text)
        else:
            shared.add_argument(option.flag, dest=option.field, metavar=option.metavar, help=text)
    shared.add_argument("--env-file", metavar="FILE", help="read variables from FILE instead of .env, and trust it")
    parser = _Parser(
        prog="portkey-bridge",
        description="Serves an API that has an OpenAPI document as tools of the Model Context Protocol, over stdio.",
        epilog=EPILOG,
        parents=[shared],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"portkey-bridge {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    commands.add_parser("demo", parents=[shared], help="show the server at work against an embedded mock of the API")
    mock = commands.add_parser("mock", parents=[shared], help="serve a mock of the API on the loopback interface")
    mock.add_argument("--port", type=int, metavar="N", help="port to listen on (default: a free one)")
    return parser
