"""One look at everything that can be wrong. Each finding comes with its remedy; no credential is shown or sent.

Each check yields findings, and a check that raises SetupError has found a problem: its words say what to do. The exit
code is 1 where a problem was found; a warning leaves it at 0.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

import httpx

from portkey_bridge import __version__
from portkey_bridge.cli import Invocation
from portkey_bridge.errors import SetupError
from portkey_bridge.listing import state, variables_of
from portkey_bridge.load import load_tools
from portkey_bridge.operations import Api
from portkey_bridge.request import server_url
from portkey_bridge.security import collect_secrets, example_configuration, needs_credential
from portkey_bridge.settings import Settings, refuse_lured_credentials
from portkey_bridge.terminal import print_styled, waiting
from portkey_bridge.tools import Tool

OK, WARNING, PROBLEM = "ok", "warning", "problem"

STYLES = {OK: "green", WARNING: "yellow", PROBLEM: "bold red"}

#: Seconds that a server may take to answer.
PATIENCE = 5

#: A document may name many servers; the most used are asked.
SERVERS = 5


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it if it is not in order."""

    level: str
    found: str
    remedy: str = ""


def print_checks(invocation: Invocation) -> int:
    """Check everything and say what was found. The exit code is 1 where something has to be mended."""
    status = 0
    for subject, finding in examine(invocation.settings):
        print_styled((f"{finding.level:<8}", STYLES[finding.level]), f"{subject:<12} {finding.found}")
        if finding.remedy:
            print_styled(f"{'':<21} {finding.remedy}")
        if finding.level == PROBLEM:
            status = 1
    return status


def examine(settings: Settings) -> Iterator[tuple[str, Finding]]:
    """Yield every finding with its subject."""
    yield from (("version", finding) for finding in check_version())
    try:
        api, tools = load_tools(settings)
    except SetupError as error:
        yield "document", Finding(PROBLEM, str(error))
        return
    for subject, check in CHECKS:
        try:
            yield from ((subject, finding) for finding in check(settings, api, tools))
        except SetupError as error:
            yield subject, Finding(PROBLEM, str(error))


def check_version() -> Iterator[Finding]:
    """Tell the versions that a report of a problem should name."""
    fastmcp = metadata.version("fastmcp")
    yield Finding(OK, f"portkey-bridge {__version__}, Python {platform.python_version()}, FastMCP {fastmcp}")


def check_document(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Tell what is served of the document."""
    source = f" from {settings.spec}" if settings.spec else ""
    served = f"{api.title} {api.version}{source}, {len(tools)} tools"
    if not tools:
        yield Finding(PROBLEM, served, "Give --spec a document that has operations under `paths`.")
    elif api.skipped:
        yield Finding(
            WARNING,
            f"{served}, {len(api.skipped)} operations left out",
            "Correct the document where the lines above say.",
        )
    else:
        yield Finding(OK, served)


def check_credentials(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Tell which variables are set and how many tools can be called. Raises SettingsError."""
    opens = variables_of(tools)
    secrets = collect_secrets(opens, settings, api.uri)
    refuse_lured_credentials(settings, secrets)
    for name in opens:
        condition = state(name, settings, api.uri)
        if "withheld" in condition:
            yield Finding(
                WARNING, f"{name} is {condition}", f"If the document may have it, set OPEN_MCP_CREDENTIALS={name}."
            )
    closed = [tool for tool in tools if needs_credential(tool.operation.security, secrets, ())]
    usable = (
        f"{', '.join(secrets) or 'no variable'} set, {len(tools) - len(closed)} of {len(tools)} tools can be called"
    )
    if not closed:
        yield Finding(OK, usable)
        return
    best = next(iter(variables_of(closed)))
    level = PROBLEM if len(closed) == len(tools) or not secrets else WARNING
    yield Finding(level, usable, f"Set {best}, for example in a client: {example_configuration([best])}")


def check_servers(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Ask every server for its root, without credentials, and tell how it answered."""
    urls = Counter(settings.base_url or server_url(tool.operation.servers, api.uri) for tool in tools)
    nowhere = urls.pop(None, 0)
    if nowhere:
        yield Finding(
            PROBLEM if not urls else WARNING,
            f"{nowhere} of {len(tools)} tools have no server to send to",
            "Set OPEN_MCP_BASE_URL to the URL of the API.",
        )
    with httpx.Client(timeout=PATIENCE, follow_redirects=False) as client:
        yield from (_ask(client, httpx.URL(url)) for url, _ in urls.most_common(SERVERS) if url is not None)


def _ask(client: httpx.Client, url: httpx.URL) -> Finding:
    shown = url.copy_with(userinfo=b"", query=None)
    started = time.monotonic()
    try:
        with waiting(f"asking {shown}"):
            status = client.get(shown).status_code
    except httpx.HTTPError as error:
        remedy = "Check the address, that the service runs, and the network; OPEN_MCP_BASE_URL names another one."
        return Finding(PROBLEM, f"{shown} cannot be reached ({type(error).__name__})", remedy)
    answer = f"{shown} answered {status} after {time.monotonic() - started:.1f} s"
    if status >= 500:
        return Finding(WARNING, answer, "The service has a problem of its own. Try again later, or look at its log.")
    return Finding(OK, answer)


def check_launcher(settings: Settings, api: Api, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Tell whether the command is there by which clients start this program."""
    found = shutil.which("uvx", path=settings.environ.get("PATH", ""))
    if found:
        yield Finding(OK, f"clients can start {found}")
    else:
        yield Finding(WARNING, "uvx is not on the PATH, and clients start `uvx portkey-bridge`", "Install uv.")


Check = Callable[[Settings, Api, Sequence[Tool]], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("document", check_document),
    ("credentials", check_credentials),
    ("server", check_servers),
    ("launcher", check_launcher),
)
