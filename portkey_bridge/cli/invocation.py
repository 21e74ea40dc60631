"""The arguments of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portkey_bridge.serve.warm_start import WarmStart
from portkey_bridge.settings import Settings


@dataclass(frozen=True)
class Invocation:
    """The arguments of a command: the settings, its own options by name, and the whole command line.

    `warm_start` answers a client until the command does.
    """

    settings: Settings
    options: Mapping[str, Any]
    typed: Sequence[str]
    warm_start: WarmStart | None = None
