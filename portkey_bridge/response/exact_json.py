"""JSON as values and back, with the text that the API sent for each number."""

from __future__ import annotations

from typing import Any

import msgspec


class _Number(float):
    """A number with the text that the API sent."""

    text: str


_Number.__name__ = "float"  # jmespath knows types by their names


def _number(text: str) -> _Number:
    number = _Number(text)
    number.text = text
    return number


_decoder = msgspec.json.Decoder(float_hook=_number)
_encoder = msgspec.json.Encoder(enc_hook=lambda number: msgspec.Raw(number.text.encode()))


def decode_exactly(body: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError, RecursionError."""
    return _decoder.decode(body)


def encode_exactly(value: Any) -> bytes:
    """Return the JSON text of a value."""
    return _encoder.encode(value)
