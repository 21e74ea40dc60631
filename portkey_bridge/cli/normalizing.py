"""Normalizes the documents of several APIs in a second process, while this one imports the server."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from portkey_bridge.settings.options import Settings
from portkey_bridge.text import is_url


@contextmanager
def documents_ahead(apis: Sequence[Settings]) -> Iterator[None]:
    """Put the normalized documents of several APIs into the cache meanwhile; on leaving, they are there.

    Nothing is done for one API, for documents from URLs, without the cache, or where a process cannot be forked safely.
    """
    child = _forked(apis)
    try:
        yield
    finally:
        if child is not None:
            os.waitpid(child, 0)


def _forked(apis: Sequence[Settings]) -> int | None:
    is_safe = sys.platform == "linux" and threading.active_count() == 1
    if not is_safe or len(apis) < 2 or not apis[0].cache:
        return None
    try:
        child = os.fork()
    except OSError:
        return None
    if child == 0:
        try:
            _normalize(apis)
        finally:
            os._exit(0)  # without what the other process does at its end
    return child


def _normalize(apis: Sequence[Settings]) -> None:
    from portkey_bridge.bridge.load import load_api
    from portkey_bridge.errors import SetupError

    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):  # stdin and stdout are the client's
        os.dup2(nowhere, descriptor)
    for settings in apis:
        if not settings.spec or not is_url(settings.spec):
            with suppress(SetupError, ValueError, RecursionError):  # whoever loads the document will say so
                load_api(replace(settings, pin=False))
