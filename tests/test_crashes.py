"""A bug in this program: the client gets one sentence, and whoever asked for it the traceback, without a secret."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest

from portkey_bridge.http.transport import Transport
from portkey_bridge.settings.options import Settings
from tests.conftest import text_of
from tests.support import operation, served

SECRET = "sk-0123456789abcdef"  # noqa: S105  # made up

DOCUMENT = operation("get", "/x", security=[{"key": []}]) | {
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
}


def settings(verbose: bool) -> Settings:
    return Settings(base_url="http://127.0.0.1:9", verbose=verbose, environ={"API_KEY": SECRET})


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each exchange fail with an exception that nobody expects, which has the secret in its message."""

    @asynccontextmanager
    async def exchange(self: Transport, request: Any, until: float) -> Any:
        raise RuntimeError(f"boom {request.headers['authorization']}")
        yield

    monkeypatch.setattr(Transport, "exchange", exchange)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("verbose", [True, False])
async def test_a_crash_is_logged_with_its_traceback(verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """`--verbose` logs the redacted traceback, and no other log does; the client gets one sentence in both cases."""
    async with served(DOCUMENT, settings(verbose)) as client:
        result = await client.call_tool("op", {}, raise_on_error=False)
    assert result.is_error
    text, log = text_of(result), capsys.readouterr().err
    assert text.startswith("op failed because of a bug in portkey-bridge (RuntimeError)")
    assert len(text.splitlines()) == 1
    assert ("Traceback" in log, "RuntimeError: boom" in log, "GET /x failed unexpectedly" in log) == (verbose,) * 3
    assert "cancelled" not in log
    assert SECRET not in text + log


async def test_a_crash_of_a_builtin_tool_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool that sends nothing is guarded in the same way."""
    monkeypatch.setattr("portkey_bridge.builtin.builtin_tools.closest", lambda *_: 1 / 0)
    async with served(DOCUMENT, settings(verbose=True)) as client:
        result = await client.call_tool("expandSchema", {"toolName": "x", "jsonPointers": []}, raise_on_error=False)
    assert result.is_error
    assert "ZeroDivisionError" in text_of(result)
    assert "Traceback" in capsys.readouterr().err


async def test_an_unknown_tool_is_answered_with_the_closest() -> None:
    """The error for a name that no tool has names tools that exist."""
    async with served(DOCUMENT, settings(verbose=False)) as client:
        result = await client.call_tool("expandSchemas", {}, raise_on_error=False)
    assert result.is_error
    assert text_of(result).startswith("Unknown tool: 'expandSchemas'; the closest are expandSchema")
