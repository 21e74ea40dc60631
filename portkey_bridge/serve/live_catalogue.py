"""What a server serves now, under its name, and what runs beside it for as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from portkey_bridge.bridge.tracing import send_remaining
from portkey_bridge.callers.bridges import CALLER
from portkey_bridge.serve.catalogue import Catalogue

#: Seconds in which clients ask for the listing. What only calls need is loaded afterwards.
LISTING_TIME = 0.5


class LiveCatalogue:
    """A name, a version, and the catalogue that is served now.

    `background` runs while anything is served, and `on_close` afterwards; `followers` are told of a new catalogue.
    """

    background: Callable[[], Awaitable[None]] | None = None
    on_close: Callable[[], Awaitable[None]] | None = None

    def __init__(self, name: str, version: str, catalogue: Catalogue) -> None:
        self.name, self.version, self.catalogue = name, version, catalogue
        self.followers: list[Callable[[], Awaitable[None]]] = []
        self._is_running = False

    @property
    def info(self) -> dict[str, str]:
        """What the server says of itself (Model Context Protocol, Implementation)."""
        return {"name": self.name, "version": self.version}

    def current(self) -> Catalogue:
        """Return what is served now to the caller of the request that is being answered."""
        return self.catalogue.of(CALLER.get())

    async def swap(self, catalogue: Catalogue) -> None:
        """Serve another catalogue from now on, and tell the followers. Running calls finish with the old one."""
        before, self.catalogue = self.catalogue, catalogue
        for follow in self.followers:
            await follow()
        await before.aclose(catalogue)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run what runs beside the server, once, however many ask for it; then close the catalogue."""
        if self._is_running:
            yield
            return
        self._is_running = True
        tasks = [asyncio.ensure_future(each()) for each in (self.background, self._prepare) if each]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._is_running = False
            await self.catalogue.aclose()
            if self.on_close:
                await self.on_close()
            await asyncio.to_thread(send_remaining)

    async def _prepare(self) -> None:
        """Load what only calls need, once the client has its listing: it thinks for longer than this takes."""
        await asyncio.sleep(LISTING_TIME)
        for service in self.catalogue.services:
            await service.prepare()
