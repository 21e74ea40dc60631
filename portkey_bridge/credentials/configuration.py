"""What a person configured about credentials, applied to the operations of a document.

The rest of the program reads the result, and needs not know whether the document or a person asked for a credential.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from portkey_bridge.credentials.schemes import AWS, stands_in
from portkey_bridge.credentials.variables import TOKEN_TYPES, VARIABLES_BY_SCHEME, Security, usual_variable, variable
from portkey_bridge.openapi.coercion import as_text, mapping
from portkey_bridge.openapi.model import Api, Operation, SecurityScheme, Server, place
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import AWS_SECRET, Assigned, as_variable
from portkey_bridge.text import origin_of

#: The end of the path, or the first words of the operationId, of operations that obtain a credential.
LOGIN_PATH = re.compile(
    r".*/((?:log|sign)[-_]?(?:in|on)|authenticate|(?:access[-_]?|refresh[-_]?)?token|sessions?|auth/refresh)", re.I
)
LOGIN_ID = re.compile(r"(?i:(?:log|sign)_?(?:in|on)|authenticate)(?![a-z])")

UrlOf = Callable[[Sequence[Server]], str | None]
"""Returns the URL that requests to these servers are sent to, or None."""


def configure(api: Api, settings: Settings, url_of: UrlOf) -> Api:
    """Return the API with the security that the settings ask for: their own credentials come first.

    Schemes that would share a variable have one each. Operations that obtain a credential need none.
    """
    api = _exchanging(api) if settings.oauth_exchange else api
    named = variables_by_scheme(api)
    own = (*own_schemes(settings), *_token_scheme(api, settings))
    home = home_of(api, url_of)
    logins = frozenset(_token_paths(api.root))
    in_url = [place("query", name) for name, _ in parse_qsl(urlsplit(settings.base_url or "").query)]

    def configured(operation: Operation) -> Operation:
        mine = own if own and origin_of(url_of(operation.servers)) == home else ()
        security = _security(operation.security, api, settings.authenticate)
        renamed = tuple(tuple(_renamed(scheme, named) for scheme in each) for each in security)
        whole = tuple((*mine, *each) for each in renamed or ((),)) if mine else renamed
        if whole and all(whole) and obtains_credential(operation, logins):
            whole = (*whole, ())
        taken = [*in_url, *(it.place for it in mine)]
        kept = tuple(each for each in operation.parameters if not any(stands_in(each.place, it) for it in taken))
        return replace(operation, security=whole, parameters=kept)

    schemes = tuple(_renamed(scheme, named) for scheme in api.schemes)
    return replace(api, operations=tuple(map(configured, api.operations)), schemes=schemes)


def _exchanging(api: Api) -> Api:
    """Return the API with each bearer token as one of OAuth 2, which a caller's own token is exchanged for."""

    def obtained(scheme: SecurityScheme) -> SecurityScheme:
        is_bearer = (scheme.type, scheme.scheme) == ("http", "bearer")
        return replace(scheme, type="oauth2", variable=variable(scheme) or "") if is_bearer else scheme

    def exchanging(security: Security) -> Security:
        return tuple(tuple(map(obtained, each)) for each in security)

    operations = tuple(replace(each, security=exchanging(each.security)) for each in api.operations)
    schemes = tuple(map(obtained, api.schemes))
    return replace(api, operations=operations, schemes=schemes, security=exchanging(api.security))


def own_schemes(settings: Settings) -> tuple[SecurityScheme, ...]:
    """Return the credentials that the settings add to the document's, as security schemes."""
    places = {"header": settings.headers, "query": settings.query, "cookie": settings.cookies}
    keys = [
        SecurityScheme(f"{location} {name}", "apiKey", location, name, "", variable, added=True)
        for location, pairs in places.items()
        for name, variable in pairs
    ]
    schemes = [settings.scheme] if settings.scheme else []
    schemes += [Assigned(AWS, AWS_SECRET)] if settings.aws_sigv4 else []
    return (
        *keys,
        *(
            SecurityScheme(kind, "http", "header", "Authorization", kind, variable, added=True)
            for kind, variable in schemes
        ),
    )


def _token_scheme(api: Api, settings: Settings) -> tuple[SecurityScheme, ...]:
    """Return a scheme for tokens, where the settings say where to obtain them and the document has no such scheme."""
    is_named = settings.oauth_issuer or settings.oauth_token_url
    if not is_named or any(scheme.type in TOKEN_TYPES for scheme in api.schemes):
        return ()
    variable = VARIABLES_BY_SCHEME["oauth2", "bearer"]
    return (SecurityScheme("oauth", "oauth2", "header", "Authorization", "bearer", variable, added=True),)


def variables_by_scheme(api: Api) -> dict[str, str]:
    """Return the variable of each scheme that would share the usual one with another, by its name in the document.

    Schemes that one alternative asks for together, in the same place, are the same credential.
    """
    alternatives = [*chain.from_iterable(operation.security for operation in api.operations), *api.security]
    sharing: defaultdict[str, dict[str, SecurityScheme]] = defaultdict(dict)
    for scheme in chain(*alternatives):
        if (name := usual_variable(scheme)) is not None and name != AWS_SECRET:  # one account signs all
            sharing[name][scheme.key] = scheme
    same = {
        frozenset((one.key, other.key))
        for alternative in set(alternatives)
        for one, other in combinations(alternative, 2)
        if one.place == other.place
    }
    return {
        key: variable
        for name, schemes in sharing.items()
        if not _are_one([*schemes], same)
        for key, variable in _names_of_their_own(name, schemes)
    }


def _are_one(keys: Sequence[str], same: Iterable[frozenset[str]]) -> bool:
    """Check whether all schemes are the same credential, some of them by way of others."""
    reached, left = {keys[0]}, list(same)
    while joined := [pair for pair in left if not reached.isdisjoint(pair)]:
        reached.update(*joined)
        left = [pair for pair in left if reached.isdisjoint(pair)]
    return reached.issuperset(keys)


def _names_of_their_own(name: str, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield a variable for each scheme, whatever their order: `NAME_SCHEME`, with a digest where two would be equal."""
    by_variable: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        by_variable[f"{name}_{as_variable(key)}".rstrip("_")].append(key)
    for wanted, alike in by_variable.items():
        for key in alike:
            is_unique = len(alike) == 1 and wanted != name
            yield key, wanted if is_unique else f"{wanted}_{hashlib.sha256(key.encode()).hexdigest()[:6].upper()}"


def _security(declared: Security, api: Api, authenticate: str) -> Security:
    """Return the alternatives of an operation: as declared, none, or every scheme of the document besides."""
    if authenticate == "none":
        return ()
    if authenticate == "declared":
        return declared
    known = {scheme.key for scheme in chain(*declared)}
    further = tuple((scheme,) for scheme in api.schemes if scheme.key not in known)
    return (*declared, *further, *(() if declared and all(declared) else ((),)))


def _renamed(scheme: SecurityScheme, named: Mapping[str, str]) -> SecurityScheme:
    return replace(scheme, variable=named[scheme.key]) if scheme.key in named else scheme


def home_of(api: Api, url_of: UrlOf) -> str | None:
    """Return the API's own origin: that of its servers, else of the first operation that has one."""
    servers = (api.servers, *(operation.servers for operation in api.operations))
    return next((origin for each in servers if (origin := origin_of(url_of(each)))), None)


def obtains_credential(operation: Operation, token_paths: Iterable[str] = ()) -> bool:
    """Check whether an operation obtains a credential, so that it cannot need one: a login, or a token endpoint."""
    if operation.method != "POST":
        return False
    path = operation.path.rstrip("/")
    by_name = LOGIN_PATH.fullmatch(path) or LOGIN_ID.match(operation.operation_id or "")
    return bool(by_name) or any(each.endswith(path) for each in token_paths if path)


def _token_paths(root: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of the URLs that OAuth 2 flows obtain tokens from."""
    for scheme in mapping(mapping(root.get("components")).get("securitySchemes")).values():
        for flow in mapping(mapping(scheme).get("flows")).values():
            for name in ("tokenUrl", "refreshUrl"):
                try:
                    yield f"/{urlsplit(as_text(mapping(flow).get(name))).path.strip('/')}"
                except ValueError:
                    continue
