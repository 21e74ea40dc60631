"""Everything that a document refers to, in one root: every file is read once, and every place has one local pointer.

A reference is relative to the nearest `$id`, or else to its file (RFC 3986 section 5.1, JSON Schema
2020-12 core section 8.2). Other files are stored in the root under the key OTHERS.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, unquote_plus, urldefrag, urljoin, urlsplit

from jsonpointer import unescape

from portkey_bridge.document.parse import Document, Retrieve
from portkey_bridge.errors import DanglingReference, DocumentError
from portkey_bridge.openapi.pointers import encode_token, is_reference

#: The key of other files in the root.
OTHERS = "x-documents"

#: References that may be followed on the way through one pointer.
MAX_DETOURS = 20


class Base(NamedTuple):
    """The base of references: `uri` of the nearest `$id`, its `file`, and what `#` is, at `path`."""

    uri: str
    file: str
    root: Any
    path: tuple[str, ...]


class DocumentNode(NamedTuple):
    """A value, its path in the one root, and what its references are relative to."""

    value: Any
    path: tuple[str, ...]
    base: Base

    @property
    def reference(self) -> str:
        """The local reference to the value: `#` and its pointer (RFC 6901 section 6)."""
        return "#" + "".join(f"/{encode_token(token)}" for token in self.path)

    def below(self, tokens: tuple[str, ...], value: Any) -> DocumentNode:
        """Return the place of `value` below `tokens`."""
        path = self.path + tokens
        return DocumentNode(value, path, _base_at(value, path, self.base))


def _base_at(value: Any, path: tuple[str, ...], base: Base) -> Base:
    """Return the base inside `value`: its `$id` makes it a resource of its own."""
    identity = value.get("$id") if isinstance(value, dict) else None
    if not isinstance(identity, str) or identity.startswith("#"):
        return base
    return Base(_joined(base.uri, identity), base.file, value, path)


def _joined(base: str, reference: str) -> str:
    try:
        return urldefrag(urljoin(base, reference)).url
    except ValueError:
        return reference


class Resources:
    """A document and the others that it refers to. `retrieve` is asked once for each of them.

    `others` collects what OTHERS is to hold, `repairs` a sentence for each file that cannot be read.
    """

    def __init__(self, document: Document, retrieve: Retrieve) -> None:
        self._retrieve = retrieve
        self._home = document.uri
        self._files: dict[str, DocumentNode | None] = {}
        self._named: dict[str, DocumentNode] = {}  # by `$id`, `$self`, and these with `#` and an anchor
        self._dynamic: dict[str, list[DocumentNode]] = {}
        self._unnamed: list[DocumentNode] = []  # whose names are not collected yet
        self._resolved: dict[tuple[str, str, tuple[str, ...]], DocumentNode] = {}
        self.others: dict[str, Any] = {}
        self.repairs: list[str] = []
        self.main = self._add(document, ())

    def resolve(self, reference: str, base: Base) -> DocumentNode:
        """Return the place that a reference names. Raises DanglingReference."""
        key = (reference, base.uri, base.path)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(reference, base, 0)
        return self._resolved[key]

    def _resolve(self, reference: str, base: Base, detours: int) -> DocumentNode:
        uri, fragment = reference.partition("#")[::2]
        if uri or (fragment and not fragment.startswith("/")):
            self._collect_names()
        start = self._resource(reference, uri, base)
        if not fragment:
            return start
        if fragment.startswith("/"):
            return self.descend(start, fragment, reference, detours)
        named = self._named.get(f"{start.base.uri}#{unquote(fragment)}")
        if named is None:
            raise DanglingReference(reference, "no $anchor has this name")
        return named

    def dynamic(self, reference: str) -> list[DocumentNode]:
        """Return the places that a `$dynamicRef` can lead to, in the order of the document.

        Which one it is depends on the way there (JSON Schema 2020-12 core section 8.2.3.2).
        """
        self._collect_names()
        return self._dynamic.get(unquote(reference.partition("#")[2]), [])

    def _add(self, document: Document, path: tuple[str, ...]) -> DocumentNode:
        file, root = document.uri, document.root
        own = root.get("$self") if isinstance(root, dict) else None
        base = Base(_joined(file, own) if isinstance(own, str) else file, file, root, path)
        place = self._files[file] = DocumentNode(root, path, _base_at(root, path, base))
        self._unnamed.append(place)
        self._named[place.base.uri] = place
        return place

    def _resource(self, reference: str, uri: str, base: Base) -> DocumentNode:
        if not uri:
            return DocumentNode(base.root, base.path, base)
        uri = uri.replace("\\", "/")  # as a path of Windows is written
        target = _joined(base.file, uri)
        place = self._named.get(_joined(base.uri, uri)) or self._named.get(target)
        if place is None:
            place = self._sibling(target, base) or self._file(target)
        if place is None:
            raise DanglingReference(reference, "the document that it names is missing")
        return place

    def _sibling(self, uri: str, base: Base) -> DocumentNode | None:
        """Return the file that is where a URI is from the `$self` of a file beside it (OpenAPI 3.2 section 4.1.2.2)."""
        try:
            own, other = urlsplit(base.uri), urlsplit(uri)
        except ValueError:
            return None  # no URI
        if not base.file.startswith("file:") or not own.netloc or own[:2] != other[:2]:
            return None
        known = len(self.repairs)
        place = self._file(_joined(base.file, posixpath.relpath(other.path or "/", posixpath.dirname(own.path) or "/")))
        if place is None:
            del self.repairs[known:]  # it need not be there
        return place

    def _file(self, uri: str) -> DocumentNode | None:
        uri = quote(unquote(uri), safe="/:@!$&'()*+,;=~", errors="replace") if uri.startswith("file:") else uri
        if uri not in self._files:
            self._files[uri] = None
            try:
                document = self._retrieve(uri)
            except DocumentError as error:
                self.repairs.append(f"{error} References to it are ignored.")
                return None
            except ValueError:
                return None  # no URI
            self.repairs += document.repairs
            name = self._name(uri)
            self.others[name] = document.root
            self._files[uri] = self._add(document, (OTHERS, name))
            self._collect_names()
        return self._files[uri]

    def _name(self, uri: str) -> str:
        """Return the short name of a resource: its path from the document, where both have the same origin."""
        home, other = urlsplit(self._home), urlsplit(uri)
        if (home.scheme, home.netloc) != (other.scheme, other.netloc) or other.query:
            return uri
        return unquote(posixpath.relpath(other.path, posixpath.dirname(home.path)))

    def descend(self, start: DocumentNode, fragment: str, reference: str, detours: int = 0) -> DocumentNode:
        """Return the place that a pointer (RFC 6901) names, relative to `start`. Raises DanglingReference.

        Where the pointer goes on behind a `$ref`, as many documents write it, go along.
        """
        place = start
        for raw in fragment.split("/")[1:]:
            token = _token(place.value, raw)
            while token is None:
                if detours > MAX_DETOURS or not is_reference(place.value):
                    raise DanglingReference(reference, "the reference leads nowhere")
                detours += 1
                place = self._resolve(place.value["$ref"], place.base, detours)
                token = _token(place.value, raw)
            child = place.value[int(token)] if isinstance(place.value, list) else place.value[token]
            place = place.below((token,), child)
        return place

    def _collect_names(self) -> None:
        """Register each `$id`, `$anchor` and `$dynamicAnchor` of the resources that came since the last time."""
        while self._unnamed:
            for place in _inside(self._unnamed.pop()):
                value, base = place.value, place.base
                if base.path == place.path:
                    self._named.setdefault(base.uri, place)
                for keyword in ("$anchor", "$dynamicAnchor"):
                    if isinstance(value.get(keyword), str):
                        self._named.setdefault(f"{base.uri}#{value[keyword]}", place)
                if isinstance(value.get("$dynamicAnchor"), str):
                    self._dynamic.setdefault(value["$dynamicAnchor"], []).append(place)


def _inside(place: DocumentNode) -> Iterator[DocumentNode]:
    """Yield every object in a resource that has a name of JSON Schema's, in the document's order."""
    seen: set[int] = set()
    waiting = [place]
    while waiting:
        place = waiting.pop()
        value = place.value
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict) and not value.keys().isdisjoint(("$id", "$anchor", "$dynamicAnchor")):
            yield place
        members = value.items() if isinstance(value, dict) else enumerate(value)
        below = [place.below((str(token),), child) for token, child in members if isinstance(child, dict | list)]
        waiting.extend(reversed(below))


def _token(value: Any, raw: str) -> str | None:
    """Return the key or index that a token of a fragment means: percent-encoded, or, against the rules, not so."""
    for text in (unquote(raw), raw, unquote_plus(raw)):
        token = unescape(text)
        if isinstance(value, dict) and token in value:
            return token
        if isinstance(value, list) and token.isdecimal() and token.isascii() and int(token) < len(value):
            return token
    return None
