"""The arguments of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.options import Settings
from portkey_bridge.stdio.warm_start import WarmStart
from portkey_bridge.tools.names import closest


@dataclass(frozen=True)
class Invocation:
    """The arguments of a command: the settings of each API, its own options by name, and the whole command line.

    `warm_start` answers a client until the command does.
    """

    apis: Sequence[Settings]
    options: Mapping[str, Any]
    typed: Sequence[str]
    warm_start: WarmStart | None = None

    @property
    def settings(self) -> Settings:
        """The settings, for a command about one API. Raises SettingsError if the settings file has several."""
        if len(self.apis) > 1:
            names = ", ".join(settings.name for settings in self.apis)
            raise SettingsError(
                f"this command is about one API, and the settings file has several: {names}. Name a document with "
                "--spec."
            )
        return self.apis[0]

    @property
    def chosen(self) -> Settings:
        """The settings of the API that the command names, else of the only one. Raises SettingsError."""
        name, names = self.options.get("api"), [settings.name for settings in self.apis]
        if name is None and len(names) > 1:
            raise SettingsError(f"the settings file has several APIs: {', '.join(names)}. Name one of them.")
        if name is not None and name not in names:
            raise SettingsError(f"there is no API {name!r}; {closest(name, names)}.")
        return self.apis[0 if name is None else names.index(name)]
