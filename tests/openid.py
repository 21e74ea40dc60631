"""A certified OpenID provider on the loopback interface, and a document of its API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.node import MODULES, node_command
from tests.replicas import free_port
from tests.support import serving_with

#: The table of a server at `{site}` that issues tokens itself to those who log in at the provider at `{url}`.
OIDC_PROXY = """
[serve.auth]
provider = "oidc-proxy"
base_url = "{site}"
config_url = "{url}/.well-known/openid-configuration"
client_id = "bridge"
client_secret = "$BRIDGE_SECRET"
verify_id_token = true
required_scopes = ["openid"]
forward_resource = false
enable_cimd = false
"""
BRIDGE_SECRET = {"BRIDGE_SECRET": "bridge-S3CRET"}


@contextmanager
def running_openid_provider(jwk: str = "{}") -> Iterator[str]:
    """Run the provider until the end of the block, and return its URL; `jwk` is the public key of a client."""
    command = node_command("oidc-provider/lib/index.js", minimum=(20, 0))
    port = free_port()
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


@contextmanager
def serving_logins(folder: Path, provider: str, *arguments: str) -> Iterator[str]:
    """Run a server that people log in to at the provider, and once more to its API; return the URL of its endpoint."""
    (folder / "items.json").write_text(json.dumps(items_document(provider)))
    address = f"127.0.0.1:{free_port()}"
    table = '[api.main]\nprefix = ""\nspec = "items.json"\noauth_caller_login = true\n'
    (folder / "team.toml").write_text(table + OIDC_PROXY.format(site=f"http://{address}", url=provider))
    env = {**BRIDGE_SECRET, "OAUTH_CLIENT_ID": "team", "OAUTH_CLIENT_SECRET": "team-S3CRET-1"}
    with serving_with(folder, "--config", "team.toml", "--http", address, *arguments, env=env) as (url, _):
        yield url


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
