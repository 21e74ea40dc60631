"""The command `doctor`: diagnoses problems and suggests fixes. No credential is shown or sent.

Each check yields findings. A check that raises SetupError has found a problem, whose message suggests the fix. The exit
code is 1 if there is a problem; warnings leave it at 0.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx

from portkey_bridge import __version__
from portkey_bridge.bridge.configured_bridge import UNVERIFIED, destination, token_sources, trust_of
from portkey_bridge.bridge.login_steps import steps_of
from portkey_bridge.cli.clients import FoundEntry, set_up_in
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import state, variables_of
from portkey_bridge.cli.loading import require_services
from portkey_bridge.cli.login import people_sources, until
from portkey_bridge.cli.terminal import print_hanging, waiting
from portkey_bridge.clients.entries import command_line, literals_in, variables_in
from portkey_bridge.clients.files import is_readable_by_others
from portkey_bridge.clients.places import this_system
from portkey_bridge.credentials.environment import read_environment, shared_variables
from portkey_bridge.credentials.recipe import read_recipe
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.schemes import needs_credential
from portkey_bridge.credentials.variables import secret_server_variables, variable
from portkey_bridge.document import cache
from portkey_bridge.errors import SetupError
from portkey_bridge.http.trust import Trust
from portkey_bridge.openapi.model import Api
from portkey_bridge.request.servers import url_of_servers
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.env_files import refuse_lured_credentials
from portkey_bridge.settings.options import Settings, key_in_file
from portkey_bridge.text import shown_url
from portkey_bridge.tools.catalog import Tool

OK, WARNING, PROBLEM = "ok", "warning", "problem"

STYLES = {OK: "green", WARNING: "yellow", PROBLEM: "bold red"}

#: Seconds that a server has to answer.
REACH_TIMEOUT = 5

#: Number of servers that are asked, the most used first: a document may name many.
SERVERS = 5


@dataclass(frozen=True)
class Finding:
    """A result of a check, and how to fix it if it is not ok."""

    level: str
    found: str
    remedy: str = ""


def print_checks(invocation: Invocation) -> int:
    """Check everything and print the findings. The exit code is 1 if there is a problem."""
    status = 0
    for subject, finding in examine_setup(invocation.apis):
        print_hanging((f"{finding.level:<8}", STYLES[finding.level]), f"{subject:<12}", finding.found, finding.remedy)
        if finding.level == PROBLEM:
            status = 1
    return status


def examine_setup(apis: Sequence[Settings]) -> Iterator[tuple[str, Finding]]:
    """Yield every finding with its subject. The machine is checked even without a document."""
    yield from (("version", finding) for finding in check_version())
    try:
        services = require_services(apis)
    except SetupError as error:
        yield "document", Finding(PROBLEM, str(error))
    else:
        for service in services:
            for subject, check in OF_DOCUMENT:
                found = _found(check(service.settings, service.api, service.tools))
                yield from ((f"{subject} {service.settings.name}".strip(), finding) for finding in found)
    for subject, look in OF_MACHINE:
        yield from ((subject, finding) for finding in look(apis[0]))


def _found(findings: Iterable[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except SetupError as error:
        yield Finding(PROBLEM, str(error))


def check_version() -> Iterator[Finding]:
    """Report the versions that a bug report should include."""
    fastmcp = metadata.version("fastmcp")
    yield Finding(OK, f"portkey-bridge {__version__}, Python {platform.python_version()}, FastMCP {fastmcp}")


def check_document(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Report which tools the document provides."""
    source = f" from {shown_url(settings.spec)}" if settings.spec else ""
    served = f"{api.title} {api.version}{source}, {len(tools)} tools"
    if not tools:
        yield Finding(PROBLEM, served, "Use --spec with a document that has operations under `paths`.")
    elif api.skipped:
        yield Finding(
            WARNING, f"{served}, {len(api.skipped)} operations left out", "Correct the document at the places above."
        )
    else:
        yield Finding(OK, served)


def check_credentials(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Report which variables are set and how many tools can be called. Raises SettingsError."""
    opens, environment = variables_of(tools), read_environment(api, settings)
    secrets = {name: environment.secrets[name] for name in opens if name in environment.secrets}
    refuse_lured_credentials(settings, secrets)
    literal = [name for name in opens if name in environment.unexpanded]
    yield from (Finding(WARNING, reason) for reason in environment.reasons(opens.keys() - {*literal}))
    for name in literal:
        condition = state(name, settings, environment)
        yield Finding(WARNING, f"{name} is {condition}", "Set the variable that it refers to, or write the value.")
    for name, instead in shared_variables(api).items():
        if name not in environment.replaced and name not in opens:
            yield Finding(OK, f"{name} is not used: several schemes would share it, and take {', '.join(instead)}")
    if settings.login is not None:
        yield _login_step(settings, api)
        return
    yield from _callable_tools(settings, api, tools, secrets)


def _login_step(settings: Settings, api: Api) -> Finding:
    """Report the operation that logs in. Raises SettingsError for a recipe that cannot be used."""
    recipe, _ = read_recipe(settings)
    steps = steps_of(api, recipe, settings, Shapes(api.root), url_of_servers(api, settings))
    undeclared = ", which the document does not declare" * bool(steps.undeclared)
    return Finding(OK, f"calls log in with {recipe.operation}{undeclared}, as {settings.login} says")


def _callable_tools(
    settings: Settings, api: Api, tools: Sequence[Tool], secrets: Mapping[str, str]
) -> Iterator[Finding]:
    """Report which credentials may not go where the tools are sent, and how many tools can be called."""
    sources = token_sources(api, settings, tools, read_environment(api, settings))
    obtained = sources.every(tool.operation for tool in tools)
    usable = {variable(each.scheme) or "" for each in obtained if each.is_configured}.union(secrets)
    refusals = {
        tool.name: sources.origins.refusals(secrets, destination(api, settings, tool.operation)) for tool in tools
    }
    refused = Counter(
        refusals[tool.name][name] for tool in tools for name in {*tool.variables} & {*refusals[tool.name]}
    )
    yield from (Finding(WARNING, reason, f"This is about {count} tools.") for reason, count in refused.items())
    closed = [tool for tool in tools if needs_credential(tool.operation.security, usable - {*refusals[tool.name]}, ())]
    count = f"{len(tools) - len(closed)} of {len(tools)} tools"
    can = f"{', '.join(secrets) or 'no variable'} set here, {count} can be called"
    best = next((name for name in variables_of(closed) if name not in secrets), None)
    if not closed:
        yield Finding(OK, can)
    elif best is None:
        yield Finding(PROBLEM if len(closed) == len(tools) else WARNING, can)
    else:
        entries = [(each.client, entry) for each in set_up_in(this_system()) for entry in each.entries.values()]
        elsewhere = any(best in variables_in(client, entry) for client, entry in entries)
        nothing = len(closed) == len(tools) or not secrets
        remedy = f"Set {best}, here or for a client: portkey-bridge add CLIENT --env {best}=…"
        if settings.name:
            remedy += f"; if another API takes it, too, assign it in [api.{settings.name}.env]"
        yield Finding(PROBLEM if nothing and not elsewhere else WARNING, can, remedy)


def check_logins(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Report who is logged in and until when, for each login that the API offers to people. Raises SettingsError."""
    command = f"portkey-bridge login {settings.name}".rstrip()
    for source in people_sources(api, settings, tools):
        login = source.login()
        if login is None:
            yield Finding(OK, f"nobody is logged in to {shown_url(source.base_url)}", f"To log in: {command}")
        elif login.token.is_due and not login.token.refresh:
            yield Finding(WARNING, f"the login to {shown_url(source.base_url)} has expired", f"Run {command}.")
        else:
            yield Finding(OK, f"{login.who or 'somebody'} is logged in {until(login)}")


def check_servers(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Request the root of each server, without credentials, and report the status."""
    urls = Counter(destination(api, settings, tool.operation) for tool in tools)
    base_url = key_in_file(settings.name, "base_url") or "OPEN_MCP_BASE_URL"
    if nowhere := urls.pop(None, 0):
        problem = f"{nowhere} of {len(tools)} tools have no server to send to"
        yield Finding(WARNING if urls else PROBLEM, problem, f"Set {base_url} to the URL of the API.")
    trust, in_servers = trust_of(settings, urls), secret_server_variables(settings)
    hide = Redactor(in_servers, certain=in_servers)
    yield from (Finding(WARNING, UNVERIFIED.format(host), "Use --ca-bundle instead.") for host in settings.insecure)
    remedy = f"Check the address, the service and the network; {base_url} sets another address."
    yield from (_ask(httpx.URL(url), trust, hide, remedy) for url, _ in urls.most_common(SERVERS) if url is not None)


def _ask(url: httpx.URL, trust: Trust, hide: Callable[[str], str], remedy: str) -> Finding:
    shown = hide(shown_url(str(url)))
    started = time.monotonic()
    try:
        with waiting(f"asking {shown}"):
            status = httpx.get(
                url.copy_with(userinfo=b"", query=None), timeout=REACH_TIMEOUT, verify=trust.of(url.host).context()
            ).status_code
    except (httpx.HTTPError, UnicodeError) as error:  # the last of a name that IDNA refuses
        return Finding(PROBLEM, f"{shown} cannot be reached ({type(error).__name__})", remedy)
    answer = f"{shown} answered {status} after {time.monotonic() - started:.1f} s"
    if status >= 500:
        return Finding(WARNING, answer, "The service itself has a problem. Try again later, or check its log.")
    return Finding(OK, answer)


def check_launcher(settings: Settings) -> Iterator[Finding]:
    """Check whether clients find the command that starts this program."""
    if found := shutil.which("uvx", path=settings.environ.get("PATH", "")):
        yield Finding(OK, f"clients can start {found}")
    else:
        problem = "uvx is not on the PATH, and clients start `uvx portkey-bridge`"
        yield Finding(WARNING, problem, "Install uv: https://docs.astral.sh/uv/")


def check_clients(settings: Settings) -> Iterator[Finding]:
    """Report the clients that this server is set up in, and entries that cannot work or expose a key."""
    # In the home folder, a client's project file is also its user file.
    looked_at = list({each.path: each for each in reversed(list(set_up_in(this_system())))}.values())[::-1]
    problems = (each.problem for each in looked_at if each.problem)
    yield from (Finding(WARNING, each, "Until then the client may ignore the file as well.") for each in problems)
    path = settings.environ.get("PATH", "")
    findings = [_entry(each, name, path) for each in looked_at for name in each.entries]
    remedy = "Run portkey-bridge add CLIENT; portkey-bridge list shows the clients."
    yield from findings or [Finding(WARNING, "this server is not set up in any supported client", remedy)]


def _entry(found: FoundEntry, name: str, path: str) -> Finding:
    """Check one entry in a client's file."""
    client, entry = found.client, found.entries[name]
    variables = ", ".join(variables_in(client, entry)) or "no variable"
    summary = f"{client.title} starts it as {name} with {variables}"
    command = next(iter(command_line(client, entry)), "")
    rewrite = f"Write the entry again: portkey-bridge add {client.name} --name {name}, with its options and variables."
    if not shutil.which(command, path=path):
        return Finding(WARNING, f"{summary}, but there is no command {command}", rewrite)
    if client.desktop and not Path(command).is_absolute():
        return Finding(
            WARNING,
            f"{summary}, but {command} has no absolute path, so the client may not find it",
            rewrite,
        )
    if literals_in(client, entry) and is_readable_by_others(found.path):
        return Finding(WARNING, f"{summary}, in a file that others can read", f"Run chmod 600 {found.path}")
    return Finding(OK, summary)


def check_cache(settings: Settings) -> Iterator[Finding]:
    """Report the contents of the cache, and whether it can be written."""
    if not settings.cache:
        remedy = "To turn it on, remove --no-cache and unset OPEN_MCP_CACHE."
        yield Finding(WARNING, "the cache is off, so each start takes longer", remedy)
        return
    folder, probe = cache.cache_folder(), cache.name_of("probe", ())
    cache.write(probe, b"kept")
    kept = cache.read_entry(probe)
    cache.forget(probe)
    if kept is None:
        yield Finding(
            WARNING,
            f"nothing can be stored in {folder}, so each start takes longer",
            "Make it a folder that you own and only you can write to, or choose another one with XDG_CACHE_HOME.",
        )
        return
    sizes = [file.stat().st_size for file in folder.iterdir() if file.is_file()]
    yield Finding(OK, f"{sum(sizes) / 1e6:.1f} MB in {folder}")


OF_DOCUMENT: tuple[tuple[str, Callable[[Settings, Api, Sequence[Tool]], Iterable[Finding]]], ...] = (
    ("document", check_document),
    ("credentials", check_credentials),
    ("login", check_logins),
    ("server", check_servers),
)
OF_MACHINE: tuple[tuple[str, Callable[[Settings], Iterable[Finding]]], ...] = (
    ("launcher", check_launcher),
    ("clients", check_clients),
    ("cache", check_cache),
)
