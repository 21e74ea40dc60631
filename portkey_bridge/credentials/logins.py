"""Keeps the logins of the local user: in the system's keyring, else in files that only they can read.

A login belongs to the origin of an API and to the server that issued it; the name of its entry says both.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from platformdirs import user_data_path

from portkey_bridge.credentials.oauth_endpoints import Endpoints
from portkey_bridge.credentials.renewal import Expiring
from portkey_bridge.document.cache import is_own
from portkey_bridge.document.files import replace_file
from portkey_bridge.errors import SettingsError
from portkey_bridge.http.policy import origin

SERVICE = "portkey-bridge"


@dataclass(frozen=True)
class Login:
    """Tokens of a person, the client that they were issued to, and who logged in, as far as that is known."""

    token: Expiring
    client_id: str = field(default="", repr=False)
    who: str = ""


def login_name(base_url: str, endpoints: Endpoints) -> str:
    """Return the name of the login for an API: its origin, and where its tokens come from."""
    scheme, host, port = origin(base_url)
    source = endpoints.of_kind.get("metadata") or endpoints["token"]
    return f"{scheme}://{host}:{port} {source.url}"


def load_login(name: str) -> Login | None:
    """Return the login of this name, or None if there is none that can be read."""
    text = _from_keyring(name) or _from_file(name)
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(text, type=Login) if text else None
    return None


def save_login(name: str, login: Login) -> str:
    """Keep a login under this name, and return where, for a person. Raises SettingsError."""
    text = msgspec.json.encode(login).decode()
    with suppress(*_keyring_errors()):
        import keyring

        keyring.set_password(SERVICE, name, text)
        if keyring.get_password(SERVICE, name) == text:
            _file(name).unlink(missing_ok=True)
            return f"the keyring ({keyring.get_keyring().name})"
    try:
        replace_file(_file(name), text.encode())
    except OSError as error:
        remedy = "Make room there and let this user write there, and log in again."
        raise SettingsError(f"{_file(name)}: the login cannot be kept ({error.strerror}). {remedy}") from error
    return str(_file(name))


def forget_login(name: str) -> bool:
    """Forget the login of this name; return whether there was one. Raises OSError."""
    existed = load_login(name) is not None
    with suppress(*_keyring_errors()):
        import keyring

        keyring.delete_password(SERVICE, name)
    _file(name).unlink(missing_ok=True)
    return existed


def _from_keyring(name: str) -> str | None:
    with suppress(*_keyring_errors()):
        import keyring

        return keyring.get_password(SERVICE, name)
    return None


def _keyring_errors() -> tuple[type[Exception], ...]:
    """Return what a keyring fails with, or that there is none."""
    try:
        from keyring.errors import KeyringError
    except ImportError:
        return (ImportError,)
    return (ImportError, KeyringError)


def logins_folder() -> Path:
    """Return the folder of the files, which need not exist."""
    return user_data_path("portkey-bridge") / "logins"


def _file(name: str) -> Path:
    return logins_folder() / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def _from_file(name: str) -> str | None:
    """Return the text of a login's file; None if there is none, or if somebody else could have written it."""
    path = _file(name)
    with suppress(OSError, UnicodeDecodeError):
        if is_own(path.parent.stat()) and is_own(path.stat()):
            return path.read_text(encoding="utf-8")
    return None
