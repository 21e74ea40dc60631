"""Runs a certified OpenID provider on the loopback interface."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.conftest import ROOT
from tests.node import MODULES, node_command
from tests.replicas import free_port

LIBRARY = "oidc-provider/lib/index.js"


@contextmanager
def openid_provider(key: Mapping[str, Any]) -> Iterator[str]:
    """Run the provider, and yield its URL; `key` is the public key of its client `signing`, as a JWK."""
    node, _ = node_command(LIBRARY, minimum=(20, 0))
    port = free_port()
    script = str(ROOT / "tests" / "openid_provider.mjs")
    process = subprocess.Popen(
        [node, script, str(MODULES / LIBRARY), str(port), json.dumps(key)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
