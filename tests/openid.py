"""A certified OpenID provider on the loopback interface, and a document of its API."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import ROOT
from tests.node import MODULES, node_command


@contextmanager
def running_openid_provider(jwk: str = "{}") -> Iterator[str]:
    """Run the provider until the end of the block, and return its URL; `jwk` is the public key of a client."""
    command = node_command("oidc-provider/lib/index.js", minimum=(20, 0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(MODULES / "oidc-provider/lib/index.js"), str(port), jwk]
    script = str(ROOT / "tests" / "openid_provider.mjs")
    process = subprocess.Popen(
        [command[0], script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def items_document(url: str) -> dict[str, Any]:
    """Return a document of the provider's API, which names the provider's metadata."""
    responses = {"200": {"description": "Fine"}}
    items = {"operationId": "items", "security": [{"openid": ["read"]}], "responses": responses}
    scheme = {"type": "openIdConnect", "openIdConnectUrl": "/.well-known/openid-configuration"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Items", "version": "1"},
        "servers": [{"url": url}],
        "paths": {"/items": {"get": items}},
        "components": {"securitySchemes": {"openid": scheme}},
    }
