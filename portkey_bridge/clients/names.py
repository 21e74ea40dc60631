"""The name under which a server is entered in a client's file.

Clients put it before each tool's name, `mcp__NAME__TOOL`, and models take 64 characters: a name is short.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from portkey_bridge.clients.entries import command_line, starts_this_program
from portkey_bridge.clients.registry import PROGRAM, KnownClient
from portkey_bridge.errors import SettingsError

#: The name of the entry that serves the Portkey API, and the name of every entry that earlier versions wrote.
DEFAULT_ENTRY, EARLIER_ENTRY = "portkey", PROGRAM

#: Characters of the longest name.
MAX_ENTRY_NAME = 8

#: Words of titles and file names that do not tell one API from another.
GENERIC = re.compile(
    r"v?\d+|an?|and|apis?|by|definition|docs?|for|https?|json|of|open|openapi|rest|restful|schema|server|services?"
    r"|spec|specification|swagger|the|v|ya?ml"
)


def short_name(title: str, source: str) -> str:
    """Return the short name of a document: the first words of its title, else of its file, else `api`."""
    file = PurePosixPath(unquote(urlsplit(source).path).replace("\\", "/")).stem
    return _short(title) or _short(file) or "api"


def _short(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z0-9]+", plain) if not GENERIC.fullmatch(word)]
    # Some clients put nothing before it in the names of tools, which begin with a letter for Gemini.
    return "-".join(words).lstrip("0123456789-")[:MAX_ENTRY_NAME].strip("-")


def name_for_adding(
    client: KnownClient, entries: Mapping[str, Mapping[str, Any]], name: str, arguments: list[str]
) -> str:
    """Return the name of a new entry: that of an entry of an earlier version if it serves the same document."""
    earlier = entries.get(EARLIER_ENTRY)
    if name in entries or earlier is None or not starts_this_program(client, earlier):
        return name
    return EARLIER_ENTRY if _spec_in(command_line(client, earlier)) == _spec_in(arguments) else name


def name_for_removing(client: KnownClient, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the entry to remove if none was named. Raises SettingsError if several could be intended."""
    ours = [name for name, entry in entries.items() if starts_this_program(client, entry)]
    known = [name for name in (DEFAULT_ENTRY, EARLIER_ENTRY) if name in ours]
    if not known and len(ours) > 1:
        raise SettingsError(f"--name: {client.title} has {', '.join(ours)}. Name the one to remove.")
    return (known or ours or [DEFAULT_ENTRY])[0]


def _spec_in(words: list[str]) -> str | None:
    """Return the document that a command line serves, or None for the Portkey API."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.partition("=")[0] == "--spec":
            return word.partition("=")[2] or following
    return None
