"""The first half of the start: a document is read, brought into the one form, and becomes an Api and its tools.

The one form of a document is dear to make, and is kept: under a name that is made of this program and the document's
own bytes, and with the state of all that it refers to.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import cache as memoized
from typing import Any

import msgspec

from portkey_bridge.document import cache
from portkey_bridge.document.content import Content
from portkey_bridge.document.sources import Read, others_of, portkey_document, read
from portkey_bridge.errors import DocumentError
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.settings import Settings
from portkey_bridge.text import printable


class OneForm(msgspec.Struct):
    """A document in the one form, what was mended in it, and the state of each other resource that it refers to.

    The state of a resource is a digest, or the words that say why it can't be had.
    """

    root: dict[str, Any]
    repairs: list[str]
    others: dict[str, str]


def load_api(settings: Settings) -> Api:
    """Read the document that the settings name. Raises DocumentError."""
    content = read(settings.spec or str(portkey_document()))
    form = one_form(content, settings.allow_refs)
    api = read_api(form.root, content.uri, server_variables=settings.server_variables)
    repairs = (*content.notes, *form.repairs, *api.repairs)
    return replace(api, repairs=repairs, resources=(content.uri, *form.others))


def one_form(content: Content, allowed: Collection[str]) -> OneForm:
    """Bring a document into the one form, or give the form that was kept if nothing has changed. Raises DocumentError.

    `allowed` hosts may be asked for others that it refers to.
    """
    name = cache.name_of("form", (*cache.program(), content.source.encode(), content.uri.encode(), content.data))
    read_other = memoized(others_of(content.uri, allowed))
    form = _kept(name)
    if form and all(_is_as_it_was(read_other, uri, state) for uri, state in form.others.items()):
        return form
    form = _make(content, read_other)
    _keep(name, form)
    return form


def _make(content: Content, read_other: Read) -> OneForm:
    from portkey_bridge.document.parse import Document, document_of, resource_of
    from portkey_bridge.openapi.normalize import normalize

    others: dict[str, str] = {}

    def retrieve(uri: str) -> Document:
        try:
            other = read_other(uri)
        except (DocumentError, ValueError) as error:
            others[uri] = str(error)
            raise
        others[uri] = _state(other)
        document = resource_of(other)
        return replace(document, repairs=(*other.notes, *document.repairs))

    root, repairs = normalize(document_of(content), retrieve)
    return OneForm(root, list(repairs), others)


def _is_as_it_was(read_other: Read, uri: str, state: str) -> bool:
    try:
        return _state(read_other(uri)) == state
    except (DocumentError, ValueError) as error:
        return str(error) == state


def _state(other: Content) -> str:
    return " ".join((hashlib.sha256(other.data).hexdigest(), *other.notes))


def _kept(name: str) -> OneForm | None:
    kept = cache.read(name)
    return msgspec.msgpack.decode(kept, type=OneForm) if kept else None


def _keep(name: str, form: OneForm) -> None:
    try:
        cache.write(name, msgspec.msgpack.encode(form))
    except (OverflowError, UnicodeEncodeError):
        return  # a number of more than 64 bits, or half a character, which the format has no place for


def warn(problems: Iterable[str]) -> None:
    """Report each problem in one line on stderr."""
    for problem in problems:
        print(f"portkey-bridge: {printable(problem)}", file=sys.stderr)
