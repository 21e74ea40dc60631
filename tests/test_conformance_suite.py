"""The official conformance suite judges the server over HTTP.

Its scenarios call tools of fixed names, so the document here has operations of these names as far as an API can have
such answers. Left out are what this server does not offer: prompts, resources and completions of its own, sampling, and
tools that log or ask by themselves. The suite wants progress with totals that it knows; an API's stream has none.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Recorder
from tests.node import node_command
from tests.support import document, serving

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"

#: The answer of the API to each tool of the suite.
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "test_simple_text": (200, {"content-type": "text/plain"}, b"This is a simple text response for testing."),
    "test_image_content": (200, {"content-type": "image/png"}, PNG),
    "test_audio_content": (200, {"content-type": "audio/wav"}, b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0"),
    "test_embedded_resource": (200, {"content-type": "application/octet-stream"}, b"\0\1\2"),
    "test_error_handling": (500, {"content-type": "text/plain"}, b"This tool intentionally returns an error"),
}

SCENARIOS = [
    *("server-initialize", "logging-set-level", "ping", "tools-list", "resources-list", "prompts-list"),
    *("tools-call-simple-text", "tools-call-image", "tools-call-audio", "tools-call-embedded-resource"),
    *("tools-call-error", "server-sse-multiple-streams", "dns-rebinding-protection"),
]


@pytest.mark.slow
def test_the_suite_passes(recorder: Recorder, tmp_path: Path) -> None:
    """Every scenario that does not need a feature which an API cannot have is passed."""
    suite = node_command("@modelcontextprotocol/conformance/dist/index.js", (22, 19))
    recorder.answers = {f"/{name}": answer for name, answer in ANSWERS.items()}
    paths: dict[str, Any] = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in ANSWERS}
    with serving(tmp_path, document(paths, servers=[{"url": recorder.url}])) as (url, _):
        done = subprocess.run(
            [*suite, "server", "--url", url], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
    passed = re.findall(r"✓ (\S+): \d+ passed, 0 failed", done.stdout)
    assert [name for name in SCENARIOS if name not in passed] == [], done.stdout[-4000:]
