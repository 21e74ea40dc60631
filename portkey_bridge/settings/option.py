"""How an option is declared: one row for the command line, its variable, the settings file and their help."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar

from portkey_bridge.settings import readers
from portkey_bridge.settings.values import Assigned

T = TypeVar("T")

Dotenv = Literal["refused", "apart", "harmless"]
"""What the `.env` of the working directory may do with an option, since anybody may have written that file.

`harmless` options send, name and open nothing. Those that decide where credentials go, or which ones, are kept `apart`
from the real environment: they may only be combined with credentials of the same file. All others are `refused`.
"""


@dataclass(frozen=True)
class Option:
    """One option of the command line and its variable. Both are named after its field in Settings.

    `read` takes the text and the name of the variable, and raises SettingsError. `metavar` is None for a switch.
    `dotenv` is what the `.env` of the working directory may do with it. One that is `repeatable` is named in the
    singular on the command line; the variable separates its values with commas. `table` is the table of the settings
    file that it stands in: `api` for an option of one API, `serve` for one of the whole server, and empty for neither.
    `bare` is the value of an option that the command line may name without one; its metavar lists the others.
    """

    field: str
    default: Any
    read: Callable[[str, str], Any]
    metavar: str | None
    text: str
    dotenv: Dotenv = "refused"
    repeatable: bool = False
    table: str = "api"
    bare: str | None = None

    @property
    def flag(self) -> str:
        """The command-line option; it turns off a switch that is on by default."""
        name = self.field.removesuffix("s") if self.repeatable else self.field
        return f"--{'no-' if self.default is True else ''}{name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"OPEN_MCP_{self.field.upper()}"

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return type(self.default) in (tuple, frozenset)

    @property
    def separator(self) -> str:
        """What separates the items of a list in its text."""
        return os.pathsep if self.metavar == "DIR" else ","

    def with_paths(self, text: str, change: Callable[[Path], Path]) -> str:
        """Return the text of a value with each path in it changed. A URL and `-`, standard input, are not paths."""
        if self.metavar is None or re.split("[|,]", self.metavar)[0] not in ("FILE", "DIR"):
            return text
        items = [each for each in text.split(self.separator) if each] if self.is_list else [text]
        is_path = [each != "-" and "://" not in each for each in items]
        pairs = zip(items, is_path, strict=True)
        return self.separator.join(str(change(Path(each).expanduser())) if path else each for each, path in pairs)

    @property
    def help(self) -> str:
        """The text of `--help`, with the default filled in."""
        return self.text.replace("{default}", str(self.default))


def option(
    default: T,
    read: Callable[[str, str], T],
    metavar: str | None,
    text: str,
    *,
    dotenv: Dotenv = "refused",
    repeatable: bool = False,
    table: str = "api",
    bare: str | None = None,
) -> T:
    """Declare the option of a field of Settings. What `.env` must not set is the default, so that no row forgets it."""
    return field(default=default, metadata={"option": (default, read, metavar, text, dotenv, repeatable, table, bare)})


def switch(text: str, *, is_on: bool = False, dotenv: Dotenv = "refused", table: str = "api") -> bool:
    """Declare an option without a value: the command line turns it on, or off if it is on by default."""
    return option(is_on, readers.boolean, None, text, dotenv=dotenv, table=table)


def integer(
    default: int, least: int, text: str, *, most: float = inf, dotenv: Dotenv = "refused", table: str = "api"
) -> int:
    """Declare an option that is an integer from `least` to `most`."""
    return option(default, partial(readers.number, least=least, most=most), "N", text, dotenv=dotenv, table=table)


def name_list(text: str, metavar: str = "NAME,…") -> tuple[str, ...]:
    """Declare an option that selects by names."""
    return option((), readers.names, metavar, text, dotenv="harmless")


def oauth_endpoint(text: str) -> str | None:
    """Declare an option that is the URL of an authorization server, or of one of its endpoints."""
    return option(None, readers.endpoint, "URL", text, dotenv="apart")


def assignments(name: re.Pattern[str], text: str) -> tuple[Assigned, ...]:
    """Declare an option that sends the values of variables under names that match."""
    read = partial(readers.assigned_places, name=name)
    return option((), read, "NAME=VARIABLE", text, dotenv="apart", repeatable=True)
