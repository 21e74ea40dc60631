"""All options, each in one row of Settings with its default, its reader and its help.

The command line, its help, `.env.example` and the schema of the settings file follow from these rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from portkey_bridge.settings import readers
from portkey_bridge.settings.option import Option, assignments, integer, name_list, oauth_endpoint, option, switch
from portkey_bridge.settings.serving import Role
from portkey_bridge.settings.values import (
    ANSWER_CACHE,
    AUTHENTICATE,
    AWS_SECRET,
    HEADER_NAME,
    HTTP_TOKEN,
    MOST_PAGES,
    QUERY_NAME,
    Assigned,
    AwsTarget,
    Bounds,
    HttpLimits,
    Jwt,
    ProgramLimits,
    Timeouts,
)

#: Longest result in characters; longer ones are shown as a view.
RESULT_LIMIT = 40_000


@dataclass(frozen=True)
class Settings:
    """What the user asked for: one row for each option, then values from the settings file, the environment and `.env`.

    `name` and `prefix` are those of an API in the settings file,
    `assigned` the variables that the file assigns to it (each with the one that its value comes from),
    `operations` what it says about single tools, each with its place in the file.
    `server_variables` are those of the document's servers, by the names of their environment variables.
    `environ` holds the variables that credentials are taken from. `from_dotenv` names the variables whose value comes
    from the `.env` of the working directory, `apart` and `refused` those of options that it may not set freely.
    `texts` are the options that are set, as they were typed, by field. `auth` is the table of the provider that
    verifies callers, with its secrets, and `roles` are what callers may do. `over_http` is whether callers are others
    than the person who configures the server.
    """

    spec: str | None = option(
        None,
        readers.document_source,
        "FILE|URL",
        "path or URL of the OpenAPI document to serve (default: the Portkey API)",
        dotenv="apart",
    )
    overlays: tuple[Path, ...] = option(
        (), readers.files, "FILE,…", "OpenAPI Overlay documents to apply to the document, in this order", dotenv="apart"
    )
    allow_refs: tuple[str, ...] = option(
        (),
        partial(readers.places, among=readers.HOSTS, example="specs.example.com"),
        "HOST,…",
        "also allow references to documents on these hosts",
        dotenv="apart",
    )
    base_url: str | None = option(
        None,
        readers.api_url,
        "URL",
        "send all requests to this URL instead of the document's servers, for example a self-hosted gateway",
        dotenv="apart",
    )
    pin: bool = switch(
        "serve a changed document only after a person has accepted what models would read", dotenv="harmless"
    )
    cache: bool = switch(
        "do not read or write the cache folder; each start takes longer", table="serve", dotenv="harmless", is_on=True
    )
    tools: tuple[str, ...] = name_list("serve only these tools; * matches any characters")
    exclude: tuple[str, ...] = name_list("do not serve these tools; * matches any characters")
    tag: tuple[str, ...] = name_list(
        "serve only tools with one of these tags, ignoring case; * matches any characters", metavar="TAG,…"
    )
    read_only: bool = switch("serve only tools that change nothing, such as every GET", dotenv="harmless")
    deprecated: bool = switch("leave out deprecated operations and arguments", dotenv="harmless", is_on=True)
    path_item_tools: bool = switch("add the informational servers_… and parameters_… tools", dotenv="harmless")
    confirm: tuple[str, ...] = name_list("ask the person before each call of these tools; * matches any characters")
    discover: bool = switch(
        "list three tools that search, show schemas and call, instead of all tools", table="serve", dotenv="harmless"
    )
    code: str = option(
        "",
        readers.code,
        "only|also",
        "list three tools that search, show signatures and run programs that call the tools; also: list runProgram "
        "besides the other tools",
        table="serve",
        dotenv="harmless",
        bare="only",
    )
    program_limits: ProgramLimits = option(
        ProgramLimits(),
        readers.program_limits,
        "S,MB,N,N,K",
        "limits of a program: seconds, megabytes of memory, calls, concurrent calls, thousands of printed characters "
        "(default {default})",
        table="serve",
    )
    schema_budget: float | None = option(
        None,
        readers.budget,
        "N|full",
        "characters of schema listed for each tool before the rest becomes stubs (default: shared among the tools, so "
        "fewer tools get more each)",
        dotenv="harmless",
    )
    files: tuple[Path, ...] = option(
        (),
        readers.folders,
        "DIR",
        f"let calls send files from DIR, and write large answers to it; {os.pathsep!r} separates several",
    )
    lenient: bool = switch(
        "send arguments that the document does not allow, and report them in the result", dotenv="apart"
    )
    timeouts: Timeouts = option(
        Timeouts(),
        readers.timeouts,
        "S,S,S",
        "seconds for connecting, for each read and for the whole call (default {default})",
        dotenv="harmless",
    )
    retries: int = integer(2, 0, "how often a call is retried if that is safe (default {default})", dotenv="harmless")
    concurrency: int = integer(16, 1, "concurrent calls (default {default}); further ones wait", dotenv="harmless")
    api_rate: str | None = option(
        None,
        readers.rates,
        "N/UNIT,…",
        "requests to the API in a second, minute, hour or day, of all callers together, such as 10/second",
    )
    result_limit: int = integer(
        RESULT_LIMIT,
        1000,
        "longest result in characters; larger ones are shown as a view with more on request (default {default})",
        dotenv="harmless",
    )
    kept_results: Bounds = option(
        Bounds(),
        readers.result_bounds,
        "N,MB,MIN",
        "large results to keep: number, total megabytes (also the limit for one response), minutes (default {default})",
        dotenv="harmless",
    )
    select: bool = switch(
        "add an argument select to every tool: a JMESPath expression for the part of the answer to return",
        dotenv="harmless",
    )
    drop: tuple[str, ...] = name_list(
        "leave these fields out of answers, such as **/_links; the result says what was dropped", metavar="PATTERN,…"
    )
    drop_empty: bool = switch(
        "leave fields out of answers that are null or empty; the result says how many", dotenv="harmless"
    )
    pages: int = integer(
        1,
        1,
        "collect up to N pages of an answer in one call (default {default}); further ones are read on request",
        most=MOST_PAGES,
        dotenv="harmless",
    )
    answer_cache: str = option(
        "validate",
        partial(readers.one_of, among=ANSWER_CACHE),
        "|".join(ANSWER_CACHE),
        "keep answers to GET in memory and ask the API whether they have changed (validate), use those that it calls "
        "fresh without asking (fresh), or keep none (off)",
        dotenv="harmless",
    )
    resources: bool = switch(
        "keep files from answers for a while as MCP resources that clients can read, also over HTTP", dotenv="harmless"
    )
    validate_responses: bool = switch(
        "report in the result where a response differs from the document", dotenv="harmless"
    )
    headers: tuple[Assigned, ...] = assignments(
        HEADER_NAME, "send this header with every request to the API, with the value of the variable; repeatable"
    )
    query: tuple[Assigned, ...] = assignments(QUERY_NAME, "the same for a query parameter; repeatable")
    cookies: tuple[Assigned, ...] = assignments(HTTP_TOKEN, "the same for a cookie; repeatable")
    scheme: Assigned | None = option(
        None,
        readers.scheme,
        "SCHEME=VARIABLE",
        "authenticate every request with basic=VARIABLE, digest=VARIABLE (user:password) or bearer=VARIABLE (a token)",
        dotenv="apart",
    )
    aws_sigv4: AwsTarget | None = option(
        None,
        readers.aws,
        "REGION/SERVICE",
        "sign every request with AWS Signature Version 4, by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        dotenv="apart",
    )
    authenticate: str = option(
        "declared",
        partial(readers.one_of, among=AUTHENTICATE),
        "|".join(AUTHENTICATE),
        "which operations carry credentials: those that the document says, all, or none because the API needs none",
        dotenv="apart",
    )
    credentials: frozenset[str] = option(
        frozenset(),
        readers.credential_names,
        "NAME,…",
        "variables that the document may use as credentials although they look like another product's; for a "
        "document from a URL, the only ones; NAME@ORIGIN is sent to this origin only",
        dotenv="apart",
    )
    login: str | None = option(
        None, readers.as_typed, "FILE", "recipe in TOML that says how to log in to the API for a session"
    )
    oauth_issuer: str | None = oauth_endpoint(
        "OpenID provider or authorization server whose metadata names the endpoints below; trusted with client secrets "
        "and passwords"
    )
    oauth_token_url: str | None = oauth_endpoint(
        "obtain OAuth 2 tokens here instead of at the document's token URL; trusted with client secrets and passwords"
    )
    oauth_authorization_url: str | None = oauth_endpoint(
        "where login sends the browser, instead of the document's authorization URL"
    )
    oauth_device_url: str | None = oauth_endpoint(
        "where login --device obtains its code, instead of the document's device authorization URL"
    )
    oauth_scopes: tuple[str, ...] = option(
        (), readers.scopes, "SCOPE,…", "scopes to request (default: those that the served tools need)", dotenv="apart"
    )
    oauth_audience: str | None = option(
        None,
        readers.as_typed,
        "TEXT",
        "audience to request tokens for, where the authorization server asks for one",
        dotenv="apart",
    )
    oauth_exchange: bool = switch(
        "over HTTP: exchange each caller's own token for one of the API (RFC 8693), instead of obtaining one for all"
    )
    oauth_caller_login: bool = switch(
        "over HTTP: have each caller log in to the API with an account of their own, instead of obtaining a token for "
        "all"
    )
    client_cert: Path | None = option(
        None, readers.file, "FILE", "present this certificate (PEM) to the API, which may contain its key, too"
    )
    client_key: Path | None = option(None, readers.file, "FILE", "private key (PEM) of --client-cert")
    client_key_passphrase: str | None = option(
        None, readers.variable_name, "VARIABLE", "variable that contains the passphrase of the private key"
    )
    ca_bundle: Path | None = option(
        None, readers.file, "FILE", "also trust the certificate authorities in this file (PEM)", dotenv="apart"
    )
    insecure: tuple[str, ...] = option(
        (),
        partial(readers.places, among=readers.HOST_NAMES, example="192.168.1.5"),
        "HOST,…",
        "do not verify the TLS certificates of these hosts: anybody on the way can read and change what is sent",
        dotenv="apart",
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        partial(readers.places, among=readers.HOSTS, example="mcp.example.com"),
        "HOST,…",
        "over HTTP: names that clients reach this server by; needed unless it listens on loopback",
        table="serve",
    )
    allowed_origins: tuple[str, ...] = option(
        (),
        partial(readers.places, among=readers.ORIGINS, example="https://app.example.com"),
        "URL,…",
        "over HTTP: origins of web pages that may send requests, besides the server's own",
        table="serve",
    )
    tokens: tuple[tuple[str, str], ...] = option(
        (),
        readers.tokens,
        "NAME=SHA256,…",
        "over HTTP: callers, each with the SHA-256 digest (hexadecimal) of the bearer token that is required of them",
        table="serve",
    )
    jwt: Jwt | None = option(
        None,
        readers.jwt,
        "JWKS,ISSUER,AUDIENCE",
        "over HTTP: require JSON Web Tokens of this issuer for this audience; JWKS is the URL of its keys",
        table="serve",
    )
    pass_header: str | None = option(
        None,
        readers.header_name,
        "NAME",
        "over HTTP: send this header of a caller's request to the API as the credential, and no other",
        table="serve",
    )
    http_limits: HttpLimits = option(
        HttpLimits(),
        readers.http_limits,
        "N,N,MB",
        "over HTTP: concurrent requests of a caller, waiting requests, megabytes of one (default {default})",
        table="serve",
    )
    caller_rate: str | None = option(
        None,
        readers.rates,
        "N/UNIT,…",
        "over HTTP: requests of one caller in a second, minute, hour or day, such as 60/minute,1000/hour",
        table="serve",
    )
    workers: int = integer(
        1, 1, "over HTTP: processes that answer requests; more than one need --store (default {default})", table="serve"
    )
    store: str | None = option(
        None,
        readers.as_typed,
        "URL",
        "keep large results and other state in this Redis or Valkey, so that several servers share it",
        table="serve",
    )
    metrics: str | None = option(
        None,
        readers.as_typed,
        "HOST:PORT",
        "over HTTP: show /metrics there to everybody, instead of to callers with a token",
        table="serve",
    )
    config: str | None = option(
        None,
        readers.as_typed,
        "FILE",
        "settings file with one or several APIs (default: portkey-bridge.toml in the user's configuration folder)",
        table="",
    )
    verbose: bool = switch("log each call to stderr", table="serve", dotenv="harmless")
    audit: bool = switch("write one JSON line per call, to stdout over HTTP and to stderr over stdio", table="serve")
    name: str = ""
    prefix: str = ""
    assigned: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, tuple[Any, str]] = field(default_factory=dict, repr=False)
    server_variables: Mapping[str, str] = field(default_factory=dict)
    auth: Mapping[str, Any] = field(default_factory=dict, repr=False)
    roles: tuple[Role, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    from_dotenv: frozenset[str] = frozenset()
    apart: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    over_http: bool = False

    @property
    def requires_token(self) -> bool:
        """Whether callers over HTTP need a token."""
        return bool(self.tokens or self.jwt or self.auth)

    @property
    def of_callers(self) -> bool:
        """Whether OAuth 2 tokens are those of each caller, so that none of the server's is used."""
        return self.oauth_exchange or self.oauth_caller_login

    @property
    def searches(self) -> bool:
        """Whether tools are found by a search instead of being listed."""
        return self.discover or self.code == "only"

    @property
    def named(self) -> frozenset[str]:
        """The variables that a person named as credentials, whatever the document is."""
        pairs = (*self.headers, *self.query, *self.cookies, *((self.scheme,) if self.scheme else ()))
        names = (each.partition("@")[0] for each in self.credentials)
        signing = (AWS_SECRET,) if self.aws_sigv4 else ()
        return frozenset((*names, *signing, *(variable for _, variable in pairs)))

    @property
    def bound(self) -> dict[str, frozenset[str]]:
        """The origins that credentials are bound to, by their variables."""
        pairs = [(name, origin) for name, at, origin in (each.partition("@") for each in self.credentials) if at]
        return {name: frozenset(origin for each, origin in pairs if each == name) for name, _ in pairs}


OPTIONS = tuple(Option(each.name, *each.metadata["option"]) for each in fields(Settings) if each.metadata)


def key_in_file(api: str, field: str, value: str | bool = "") -> str:
    """Return the key of an option under the `api` of a settings file, and its value; empty without such an API."""
    if not api:
        return ""
    option = next(each for each in OPTIONS if each.field == field)
    items = value.split(option.separator) if option.is_list and isinstance(value, str) else value
    written = json.dumps(items, ensure_ascii=False)
    return f"{field}{f' = {written}' if value else ''} in [api.{api}] of the settings file"


def how_to_set(api: str, field: str, value: str = "") -> str:
    """Return what a person sets: the key of an option under the `api` of a settings file, else its flag; the value."""
    return key_in_file(api, field, value) or f"--{field.replace('_', '-')} {value}".rstrip()
