"""The first half of the start: a document is read, brought into the one form, and becomes an Api and its tools."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from portkey_bridge.document import portkey_document, read_document
from portkey_bridge.normalize import normalize
from portkey_bridge.operations import Api, read_api
from portkey_bridge.settings import Settings
from portkey_bridge.terminal import printable
from portkey_bridge.tools import Tool, build_tools, select_tools


def load_api(settings: Settings) -> Api:
    """Read the document that the settings name, and say on stderr what had to be mended. Raises DocumentError."""
    document = read_document(settings.spec or str(portkey_document()))
    root, repairs = normalize(document)
    api = read_api(root, document.uri, server_variables=settings.server_variables)
    warn((*repairs, *api.repairs))
    return api


def load_tools(settings: Settings) -> tuple[Api, list[Tool]]:
    """Read the document and give the tools that the settings select. Raises DocumentError and SettingsError."""
    api = load_api(settings)
    tools, skipped = build_tools(api)
    warn(str(operation) for operation in (*api.skipped, *skipped))
    return api, select_tools(tools, settings)


def warn(problems: Iterable[str]) -> None:
    """Say each problem in one line on stderr."""
    for problem in problems:
        print(f"portkey-bridge: {printable(problem)}", file=sys.stderr)
