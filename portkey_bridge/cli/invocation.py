"""What a command is run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portkey_bridge.serve.warm_start import Opening
from portkey_bridge.settings import Settings


@dataclass(frozen=True)
class Invocation:
    """What a command is run with: the settings, its own options by name, and everything that was typed.

    `opening` is what answers a client until the command does.
    """

    settings: Settings
    options: Mapping[str, Any]
    typed: Sequence[str]
    opening: Opening | None = None
