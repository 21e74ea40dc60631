"""Brings the bytes of a document into memory: a file, a URL or standard input; and of the others that it refers to.

What another document may be is decided here: near files for a file, the same host for a URL, and what a person allows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from portkey_bridge.document.content import MAX_DOCUMENT_BYTES, Content, bounded
from portkey_bridge.errors import DocumentError
from portkey_bridge.text import is_url, shown_url

if TYPE_CHECKING:
    from portkey_bridge.document.access import Access

#: Suffixes of other files, and how many folders above the document they may be: `../common.yaml` is usual.
SUFFIXES = frozenset({".json", ".yaml", ".yml"})

FOLDERS_ABOVE = 2

#: How a person names standard input.
STDIN = "-"

FILE_REMEDY = "Use --spec with the path or URL of a readable OpenAPI document."

Read = Callable[[str], Content]
"""Brings the resource of a URI into memory. Raises DocumentError."""


def portkey_document() -> Path:
    """Return the file of the Portkey API's document: inside the wheel, or in the checkout beside the package."""
    packaged = Path(str(files("portkey_bridge"))) / "portkey.yaml"
    return packaged if packaged.exists() else packaged.parents[1] / "specs" / "portkey.yaml"


def is_shipped(uri: str) -> bool:
    """Check whether a URI is that of the Portkey API's document."""
    return uri == portkey_document().as_uri()


def is_file(uri: str) -> bool:
    """Check whether a URI names a file."""
    return urlsplit(uri).scheme == "file"


def path_of(uri: str) -> Path:
    """Return the path of a file's URI (RFC 8089)."""
    return Path(url2pathname(urlsplit(uri).path))


def read_source(source: str, access: Access | None = None, *, from_copy: bool = False) -> Content:
    """Read what a person named: a path or its `file:` URI, an http or https URL, or `-`. Raises DocumentError.

    `access` has the credentials for a URL. With `from_copy`, nothing is asked for one of which there is a copy.
    """
    if is_url(source):
        from portkey_bridge.document.fetch import fetch

        return fetch(source, access=access, from_copy=from_copy)
    if source == STDIN:
        if sys.stdin is None:
            raise DocumentError("standard input", "is closed", FILE_REMEDY)
        data = sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1)
        return Content("standard input", (Path.cwd() / "standard-input").as_uri(), bounded("standard input", data))
    return _file(shown_url(source), path_of(source) if is_file(source) else Path(source), FILE_REMEDY)


def read_overlay(path: Path) -> Content:
    """Read an overlay, which a person names. Raises DocumentError."""
    return _file(str(path), path, "Correct --overlays.")


def others_of(
    uri: str, allowed: Collection[str] = (), access: Access | None = None, *, from_copy: bool = False
) -> Read:
    """Return what reads the other resources of the document at `uri`.

    For a file, these are JSON and YAML files by name, not hidden, in its folder, below it, and at most FOLDERS_ABOVE
    above it, or further above in a folder that is neither the home folder nor above it; links are followed before that
    is judged. For a URL, these are URLs of the same host, and no files. Both may read URLs of the `allowed` hosts.
    """
    folder = None if is_url(uri) else path_of(uri).parent

    def read_other(other: str) -> Content:
        if is_url(other):
            return _url(other, uri, allowed, access, from_copy)
        if folder is None or not is_file(other):
            raise DocumentError(
                shown_url(other), "a document from a URL can only refer to URLs", "Publish it beside the document."
            )
        path = path_of(other)
        name = Path(os.path.relpath(path, folder)).as_posix()
        _refuse_foreign(name, path.resolve(), folder)
        return _file(name, path, "Add the file, or correct the $ref.")

    return read_other


def _url(other: str, uri: str, allowed: Collection[str], access: Access | None, from_copy: bool) -> Content:
    from portkey_bridge.document.fetch import fetch

    def refuse_foreign(url: str) -> None:
        parts, home = urlsplit(url), urlsplit(uri)
        own = parts.netloc == home.netloc and (parts.scheme, home.scheme) != ("http", "https")
        if not own and parts.netloc not in allowed and parts.hostname not in allowed:
            host = parts.hostname or url
            raise DocumentError(shown_url(url), "is on another host", f"Start with --allow-refs {host} to allow it.")

    return fetch(other, refuse_foreign, access, from_copy=from_copy)


def _refuse_foreign(name: str, path: Path, folder: Path) -> None:
    parts = Path(os.path.relpath(path, folder)).parts
    remedy = f"Refer to {', '.join(sorted(SUFFIXES))} files near the document."
    if parts.count("..") > FOLDERS_ABOVE and not _is_shared(Path(os.path.commonpath([folder.resolve(), path]))):
        raise DocumentError(name, f"is more than {FOLDERS_ABOVE} folders above the document", remedy)
    if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") and part != ".." for part in parts):
        raise DocumentError(name, "is hidden or not a .json, .yaml or .yml file", remedy)


def _is_shared(folder: Path) -> bool:
    """Check for a folder that can contain a set of documents and little else: not home, nor near the root."""
    return len(folder.parts) > FOLDERS_ABOVE and not Path.home().is_relative_to(folder)


def _file(source: str, path: Path, remedy: str) -> Content:
    try:
        if path.exists() and not path.is_file():
            raise DocumentError(source, "is not a file", remedy)
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DocumentError(source, f"cannot be read ({reason})", remedy) from error
    return Content(source, path.resolve().as_uri(), bounded(source, data))
