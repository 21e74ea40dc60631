"""The origins that a credential may go to: those that a person bound it to, else those that it was first used with.

A document from a URL may change any day. What it sends a credential to is remembered at the first use, so that a later
version cannot send it elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from platformdirs import user_state_path

from portkey_bridge.document.files import replace_file
from portkey_bridge.settings.options import key_in_file
from portkey_bridge.text import origin_of, shown_url


class Memory:
    """Remembers, in the user's state folder, the origins that a document's credentials were first used with."""

    def __init__(self, document: str) -> None:
        self._key = f"{shown_url(document)} {hashlib.sha256(document.encode()).hexdigest()[:16]}"

    @staticmethod
    def path() -> Path:
        """Return the file, which need not exist."""
        return user_state_path("portkey-bridge") / "origins.json"

    def of(self, variable: str) -> frozenset[str]:
        """Return the origins of a credential; none if it was never used."""
        return frozenset(self._read().get(self._key, {}).get(variable, ()))

    def remember(self, variables: Iterable[str], origins: Iterable[str]) -> None:
        """Remember the origins of credentials that are used for the first time. A read-only folder keeps none."""
        kept = self._read()
        of_document = kept.get(self._key, {})
        new = {variable: sorted(origins) for variable in variables if variable not in of_document}
        if new:
            content = json.dumps({**kept, self._key: {**of_document, **new}}, indent=1)
            with suppress(OSError):
                replace_file(self.path(), content.encode())

    def _read(self) -> dict[str, dict[str, list[str]]]:
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            return msgspec.json.decode(self.path().read_bytes(), type=dict[str, dict[str, list[str]]])
        return {}


@dataclass(frozen=True)
class Origins:
    """Decides whether a credential may go to an origin.

    `bound` are the origins that a person bound variables to, `memory` has those of a document whose servers may change,
    and `home` are the origins that its operations are sent to now. `api` is the name of the API in a settings file.
    """

    bound: Mapping[str, Collection[str]] = field(default_factory=dict)
    memory: Memory | None = None
    home: frozenset[str] = frozenset()
    api: str = ""

    def refusal(self, variable: str, origin: str) -> str | None:
        """Return why a credential may not go to an origin, and how to accept that; None if it may."""
        if variable in self.bound:
            known, how = self.bound[variable], "is bound to"
        elif self.memory is not None:
            known, how = self.memory.of(variable), "was first used for"
        else:
            return None
        if not known or origin in known:
            return None
        name = f"{variable}@{origin}"
        option = f"--credentials {name} or set OPEN_MCP_CREDENTIALS={name}"
        accept = key_in_file(self.api, "credentials", name) or option
        return (
            f"{variable} {how} {' and '.join(sorted(known))}, and this request goes to {origin}; to accept that, use "
            f"{accept}"
        )

    def refusals(self, variables: Iterable[str], url: str | None) -> dict[str, str]:
        """Return those of the variables that may not go to a URL, each with the reason and how to accept that."""
        origin = origin_of(url)
        return {name: why for name in variables if origin and (why := self.refusal(name, origin))}

    def used(self, variables: Collection[str]) -> None:
        """Remember where these variables may go, if that is not known yet."""
        if self.memory is not None and (new := [name for name in variables if name not in self.bound]):
            self.memory.remember(new, self.home)
