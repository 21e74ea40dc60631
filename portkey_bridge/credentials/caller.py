"""Who calls: a credential belongs to a caller, and is never used for another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Caller:
    """The local user (`subject` is None), or an authenticated subject with its scopes and the names of its roles.

    `headers` are those that the caller's own request came with, by names in lower case; they may contain secrets.
    `token` is the one that an authorization server has issued to the caller, None for any other credential.
    """

    subject: str | None = None
    scopes: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    roles: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False, hash=False)


#: The person who runs this program.
LOCAL = Caller()
