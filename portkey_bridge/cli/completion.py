"""Prints the script that completes the command line in a shell, made from the parser itself."""

from __future__ import annotations

import argparse
from typing import Any

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.main import build_parser
from portkey_bridge.errors import MissingExtra

try:
    import shtab
except ImportError as error:
    raise MissingExtra("completion", "shtab", "completion") from error

#: Completions of an argument by its metavar. Tools are listed when the key is pressed.
OFFERS: dict[str, Any] = {
    "FILE": shtab.FILE,
    "FILE|URL": shtab.FILE,
    "TOOL": shtab.cmd("portkey-bridge tools 2>/dev/null | cut -f1"),
}


def print_completion(invocation: Invocation) -> int:
    """Print the script for the shell that was named."""
    parser = build_parser()
    for part in _parsers(parser):
        for action in part._actions:
            if action.metavar in OFFERS:
                action.complete = OFFERS[str(action.metavar)]  # type: ignore[attr-defined]  # shtab looks for it
    print(shtab.complete(parser, invocation.options["shell"]))
    return 0


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    commands = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return [parser, *(subparser for action in commands for subparser in action.choices.values())]
