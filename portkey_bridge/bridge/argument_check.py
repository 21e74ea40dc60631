"""Whether the arguments of a call are sent: checked against the document in bounded time, or sent anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from portkey_bridge.errors import ArgumentsError, Violation
from portkey_bridge.request.arguments import Bound
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.lenience import bind_anyway
from portkey_bridge.schema.deadline import OutOfTime, within
from portkey_bridge.settings.options import key_in_file
from portkey_bridge.tools.catalog import Tool

#: Seconds that the check of arguments may take before it goes on in a thread, and altogether.
QUICK_CHECK_SECONDS, CHECK_SECONDS = 0.02, 2.0

#: What is said once about arguments that could be sent, and how to have them sent.
IF_TAKEN, LENIENT = "(If the API takes this nevertheless, {} sends it.)", "--lenient or OPEN_MCP_LENIENT=1"


class Lenience:
    """Decides about arguments that the document does not allow: whether they are sent, and what is said if not.

    `api` is the name of the API in a settings file, if there is one.
    """

    def __init__(self, is_on: bool, api: str = "") -> None:
        self.is_on, self._api = is_on, api
        self._is_mentioned = False

    def bound(self, tool: Tool, arguments: Mapping[str, Any], error: ArgumentsError, sources: Sources) -> Bound:
        """Return the arguments in their places if they are to be sent. Raises ArgumentsError if not.

        The first error of arguments that could be sent mentions the option.
        """
        if not self.is_on and self._is_mentioned:
            raise error
        bound = bind_anyway(tool.name, tool.operation, tool.arguments, arguments, sources)
        if bound is None:
            raise error
        if not self.is_on:
            self._is_mentioned = True
            advice = IF_TAKEN.format(key_in_file(self._api, "lenient", True) or LENIENT)
            raise ArgumentsError(error.tool, error.violations, advice)
        return bound


def sent_anyway(violations: Sequence[Violation]) -> str:
    """Return what is said of arguments that were sent although they violate the document."""
    lines = ("Sent although the document does not allow it:", *(f"- {each}" for each in violations))
    return "\n".join(lines) if violations else ""


async def validated(tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return valid arguments: the usual ones are checked at once, others in a thread, to answer calls meanwhile.

    What cannot be checked in time is left to the API. Raises ArgumentsError.
    """
    try:
        with within(QUICK_CHECK_SECONDS):
            return tool.validate(arguments)
    except OutOfTime:
        return await anyio.to_thread.run_sync(validate_patiently, tool, arguments)


def validate_patiently(tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return valid arguments, which are checked for as long as it may take. Raises ArgumentsError."""
    try:
        with within(CHECK_SECONDS):
            return tool.validate(arguments)
    except OutOfTime as error:
        if error.__cause__ is not None:  # what was found by then
            raise error.__cause__ from None
        return arguments
