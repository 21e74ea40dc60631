"""The first half of the start: read a document, normalize it, and read its operations.

Normalizing is slow, so its result is cached. The name of the entry covers this program and the bytes of the document;
the entry itself has the state of every other resource that the document refers to.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache as memoized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from portkey_bridge.document import cache
from portkey_bridge.document.content import Content
from portkey_bridge.document.sources import (
    Read,
    is_file,
    others_of,
    path_of,
    portkey_document,
    read_overlay,
    read_source,
)
from portkey_bridge.errors import DocumentError
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import is_url, printable

if TYPE_CHECKING:
    from portkey_bridge.document.access import Access


class CachedDocument(msgspec.Struct):
    """A normalized document, what was repaired in it, and the state of each other resource that it refers to.

    The state of a resource is a digest, or the message that explains why it cannot be read.
    """

    root: dict[str, Any]
    repairs: list[str]
    others: dict[str, str]


def load_api(settings: Settings, *, from_copy: bool = False) -> Api:
    """Read the document that the settings name, or the last good copy of one from a URL. Raises DocumentError."""
    access = access_to(settings)
    content = read_source(settings.spec or str(portkey_document()), access, from_copy=from_copy)
    overlays = [*map(read_overlay, settings.overlays)]
    form = normalized(content, settings.allow_refs, overlays, access, from_copy=from_copy)
    api = read_api(form.root, content.uri, server_variables=settings.server_variables, is_curated=bool(overlays))
    repairs = (*content.notes, *form.repairs, *api.repairs)
    resources = (content.uri, *(each.uri for each in overlays), *form.others)
    is_copy = from_copy and not all(map(is_file, resources))
    api = replace(api, repairs=repairs, resources=resources, from_copy=is_copy)
    if not settings.pin:
        return api
    from portkey_bridge.bridge.pin import pinned

    return pinned(api, settings)


def named_files(settings: Settings) -> list[Path]:
    """Return the files that a person named for an API: its document and overlays, as named, even if they are links."""
    source = settings.spec or str(portkey_document())
    document = [] if is_url(source) else [path_of(source) if is_file(source) else Path(source)]
    return [*document, *settings.overlays]


def access_to(settings: Settings) -> Access | None:
    """Return how a document from a URL is requested; None for one that is not. Raises SettingsError."""
    if settings.spec is None or not is_url(settings.spec):
        return None
    from portkey_bridge.credentials.access import access_of

    return access_of(settings, settings.spec)


def normalized(
    content: Content,
    allowed: Collection[str],
    overlays: Sequence[Content] = (),
    access: Access | None = None,
    *,
    from_copy: bool = False,
) -> CachedDocument:
    """Return the normalized document after its overlays, from the cache if nothing has changed. Raises DocumentError.

    The document may refer to other resources on the `allowed` hosts, and to those that `access` is about.
    """
    read_from = [part for each in (content, *overlays) for part in (each.source.encode(), each.uri.encode(), each.data)]
    name = cache.name_of("form", (*cache.program(), *read_from))
    read_other = memoized(others_of(content.uri, allowed, access, from_copy=from_copy))
    form = _load(name)
    if form and all(_is_unchanged(read_other, uri, state) for uri, state in form.others.items()):
        return form
    form = _normalize(content, read_other, overlays)
    _save(name, form)
    return form


def _normalize(content: Content, read_other: Read, overlays: Sequence[Content]) -> CachedDocument:
    from portkey_bridge.document.parse import Document, document_of, resource_of
    from portkey_bridge.openapi.normalize import normalize
    from portkey_bridge.openapi.overlay import overlaid, tighten

    others: dict[str, str] = {}

    def retrieve(uri: str) -> Document:
        try:
            other = read_other(uri)
        except (DocumentError, ValueError) as error:
            others[uri] = str(error)
            raise
        others[uri] = _state(other)
        document = resource_of(other)
        if overlays:
            tighten(document.root)
        return replace(document, repairs=(*other.notes, *document.repairs))

    root, repairs = normalize(overlaid(document_of(content), overlays), retrieve)
    return CachedDocument(root, list(repairs), others)


def _is_unchanged(read_other: Read, uri: str, state: str) -> bool:
    try:
        return _state(read_other(uri)) == state
    except (DocumentError, ValueError) as error:
        return str(error) == state


def _state(other: Content) -> str:
    return " ".join((hashlib.sha256(other.data).hexdigest(), *other.notes))


def _load(name: str) -> CachedDocument | None:
    content = cache.read_entry(name)
    return msgspec.msgpack.decode(content, type=CachedDocument) if content else None


def _save(name: str, form: CachedDocument) -> None:
    try:
        cache.write(name, msgspec.msgpack.encode(form))
    except (OverflowError, UnicodeEncodeError):
        return  # a number of more than 64 bits, or half a surrogate pair: MessagePack has neither


def warn(problems: Iterable[str]) -> None:
    """Print each problem in one line on stderr."""
    for problem in problems:
        print(f"portkey-bridge: {printable(problem)}", file=sys.stderr)
