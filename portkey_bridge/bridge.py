"""The call line: arguments are validated, bound, written as a request, sent, and the answer rendered.

This is the one place that sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastmcp.tools.base import ToolResult

from portkey_bridge.bodies import Sources
from portkey_bridge.errors import CallError, CredentialsError, TransportError
from portkey_bridge.operations import Operation
from portkey_bridge.request import base_url, write_request
from portkey_bridge.response import error_result, render
from portkey_bridge.security import credentials, example_configuration, needs_credential, place, variable
from portkey_bridge.tools import Tool

#: Seconds: a language model may think for minutes before the first byte of its answer.
TIMEOUT = httpx.Timeout(600, connect=10)


@dataclass(frozen=True)
class Bridge:
    """Calls operations. `secrets` maps variables to credentials, `base_url` is None to use the document's servers."""

    client: httpx.AsyncClient = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    base_url: str | None
    document_uri: str
    sources: Sources

    async def call(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
        """Call the operation and give its answer. What goes wrong is a result with `isError` that says what to do."""
        try:
            return await self._call(tool, arguments)
        except CallError as error:
            return error_result(str(error))
        except Exception as error:  # whatever it is: no traceback, which may hold a secret, reaches the client
            return error_result(f"{tool.name} failed inside portkey-bridge ({type(error).__name__}). Please report it.")

    async def _call(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
        tool.validate(arguments)
        bound = tool.bind(arguments)
        filled = {
            place(binding.location, binding.name or "") for binding, value in bound.parameters if value is not None
        }
        if needs_credential(tool.operation.security, self.secrets, filled):
            raise _missing_credentials(tool)
        url = base_url(tool, self.base_url, self.document_uri)
        sent = credentials(tool.operation.security, self.secrets)
        written = write_request(tool, bound, sent, url, self.sources)
        response = await self._send(tool.operation, written.to_httpx())
        return render(tool.operation, response)

    async def _send(self, operation: Operation, request: httpx.Request) -> httpx.Response:
        try:
            return await self.client.send(request)
        except httpx.HTTPError as error:
            reason = TRANSPORT_ERRORS.get(type(error), "the exchange with the API broke off")
            host = request.url.host
            raise TransportError(
                f"{operation.method} {operation.path} at {host} got no answer: {reason} ({type(error).__name__})."
            ) from error


#: What to say of an exchange that failed. httpx's own texts may hold the URL, and a URL may hold a secret.
TRANSPORT_ERRORS: dict[type[httpx.HTTPError], str] = {
    httpx.ConnectError: "there was no connection; check that the host is right and its service runs",
    httpx.ConnectTimeout: "the connection was not accepted in time",
    httpx.ReadTimeout: "the API took too long to answer",
    httpx.RemoteProtocolError: "the API broke off or did not speak HTTP",
    httpx.UnsupportedProtocol: "the server's URL is neither http nor https",
}


def _missing_credentials(tool: Tool) -> CredentialsError:
    alternatives = [
        [name for scheme in alternative if (name := variable(scheme))] for alternative in tool.operation.security
    ]
    return CredentialsError(tool.name, alternatives, example_configuration(alternatives[0]))
