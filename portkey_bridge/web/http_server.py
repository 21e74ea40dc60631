"""Serves the tools over HTTP: FastMCP's application on uvicorn, with what a server that many share needs around it."""

from __future__ import annotations

import ipaddress
import re
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from fastmcp.server.auth import AuthProvider
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from portkey_bridge.bridge.service import Service
from portkey_bridge.callers.observed import Metrics, ObserveLogin
from portkey_bridge.callers.store import Store
from portkey_bridge.callers.stored_logins import CALLBACK_PATH
from portkey_bridge.credentials.oauth_grants import is_for_people
from portkey_bridge.credentials.pass_through import AUTHORIZATION
from portkey_bridge.credentials.variables import TOKEN_TYPES, collect_oauth
from portkey_bridge.errors import SettingsError
from portkey_bridge.http.policy import HIGHEST_PORT
from portkey_bridge.openapi.model import Operation, SecurityScheme
from portkey_bridge.serve.direct_lane import DirectLane
from portkey_bridge.serve.fastmcp_seam import McpServer
from portkey_bridge.settings.options import Settings
from portkey_bridge.web.connect import Connect, add_connect
from portkey_bridge.web.early_answers import EarlyAnswers
from portkey_bridge.web.http_lane import ENDPOINT, CallerGate
from portkey_bridge.web.inbound import Callers, authentication
from portkey_bridge.web.name_guard import NameGuard
from portkey_bridge.web.outer_answers import CutOff, Probed
from portkey_bridge.web.web_page import PAGE, add_page

if TYPE_CHECKING:
    from portkey_bridge.callers.rates import Rates

#: Where the server listens unless it is told otherwise.
HOST, PORT = "127.0.0.1", 8000
#: Seconds that running requests get to end once the server is told to stop.
DRAIN = 30

#: Seconds for which clients may use a list of tools again (Model Context Protocol 2026-07-28, "Caching"): not longer
#: than it takes to notice a change of its document.
LIST_SECONDS = 60

#: Seconds within which a worker has to answer its supervisor: with a large document, the start takes some.
HEALTH = 60

#: Seconds for which an idle connection stays open: longer than proxies keep theirs, since a request that arrives while
#: it is being closed is lost.
KEEP_ALIVE = 75

#: How uvicorn serves. A caller is known by a token, not by an address that a proxy reports.
UVICORN: Mapping[str, Any] = {
    "http": "portkey_bridge.web.request_heads:BoundedHeads",
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "ws": "none",
    "lifespan": "on",
    "timeout_graceful_shutdown": DRAIN,
    "timeout_keep_alive": KEEP_ALIVE,
}

#: Pending connections that the system keeps.
BACKLOG = 2048


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """The URL of the endpoint there."""
        return f"{self._origin}{ENDPOINT}"

    @property
    def page(self) -> str:
        """The URL of the page for people there."""
        return f"{self._origin}{PAGE}"

    @property
    def shown(self) -> str:
        """The address as it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def _origin(self) -> str:
        return f"http://{self.shown}"


def address_of(text: str, option: str = "--http") -> Address:
    """Read `HOST:PORT`, `HOST` or `PORT`; an IPv6 address is in brackets. Raises SettingsError."""
    found = re.fullmatch(r"(?P<only>\d+)|(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)?(?::(?P<port>\d+))?", text)
    port = int((found["only"] or found["port"] or PORT) if found else -1)
    if not found or not 0 <= port <= HIGHEST_PORT:
        raise SettingsError(f"{option}: expected HOST:PORT such as {HOST}:{PORT}, got {text!r}.")
    return Address((found["host"] or HOST).strip("[]"), port)


def refuse_unsafe(address: Address, settings: Settings, services: Sequence[Service]) -> None:
    """Refuse to serve what strangers could misuse. Raises SettingsError, which explains the choices."""
    if settings.pass_header == AUTHORIZATION and settings.requires_token:
        raise SettingsError(
            "--pass-header authorization: this header carries the token for this server, which no API may get. Pass "
            "another header through."
        )
    _require_exchangeable(settings, services)
    _require_logins(settings, services)
    if any(service.settings.files for service in services):
        raise SettingsError(
            "--files: over HTTP no caller reads or writes this machine's files. "
            "Leave the option out; with --resources, callers read files from answers."
        )
    conditional = [role.name for role in settings.roles if not role.is_everyones]
    if conditional and not settings.requires_token:
        raise SettingsError(
            f"[serve.roles.{conditional[0]}] depends on a token, and none is required. Require tokens with --tokens, "
            "--jwt or [serve.auth]."
        )
    if address.is_loopback:
        return
    if not settings.requires_token and any(_holds_credentials(service, settings) for service in services):
        raise SettingsError(
            f"everybody who reaches {address.host} could use this server's credentials. Require tokens with --tokens, "
            "--jwt or [serve.auth] in the settings file, pass each caller's own credential on with "
            "--pass-header, or listen on 127.0.0.1."
        )
    if not settings.allowed_hosts:
        raise SettingsError(
            f"--allowed-hosts is needed to listen on {address.host}: the names that clients reach this server by, such "
            "as mcp.example.com. It keeps web pages from reaching the server under names of their own."
        )


def _require_exchangeable(settings: Settings, services: Sequence[Service]) -> None:
    """Check that callers have tokens that can be exchanged, and that a person named where. Raises SettingsError."""
    for each in (service.settings for service in services if service.settings.oauth_exchange):
        if settings.pass_header or each.login or not (settings.jwt or settings.auth):
            raise SettingsError(
                "--oauth-exchange needs callers with tokens of an authorization server: use it with --jwt or "
                "[serve.auth], and without --pass-header and --login."
            )
        if not (each.oauth_token_url or each.oauth_issuer):
            raise SettingsError(
                "--oauth-exchange sends the callers' tokens to an authorization server: name it with --oauth-token-url "
                "or --oauth-issuer."
            )


def _require_logins(settings: Settings, services: Sequence[Service]) -> None:
    """Check that callers are known and can log in, where an API is called with their accounts. Raises SettingsError."""
    for service in services:
        each = service.settings
        if not each.oauth_caller_login:
            continue
        if not settings.requires_token:
            raise SettingsError(
                "--oauth-caller-login keeps a login for each caller, and nobody knows who calls: require tokens with "
                "--tokens, --jwt or [serve.auth]."
            )
        if settings.pass_header or each.login or each.oauth_exchange:
            raise SettingsError(
                "--oauth-caller-login: the API is called with each caller's own login, so leave out --pass-header, "
                "--login and --oauth-exchange."
            )
        operations = [tool.operation for tool in service.tools]
        if operations and not any(is_for_people(scheme, each) for scheme in _token_schemes(operations)):
            raise SettingsError(
                f"--oauth-caller-login: the document of {service.api.title} declares no login for people. Set "
                "--oauth-issuer, or --oauth-authorization-url and --oauth-token-url, if the API has one."
            )
        if "OAUTH_CLIENT_ID" not in collect_oauth(each, service.api.uri):
            raise SettingsError(
                "--oauth-caller-login: OAUTH_CLIENT_ID is not set. Register a client at the authorization server of "
                f"{service.api.title}, with the redirect URI of this server, such as "
                f"https://mcp.example.com{CALLBACK_PATH}, and set OAUTH_CLIENT_ID to its identifier."
            )


def _token_schemes(operations: Iterable[Operation]) -> Iterable[SecurityScheme]:
    every = chain.from_iterable(chain(*operation.security) for operation in operations)
    return [scheme for scheme in every if scheme.type in TOKEN_TYPES]


def _holds_credentials(service: Service, settings: Settings) -> bool:
    """Check whether requests would carry something that their callers do not have."""
    bridge = service.bridge
    holds = settings.pass_header is None and (bridge.provider.holds_secrets or bridge.aws is not None)
    login = urlsplit(service.settings.base_url or "")
    in_url = bool(login.username or login.query)
    certified = service.settings.client_cert is not None
    return holds or in_url or certified or any(tool.fixed_secrets for tool in service.tools)


def http_app(
    server: McpServer,
    settings: Settings,
    store: Store,
    metrics: Metrics | None = None,
    observers: Sequence[ObserveLogin] = (),
) -> ASGIApp:
    """Return the application that serves `server`, and `metrics` if they may be shown.

    Each observer is told what happens to the logins of callers.
    """
    server.auth = authentication(settings, store.values)
    site = lru_cache(maxsize=64)(partial(site_of, settings))
    live = server.live
    add_page(server, settings)
    if any(service.settings.oauth_caller_login for service in live.catalogue.services):
        add_connect(server, Connect(live.current, lambda: live.catalogue, store, observers))
    gate = Middleware(
        CallerGate,
        lane=DirectLane(live.current, live.info),
        limits=settings.http_limits,
        pass_header=settings.pass_header,
        callers=Callers(store.key("callers"), settings.roles),
        required_scopes=server.auth.required_scopes if server.auth else (),
        rates=_rates(settings.caller_rate, store),
        is_proxied=bool(server.auth or settings.pass_header),
        metrics=metrics,
        site=site,
    )
    if server.auth:
        _add_metadata(server, server.auth)
    application = server.http_app(
        path=ENDPOINT,
        stateless_http=True,
        json_response=True,
        host_origin_protection=False,  # NameGuard protects it
        middleware=[gate],
    )
    origins = [*settings.allowed_origins, *own_origins(settings.allowed_hosts)]
    return EarlyAnswers(Probed(CutOff(NameGuard(application, settings.allowed_hosts, origins))))


def _add_metadata(server: McpServer, auth: AuthProvider) -> None:
    """Also serve the metadata of an issuer where clients look for it if its URL has a path (RFC 8414 section 3.1).

    FastMCP leaves that to whoever mounts its application under this path; here a proxy does, and removes the path.
    """
    for route in auth.get_well_known_routes(ENDPOINT):
        server.custom_route(route.path, [*(route.methods or ())])(route.endpoint)


def own_origins(hosts: Iterable[str]) -> list[str]:
    """Return the origins of the page that this server itself serves under these names, behind a proxy with TLS."""
    return [f"https://{host}" for host in hosts if "*" not in host]


def site_of(settings: Settings, host: str) -> str:
    """Return the origin of this server as a browser reaches it under a host that a request names.

    The names of `--allowed-hosts` are those of a proxy with TLS; origins of another form are in `--allowed-origins`.
    """
    named = {urlsplit(each).netloc: each.rstrip("/") for each in settings.allowed_origins}
    is_proxied = any(fnmatchcase(host, pattern) for pattern in settings.allowed_hosts)
    return named.get(host) or f"http{'s' if is_proxied else ''}://{host}"


def _rates(rates: str | None, store: Store) -> Rates | None:
    if rates is None:
        return None
    from portkey_bridge.callers.rates import Rates

    return Rates(rates, store, "callers")


def listening(address: Address) -> socket.socket:
    """Return a socket that listens there. Raises SettingsError."""
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        is_any = address.host == "::" and socket.has_dualstack_ipv6()
        where = (address.host, address.port)
        listener = socket.create_server(where, family=family, backlog=BACKLOG, dualstack_ipv6=is_any)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while ")[0]  # which repeats the address
        problem = f"cannot listen on {address.shown}: {reason}"
        raise SettingsError(f"--http: {problem}. Use another address or port.") from error
    # Accepted connections inherit it; without, an answer may wait for the acknowledgement of its own headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def allow_connections() -> None:
    """Let this process, and those that it starts, open as many files as the system allows: each connection is one."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit, macOS none that can be set
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_http_server(app: ASGIApp, sockets: Iterable[socket.socket]) -> None:
    """Serve until a signal stops the process; running requests get DRAIN seconds to end."""
    import uvicorn

    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    uvicorn.Server(uvicorn.Config(app, **UVICORN)).run(sockets=[*sockets])


def run_workers(make_app: Callable[[], ASGIApp], count: int, sockets: Iterable[socket.socket]) -> None:
    """Serve with `count` processes until a signal stops them. One that ends is replaced; SIGHUP replaces each.

    `make_app` is called in each process, and so must be something that can be pickled.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        def terminate_all(self) -> None:
            for each in self.sockets:  # else connections would wait there for nobody
                each.close()
            super().terminate_all()

    config = uvicorn.Config(make_app, factory=True, workers=count, timeout_worker_healthcheck=HEALTH, **UVICORN)
    Workers(config, [*sockets]).run()
