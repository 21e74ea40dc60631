"""The document as frozen values, in the words of the OpenAPI specification.

Whatever is broken costs only the operation that it belongs to; input with a single possible meaning is repaired, and
said. Both name the method and the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from portkey_bridge.document.repairs import summarize
from portkey_bridge.openapi.keywords import Schema

#: A variable of a path template (OpenAPI 3.2 section 4.8.2), or of a server's URL (section 4.5).
TEMPLATE_VARIABLE = re.compile(r"\{([^{}]*)\}")

Place = tuple[str, str]
"""The location and the name of a parameter or credential, as `place` returns it."""


def place(location: str, name: str) -> Place:
    """Return what two things share that would overwrite each other. Case means nothing in a header's name."""
    return location, name.lower() if location == "header" else name


@dataclass(frozen=True, slots=True)
class MediaType:
    """One entry of a `content` map: its name, its schema, the `encoding` of its properties, and its `examples`.

    The items of an array are encoded by their places: the first ones as `prefix_encoding` has it, the others as
    `item_encoding` (OpenAPI 3.2, Media Type Object).
    """

    name: str
    schema: Schema
    encoding: Mapping[str, Any] = field(default_factory=dict)
    prefix_encoding: tuple[Mapping[str, Any], ...] = ()
    item_encoding: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A Parameter Object. `content` is set where it decides how the value is written, and not a style.

    Without any more than a name, it is one of the query that takes any value.
    """

    name: str
    location: str = "query"
    required: bool = False
    schema: Schema = True
    description: str = ""
    style: str = "form"
    explode: bool = True
    allow_reserved: bool = False
    allow_empty_value: bool = False
    content: MediaType | None = None
    deprecated: bool = False

    @property
    def place(self) -> Place:
        """The place that the value takes."""
        return place(self.location, self.name)


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A Request Body Object, its media types in the document's order."""

    content: tuple[MediaType, ...]
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """An OAuth Flow Object: its name in the document, and its URLs as the document has them, "" where it has none."""

    name: str
    authorization_url: str = ""
    device_authorization_url: str = ""
    token_url: str = ""
    refresh_url: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecurityScheme:
    """A Security Scheme Object: `location` and `name` are where the credential goes, `scheme` how it is written.

    `scopes` are those that a requirement asks for; `flows` and `openid_connect_url` are where tokens are obtained.
    `variable` is the environment variable of the credential, where it is not the usual one. A scheme that is `added`
    comes from a person, not from the document. `spelling` is how the document writes `scheme`, where that may matter.
    """

    key: str
    type: str
    location: str
    name: str
    scheme: str
    variable: str = ""
    added: bool = False
    scopes: tuple[str, ...] = ()
    flows: tuple[Flow, ...] = field(default=(), repr=False, compare=False)
    openid_connect_url: str = field(default="", repr=False, compare=False)
    spelling: str = field(default="", repr=False, compare=False)

    @property
    def place(self) -> Place:
        """The place that the credential takes."""
        return place(self.location, self.name)


@dataclass(frozen=True, slots=True)
class Server:
    """A Server Object: a URL, still with its variables and perhaps relative, and the variables' values."""

    url: str
    variables: Mapping[str, str]

    @property
    def unset(self) -> frozenset[str]:
        """The variables in the URL that have no value."""
        return frozenset(TEMPLATE_VARIABLE.findall(self.url)) - self.variables.keys()


@dataclass(frozen=True, slots=True)
class PathItem:
    """What a path declares for all of its operations; `servers` are empty where it declares none."""

    path: str
    servers: tuple[Server, ...]
    parameters: tuple[Parameter, ...]
    curations: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One operation. `security` holds alternatives: the schemes of one are used together, an empty one means none.

    `servers` are those that count for the operation: its own, else the path's, else the document's. `curations` are the
    values of `x-mcp` from the document's to its own.
    """

    method: str
    path: str
    operation_id: str | None
    summary: str
    description: str
    tags: tuple[str, ...]
    deprecated: bool
    parameters: tuple[Parameter, ...]
    request_body: RequestBody | None
    responses: Mapping[str, Any] = field(repr=False)
    security: tuple[tuple[SecurityScheme, ...], ...]
    servers: tuple[Server, ...]
    path_item: PathItem = field(repr=False)
    curations: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """Return method and path, by which messages name the operation."""
        return f"{self.method} {self.path}"

    @cached_property
    def answer_types(self) -> tuple[str, ...]:
        """The media types that are declared for the answers, those of successes first."""
        successes = sorted(self.responses, key=lambda status: not status.startswith("2"))
        declared = (
            media_type
            for status in successes
            if isinstance(response := self.responses[status], dict)
            for media_type in response.get("content", {})
        )
        return tuple(name for name in dict.fromkeys(declared) if name.isascii() and name.isprintable())


class Skipped(NamedTuple):
    """An operation that cannot be served, and why."""

    method: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} is not served: {self.reason}"

    @property
    def name(self) -> str:
        """Method and path, shortened."""
        return f"{self.method} {summarize(self.path, 200)}"


@dataclass(frozen=True)
class Api:
    """The whole document: what it is called, its operations in its order, and what had to be left out.

    `schemes` are all that the document declares, used or not. `repairs` has a sentence for each repair. `webhooks` and
    `callbacks` count what the API itself calls. `resources` are the URIs of all that it was read from, where that is
    known; `from_copy` says that one of them is a copy that may be old.
    """

    title: str
    version: str
    description: str
    uri: str
    root: dict[str, Any] = field(repr=False)
    operations: tuple[Operation, ...] = field(repr=False)
    servers: tuple[Server, ...]
    security: tuple[tuple[SecurityScheme, ...], ...]
    schemes: tuple[SecurityScheme, ...]
    skipped: tuple[Skipped, ...]
    repairs: tuple[str, ...] = ()
    webhooks: int = 0
    callbacks: int = 0
    resources: tuple[str, ...] = ()
    from_copy: bool = False
