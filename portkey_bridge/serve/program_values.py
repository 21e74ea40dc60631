"""Values between tools and programs: plain values of Python, and handles for bytes."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from mcp_types import ContentBlock

from portkey_bridge.response.answer import Answer
from portkey_bridge.response.plain_values import NotPlain, plain_value
from portkey_bridge.response.render import Renderer

#: What marks a dict as a handle; its value is the number of the file.
HANDLE = "fileHandle"


#: How the sandbox writes a call that nobody awaits, which leaves it as a text.
UNAWAITED = re.compile(r"<coroutine external_future\(\d+\)>")


class NotData(ValueError):
    """A value of a program is something that only exists inside of it, such as a function."""


class Values:
    """The values of one program, and the files that it only has handles of."""

    def __init__(self) -> None:
        self._files: list[tuple[Answer, Renderer]] = []

    def of_answer(self, answer: Answer, renderer: Renderer) -> Any:
        """Return the value of an answer, or a handle for its bytes."""
        try:
            return plain_value(answer)
        except NotPlain:
            self._files.append((answer, renderer))
            return {HANDLE: len(self._files), "mediaType": answer.media_type, "bytes": len(answer.body)}

    def as_argument(self, value: Any) -> Any:
        """Return a value of the program as JSON has it; the file of a handle becomes a `data:` URI. Raises NotData."""

        def file(handle: dict[str, Any]) -> str:
            answer, _ = self._files[handle[HANDLE] - 1]
            return data_uri(answer.body, answer.media_type)

        return self._json_value(value, file)

    def as_result(self, value: Any) -> tuple[str, list[ContentBlock]]:
        """Return a value of the program as JSON text, and the content of the handles in it. Raises NotData."""
        blocks: list[ContentBlock] = []

        def shown(handle: dict[str, Any]) -> dict[str, Any]:
            answer, renderer = self._files[handle[HANDLE] - 1]
            blocks.extend(renderer.blocks(answer))
            return handle

        return json.dumps(self._json_value(value, shown), ensure_ascii=False, separators=(",", ":")), blocks

    def _json_value(self, value: Any, of_handle: Callable[[dict[str, Any]], Any]) -> Any:
        """Return a value as JSON has it: other collections as arrays, bytes as `data:` URIs. Raises NotData."""
        match value:
            case dict() if self._is_handle(value):
                return of_handle(value)
            case dict():
                return {str(key): self._json_value(each, of_handle) for key, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._json_value(each, of_handle) for each in value]
            case bytes():
                return data_uri(value)
            case float() if not math.isfinite(value):
                return str(value)
            case str() if UNAWAITED.fullmatch(value):
                raise NotData("A call was not awaited. Write await before call(…).")
            case None | bool() | int() | float() | str():
                return value
            case date():
                return value.isoformat()
        raise NotData(f"{value!r:.80} is not data. Pass and return dicts, lists, texts and numbers.")

    def _is_handle(self, value: dict[Any, Any]) -> bool:
        number = value.get(HANDLE)
        return type(number) is int and 0 < number <= len(self._files)


def data_uri(data: bytes, media_type: str = "") -> str:
    """Return bytes as a `data:` URI (RFC 2397)."""
    return f"data:{media_type or 'application/octet-stream'};base64,{base64.b64encode(data).decode()}"
