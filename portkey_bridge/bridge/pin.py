"""Pins: what a model reads about an API changes only after a person has accepted it.

Whoever can change a document can change what models are told to do. With `pin`, the document that was accepted last is
served until somebody accepts the new one. It is kept in the user's state folder, not in the cache: it must not vanish.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_state_path

from portkey_bridge.document.files import replace_file
from portkey_bridge.document.sources import portkey_document
from portkey_bridge.errors import SettingsError
from portkey_bridge.openapi.coercion import mapping
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.pointers import encode_token
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.schema.prose import plain, shorten
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import shown_url
from portkey_bridge.tools.catalog import build_tools
from portkey_bridge.tools.difference import MAX_SHOWN_CHANGE, Change, Version, difference, summary

#: Changes that only concern what is sent: a model reads nothing new, or what it reads is a new text as well.
HARMLESS = frozenset(
    ("removed", "argument removed", "property removed", "newly required", "no longer required", "narrowed", "widened")
)

#: Keywords below which everything is data, the names in it as well, and those whose members are names.
DATA, MAPS_OF_NAMES = frozenset({"enum", "const", "default", "example", "examples"}), frozenset({"properties"})


class Baseline(msgspec.Struct):
    """The document that was accepted last: its address, its normalized root, and whether overlays were applied to it.

    What a document that had no overlays says in `x-mcp` is not trusted later because there are some now.
    """

    uri: str
    root: dict[str, Any]
    is_curated: bool


def baseline_path(settings: Settings) -> Path:
    """Return the file of an API's accepted document, which need not exist."""
    source = settings.spec or str(portkey_document())
    name = settings.name or hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return user_state_path("portkey-bridge") / "accepted" / f"{name}.json"


def accepted_api(settings: Settings) -> Api | None:
    """Return the document that was accepted last, if one was. Raises SettingsError if it cannot be read."""
    path = baseline_path(settings)
    try:
        kept = msgspec.convert(json.loads(path.read_bytes()), Baseline)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}). Delete it and accept the document again.") from error
    return read_api(kept.root, kept.uri, server_variables=settings.server_variables, is_curated=kept.is_curated)


def accept_api(settings: Settings, api: Api) -> None:
    """Keep a document as the accepted one, in one step. Raises SettingsError if that is not possible."""
    path = baseline_path(settings)
    kept = {"uri": api.uri, "root": api.root, "is_curated": bool(settings.overlays)}
    try:
        replace_file(path, json.dumps(kept).encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}). Make it writable for --pin.") from error


def pinned(api: Api, settings: Settings) -> Api:
    """Return the document that was accepted last if a person has to look at this one first. Raises SettingsError.

    What was accepted is one of the resources that it is made of: the next one is served as soon as it is accepted.
    """
    accepted = accepted_api(settings)
    if accepted is None:
        accept_api(settings, api)
    changes = changes_since(accepted, api, settings) if accepted else ()
    api = replace(api, resources=(*api.resources, baseline_path(settings).absolute().as_uri()))
    if accepted is None or not changes:
        return api
    waiting = (
        f"{settings.name or 'the document'} has changed, and the version that was accepted is served: "
        f"{summary(changes)}. {_accepting(settings)} shows the changes and accepts them"
    )
    return replace(accepted, repairs=(*api.repairs, waiting), resources=api.resources, from_copy=api.from_copy)


def _accepting(settings: Settings) -> str:
    """Return the command that accepts the document."""
    named = [settings.name, *(["--config", settings.config] if settings.config else [])]
    if settings.spec and not settings.name:
        named += ["--spec", shown_url(settings.spec)]
    return " ".join(["portkey-bridge accept", *filter(None, named)])


def changes_since(accepted: Api, current: Api, settings: Settings) -> Sequence[Change]:
    """Return what a model would read for the first time, or of which server and credentials it does not know."""
    old, new = (_version(api, settings) for api in (accepted, current))
    changes = [change for change in difference(old, new) if change.kind not in HARMLESS]
    said = "\n".join(f"{change.tool} {change.pointer} {change.detail}" for change in changes)
    known = {text for _, text in _texts(accepted.root)}
    for pointer, text in _texts(current.root):
        shown = shorten(plain(text), MAX_SHOWN_CHANGE) or text
        if text not in known and shown not in said:
            changes.append(Change("new text", "", pointer, shown, False))
            known.add(text)
    return changes


def _version(api: Api, settings: Settings) -> Version:
    shapes = Shapes(api.root)
    return Version(build_tools(api, shapes, settings), shapes)


def _texts(root: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each text of a document with its JSON pointer, and the names of properties: a model may read them.

    References and the version of the document are none.
    """
    whole = {**root, "info": {**mapping(root.get("info")), "version": ""}}
    pending: list[tuple[str, Any, bool, bool]] = [("#", whole, False, False)]
    while pending:
        pointer, value, is_data, is_naming = pending.pop()
        if isinstance(value, str):
            yield pointer, value
        elif isinstance(value, list):
            pending += [(f"{pointer}/{at}", each, is_data, False) for at, each in enumerate(value)]
        elif isinstance(value, dict):
            for name, each in value.items():
                below = f"{pointer}/{encode_token(name)}"
                if is_data or is_naming:
                    yield below, name
                if name != "$ref" or is_data or is_naming:
                    naming = name in MAPS_OF_NAMES and not is_naming
                    pending.append((below, each, is_data or (name in DATA and not is_naming), naming))
