"""What is served at one moment: an immutable snapshot, which is replaced as a whole when a document changes.

A running call keeps the one that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from portkey_bridge.bridge.calls import Run
from portkey_bridge.bridge.service import Service
from portkey_bridge.builtin.builtin_tools import Listed
from portkey_bridge.credentials.caller import Caller
from portkey_bridge.serve.garbage import permanent


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The tools of some services: `runs` by their names, and the listing, which is made when a client first asks.

    `asking` are the names of those that may ask the person before they do something. `of_roles` returns the catalogue
    of callers with these roles, in which other tools do not exist. `read_file` returns a
    file from an answer by its `resultId`; None if no answer links to files.
    """

    runs: Mapping[str, Run]
    make_listing: Callable[[], Iterable[Listed]] = tuple
    asking: frozenset[str] = frozenset()
    instructions: str = ""
    services: Sequence[Service] = ()
    read_file: Run | None = None
    of_roles: Callable[[frozenset[str]], Catalogue] | None = None

    def of(self, caller: Caller) -> Catalogue:
        """Return what is served to a caller: what its roles may use, or everything where there are no roles."""
        return self.of_roles(caller.roles) if self.of_roles else self

    @property
    def needs_server(self) -> bool:
        """Whether calls of some tools, or of what they link to, have to be answered by FastMCP's server."""
        return bool(self.asking) or self.read_file is not None

    @cached_property
    def listing(self) -> Mapping[str, Listed]:
        """The entries of the listing by their names: if the list came from the cache, none is ever made."""
        with permanent():
            return {tool.name: tool for tool in self.make_listing()}

    async def aclose(self, following: Catalogue | None = None) -> None:
        """Close the connections to the APIs, those in use after their exchange; what `following` uses stays open."""
        used = [service.bridge.transport for service in following.services] if following else []
        for service in self.services:
            if service.bridge.transport not in used:
                await service.bridge.transport.aclose()
