"""mcp-contextforge-gateway as something to measure beside: started with a secret of its own, and one tool registered.

It knows no OpenAPI documents, so its tool is described here.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from bench.installed import CONTEXTFORGE

BIN = CONTEXTFORGE.program.parent

ADMIN = "admin@example.com"


def settings(folder: Path) -> Mapping[str, str]:
    """Return the variables of a server that keeps everything in a folder."""
    passwords = ("BASIC_AUTH_PASSWORD", "PLATFORM_ADMIN_PASSWORD", "DEFAULT_USER_PASSWORD")
    return {
        "HOME": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        "MCPGATEWAY_UI_ENABLED": "false",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        **{name: f"Xx1-{secrets.token_urlsafe(18)}" for name in passwords},
        "CACHE_TYPE": "memory",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "USE_STATEFUL_SESSIONS": "false",
        "JSON_RESPONSE_ENABLED": "true",
        "RATE_LIMITING_ENABLED": "false",
        "LOG_LEVEL": "ERROR",
    }


def command(port: int) -> tuple[str, ...]:
    """Return how it is started."""
    return (str(CONTEXTFORGE.program), "--host", "127.0.0.1", "--port", str(port))


def register(url: str, env: Mapping[str, str], tool: str, api: str) -> str:
    """Register a tool for `api`, and return the header that a call needs."""
    script = ("-m", "mcpgateway.utils.create_jwt_token", "--username", ADMIN, "--admin", "--exp", "60")
    made = [str(BIN / "python"), *script, "--secret", env["JWT_SECRET_KEY"]]
    done = subprocess.run(made, env={**env}, cwd=env["HOME"], capture_output=True, text=True, check=True)  # noqa: S603
    header = f"authorization: Bearer {done.stdout.split()[-1]}"
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    described = {"name": tool, "url": api, "integration_type": "REST", "request_type": "GET", "input_schema": schema}
    request = urllib.request.Request(  # noqa: S310  # of this machine
        f"{url}/tools",
        json.dumps({"tool": {**described, "visibility": "public"}}).encode(),
        {"content-type": "application/json", "authorization": header.partition(": ")[2]},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        answer.read()
    return header
