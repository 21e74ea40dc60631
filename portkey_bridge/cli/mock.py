"""The command that serves the mock API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from portkey_bridge.cli.loading import require_api
from portkey_bridge.mock.app import mock_app, mock_listening, server_of

if TYPE_CHECKING:
    from portkey_bridge.cli.invocation import Invocation


def serve_mock(invocation: Invocation) -> int:
    """Serve a mock of the configured document until Ctrl-C. Raises SetupError before it listens."""
    api = require_api(invocation.chosen)
    app = mock_app(api)
    with mock_listening(invocation.options.get("port", 0)) as (listener, url):
        print(f"portkey-bridge serves a mock of {api.title} at {url}", file=sys.stderr)
        server_of(app).run(sockets=[listener])
    return 0
