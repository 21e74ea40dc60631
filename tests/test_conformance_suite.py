"""The official conformance suite judges the server over HTTP.

Its scenarios call tools of fixed names, so the document here has operations of these names as far as an API can have
such answers. `EXCEPTIONS` says why each of the others cannot pass.
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
    "test_tool_with_progress": (
        200,
        {"content-type": "text/event-stream"},
        b"data: one\n\ndata: two\n\ndata: three\n\n",
    ),
    "test_error_handling": (500, {"content-type": "text/plain"}, b"This tool intentionally returns an error"),
}

NO_PROMPTS = "an API has no prompts"
NO_RESOURCES = "wants the resources of its fixture, with URIs of its own; here they are files from answers"
ASKS = "wants a question during a call, which needs a session in the handshake era; this server keeps none"

#: The scenarios that cannot pass, and why.
EXCEPTIONS = {
    "completion-complete": NO_PROMPTS,
    "tools-call-mixed-content": "wants a result of text, image and resource; an answer has one body",
    "tools-call-with-logging": "wants messages of a log during a call; an API sends its client none",
    "tools-call-sampling": ASKS,
    "tools-call-elicitation": ASKS,
    "elicitation-sep1034-defaults": ASKS,
    "elicitation-sep1330-enums": ASKS,
    "json-schema-2020-12": "wants `$schema` and `$defs` in a listing, whose schemas are views without them",
    "resources-read-text": NO_RESOURCES,
    "resources-read-binary": NO_RESOURCES,
    "resources-templates-read": NO_RESOURCES,
    "resources-subscribe": NO_RESOURCES,
    "resources-unsubscribe": NO_RESOURCES,
    "prompts-get-simple": NO_PROMPTS,
    "prompts-get-with-args": NO_PROMPTS,
    "prompts-get-embedded-resource": NO_PROMPTS,
    "prompts-get-with-image": NO_PROMPTS,
}


@pytest.mark.slow
def test_the_suite_passes(recorder: Recorder, tmp_path: Path) -> None:
    """Every scenario is passed but for those that need what an API cannot have."""
    suite = node_command("@modelcontextprotocol/conformance/dist/index.js", (22, 19))
    recorder.answers = {f"/{name}": answer for name, answer in ANSWERS.items()}
    paths: dict[str, Any] = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in ANSWERS}
    with serving(tmp_path, document(paths, servers=[{"url": recorder.url}])) as (url, _):
        command = [*suite, "server", "--suite", "all", "--url", url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    marks = {name: mark for mark, name in re.findall(r"^([✓✗]) (\S+): \d+ passed", done.stdout, re.MULTILINE)}
    assert len(marks) > len(EXCEPTIONS), done.stdout[-4000:]
    assert {name for name, mark in marks.items() if mark == "✗"} == set(EXCEPTIONS), done.stdout[-4000:]
