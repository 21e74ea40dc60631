"""Values between tools and programs: JSON text, and handles for bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from portkey_bridge.response.answer import Answer
from portkey_bridge.response.plain_values import NotPlain, plain_value
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.tool_result import ContentBlock

#: What marks a dict as a handle; its value is the number of the file.
HANDLE = "fileHandle"

#: Bytes that a value may need at most for each character of its JSON text.
BYTES_PER_CHARACTER = 16

#: Files that a result shows; of others it has only handles.
MAX_SHOWN_FILES = 10


class RefusedValue(ValueError):
    """A value of a program is too large or nested too deep."""


class Values:
    """The values of one program, and the files that it only has handles of.

    Neither the files together nor the arguments of one call may have more than `limit` bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: list[tuple[Answer, Renderer]] = []

    def of_answer(self, answer: Answer, renderer: Renderer) -> Any:
        """Return the value of an answer, or a handle for its bytes. Raises Refused."""
        try:
            return plain_value(answer)
        except NotPlain:
            if sum(len(kept.body) for kept, _ in self._files) + len(answer.body) > self._limit:
                raise RefusedValue(f"The files of this program exceed its memory of {self._limit:,} bytes.") from None
            self._files.append((answer, renderer))
            return self._handle(len(self._files))

    def of_text(self, written: str) -> Any:
        """Return what a program passes on as JSON; the file of a handle becomes a `data:` URI. Raises Refused."""
        room = self._limit - len(written) * BYTES_PER_CHARACTER
        if room < 0:
            raise RefusedValue(f"The arguments may have {self._limit // BYTES_PER_CHARACTER:,} characters.")

        def file(number: int) -> str:
            nonlocal room
            answer, _ = self._files[number - 1]
            room -= 2 * len(answer.body)
            if room < 0:
                raise RefusedValue(f"The files of a call exceed the memory of {self._limit:,} bytes.")
            return data_uri(answer.body, answer.media_type)

        try:
            value = json.loads(written)
            return self._each_file(value, file) if self._files else value
        except RecursionError:
            raise RefusedValue("The arguments are nested too deep.") from None

    def blocks(self, written: str) -> list[ContentBlock]:
        """Return the content of the files that a result in JSON has handles of."""
        shown: dict[int, None] = {}
        if self._files and f'"{HANDLE}"' in written and len(written) * BYTES_PER_CHARACTER <= self._limit:
            try:
                self._each_file(json.loads(written), lambda number: shown.setdefault(number))
            except RecursionError:
                return []
        files = (self._files[number - 1] for number in islice(shown, MAX_SHOWN_FILES))
        return [block for answer, renderer in files for block in renderer.blocks(answer)]

    def _each_file(self, value: Any, of_file: Callable[[int], Any]) -> Any:
        """Return a value with something else instead of each handle."""
        if isinstance(value, list):
            return [self._each_file(each, of_file) for each in value]
        if not isinstance(value, dict):
            return value
        number = value.get(HANDLE)
        if type(number) is int and 0 < number <= len(self._files) and value == self._handle(number):
            return of_file(number)
        return {key: self._each_file(each, of_file) for key, each in value.items()}

    def _handle(self, number: int) -> dict[str, Any]:
        answer, _ = self._files[number - 1]
        return {HANDLE: number, "mediaType": answer.media_type, "bytes": len(answer.body)}


def data_uri(data: bytes, media_type: str = "") -> str:
    """Return bytes as a `data:` URI (RFC 2397)."""
    return f"data:{media_type or 'application/octet-stream'};base64,{base64.b64encode(data).decode()}"
