"""Pins: what a model reads about an API changes only after a person has accepted it.

Whoever can change a document can change what models are told to do. With `pin`, the document that was accepted last is
served until somebody accepts the new one. It is kept in the user's state folder, not in the cache: it must not vanish.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
from platformdirs import user_state_path

from portkey_bridge.document.sources import portkey_document
from portkey_bridge.errors import SettingsError
from portkey_bridge.openapi.model import Api
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import build_tools
from portkey_bridge.tools.difference import Change, Version, difference

#: Changes that only concern what is sent: a model reads nothing new.
HARMLESS = frozenset({"removed", "argument removed", "property removed", "narrowed", "widened"}) | {
    *("newly required", "no longer required")
}


class Baseline(msgspec.Struct):
    """The document that was accepted last: its address, its normalized root, and its resources."""

    uri: str
    root: dict[str, object]
    resources: list[str]


def baseline_path(settings: Settings) -> Path:
    """Return the file of an API's accepted document, which need not exist."""
    source = settings.spec or str(portkey_document())
    name = settings.name or hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return user_state_path("portkey-bridge") / "accepted" / f"{name}.msgpack"


def baseline(settings: Settings) -> Baseline | None:
    """Return the document that was accepted last, if one was. Raises SettingsError if it cannot be read."""
    path = baseline_path(settings)
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}). Delete it and accept the document again.") from error


def accept(settings: Settings, api: Api) -> None:
    """Keep a document as the accepted one, in one step. Raises SettingsError if that is not possible."""
    path = baseline_path(settings)
    content = msgspec.msgpack.encode(Baseline(api.uri, api.root, list(api.resources)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)  # noqa: PTH105  # a name, not a path
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}). Make it writable for --pin.") from error


def changes_since(accepted: Api, current: Api, settings: Settings) -> Sequence[Change]:
    """Return what a model would read for the first time, or of which server and credentials it does not know."""
    old, new = (_version(api, settings) for api in (accepted, current))
    return [change for change in difference(old, new) if change.kind not in HARMLESS]


def _version(api: Api, settings: Settings) -> Version:
    shapes = Shapes(api.root)
    return Version(build_tools(api, shapes, settings), shapes)
