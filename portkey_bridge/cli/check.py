"""The command `check`: a report for the owner of each document of everything that causes problems for its users.

Each finding names its places, as far as they are known: method, path, pointer, file and line. Nothing is sent.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import urljoin

from portkey_bridge.bridge.load import access_to, warn
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import about_tokens, listed_tool, variables_of
from portkey_bridge.cli.spec_validator import advise
from portkey_bridge.cli.terminal import print_json, print_styled, waiting
from portkey_bridge.document.content import text_of
from portkey_bridge.document.parse import Document, document_of, resource_of
from portkey_bridge.document.positions import TextLines
from portkey_bridge.document.repairs import Repairs
from portkey_bridge.document.sources import Read, is_shipped, others_of, portkey_document, read_overlay, read_source
from portkey_bridge.errors import DocumentError, SetupError
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.overlay import overlaid, tighten
from portkey_bridge.openapi.pointers import decode_token, encode_token
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.openapi.resources import OTHERS
from portkey_bridge.openapi.spec_tables import METHODS
from portkey_bridge.request.servers import url_of_servers
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import printable, shown_url
from portkey_bridge.tools.catalog import MANY_LISTED, Tool, build_tools, schema_budget

#: Most places kept for a repair, most places shown for a finding, and number of largest tools in the report.
MAX_KEPT_PLACES, MAX_SHOWN_PLACES, LARGEST_TOOLS = 100, 10, 10

#: Heading of each kind of finding, in the order of the report.
FINDING_HEADINGS = {
    "skipped": "left out: these operations are not served",
    "repaired": "repaired: interpreted as far as possible",
    "undescribed": "not described",
    "nowhere": "without a server",
    "many": "too many to list",
    "advice": "advice of openapi-spec-validator",
}

#: Components of OpenAPI 3 that have another name in Swagger 2.0.
SWAGGER2_COMPONENTS = {"schemas": "definitions", "securitySchemes": "securityDefinitions"}

UNDESCRIBED = "a tool has no summary or description: a model sees only its method and path"
NOWHERE = "a tool has no server with a full URL: add one to the document, or set OPEN_MCP_BASE_URL"
MANY_TOOLS = "listing them all costs tokens in every conversation; use --discover, or select some by --tag or --tools"


@dataclass(frozen=True)
class SourcePlace:
    """The place of a finding, as far as it is known. `file` is None for the document itself."""

    method: str | None = None
    path: str | None = None
    pointer: str | None = None
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class DocumentFinding:
    """Something that the owner could fix. `count` is how often it was found, even if not all places are kept."""

    kind: str
    problem: str
    places: tuple[SourcePlace, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Size:
    """Size of the model's view of a tool, in bytes of compact JSON and in estimated tokens."""

    name: str
    bytes: int
    tokens: int


@dataclass(frozen=True)
class DocumentReport:
    """The whole report. `credentials` and `servers` count the tools that use each."""

    document: str
    title: str
    version: str
    specification: str
    operations: int
    tools: int
    webhooks: int
    callbacks: int
    credentials: dict[str, int]
    servers: dict[str, int]
    listing: Size
    largest: tuple[Size, ...]
    findings: tuple[DocumentFinding, ...]
    notes: tuple[str, ...]


def print_report(invocation: Invocation) -> int:
    """Print the report of each document: of several, as JSON by the names of the APIs. Raises SetupError.

    The exit code is 1 with `--strict` and a finding, and if one of several documents cannot be read.
    """
    if len(invocation.apis) == 1:
        reports = {"": examine_document(invocation.settings)}
    else:
        reports = dict(_reports(invocation.apis))
    if invocation.options.get("json"):
        written = {name: asdict(report) for name, report in reports.items()}
        print_json(written.get("", written))
    else:
        for number, report in enumerate(reports.values()):
            print_styled(*[""] * bool(number))
            _print_words(report)
    is_wrong = len(reports) < len(invocation.apis)
    found = any(report.findings for report in reports.values())
    return 1 if is_wrong or (found and invocation.options.get("strict")) else 0


def _reports(apis: Iterable[Settings]) -> Iterator[tuple[str, DocumentReport]]:
    """Yield the report of each of several documents with the name of its API; warn of those that cannot be read."""
    for settings in apis:
        try:
            yield settings.name, examine_document(settings)
        except SetupError as error:
            warn([f"{settings.name}: {error}"])


def examine_document(settings: Settings) -> DocumentReport:
    """Examine the configured document as its owner wrote it. Raises DocumentError."""
    access = access_to(settings)
    content = read_source(settings.spec or str(portkey_document()), access)
    read_other = cache(others_of(content.uri, settings.allow_refs, access))
    overlays = [*map(read_overlay, settings.overlays)]
    document = overlaid(document_of(content), overlays)
    repairs = Repairs(MAX_KEPT_PLACES)
    others: set[str] = set()

    def retrieve(uri: str) -> Document:
        parsed = resource_of(read_other(uri))
        if overlays:
            tighten(parsed.root)
        others.add(uri)
        return parsed

    root, sentences = normalize(overlaid(document_of(content), overlays), retrieve, repairs)  # modifies its argument
    with waiting("running the validator"):
        advice, incomplete = advise(document, {uri: resource_of(read_other(uri)).root for uri in others})
    api = read_api(root, document.uri, repairs, settings.server_variables, is_curated=bool(overlays))
    tools = build_tools(api, settings=settings)
    where = _Where(document, lambda uri: content if uri == content.uri else read_other(uri))
    sizes = _sizes(tools, api, settings)
    return DocumentReport(
        document=document.source,
        title=api.title,
        version=api.version,
        specification=str(document.root.get("openapi") or document.root.get("swagger") or "no version"),
        operations=len(api.operations),
        tools=len(tools),
        webhooks=api.webhooks,
        callbacks=api.callbacks,
        credentials={name: len(names) for name, names in variables_of(tools).items()},
        servers=dict(Counter(shown_url(server.url) for tool in tools for server in tool.operation.servers)),
        listing=Size("all", sum(size.bytes for size in sizes), sum(size.tokens for size in sizes)),
        largest=tuple(sorted(sizes, key=lambda size: -size.bytes)[:LARGEST_TOOLS]),
        findings=(
            *(
                DocumentFinding("skipped", each.reason, (where.operation(each.method, each.path),))
                for each in api.skipped
            ),
            *_of_repairs(sentences, repairs, where),
            *_of_all_tools(tools, api, settings, where),
            *(DocumentFinding("advice", problem, (where.at(tokens),)) for tokens, problem in advice),
        ),
        notes=(incomplete,) if incomplete else (),
    )


def _of_repairs(sentences: Sequence[str], repairs: Repairs, where: _Where) -> Iterator[DocumentFinding]:
    """Yield the repairs that have no places, and then those that have."""
    with_places = repairs.sentences()
    yield from (where.noted(sentence) for sentence in sentences if sentence not in with_places)
    for each in repairs.found():
        yield DocumentFinding("repaired", each.problem, tuple(map(where.of_repair, each.places)), each.count)


def _of_all_tools(tools: Sequence[Tool], api: Api, settings: Settings, where: _Where) -> Iterator[DocumentFinding]:
    silent = [tool for tool in tools if not tool.operation.summary and not tool.operation.description]
    url_of = url_of_servers(api, settings)
    homeless = [tool for tool in tools if url_of(tool.operation.servers) is None]
    yield from _of_tools("undescribed", UNDESCRIBED, silent, where)
    yield from _of_tools("nowhere", NOWHERE, homeless, where)
    if len(tools) > MANY_LISTED and not is_shipped(api.uri):
        yield DocumentFinding("many", f"{len(tools)} tools: {MANY_TOOLS}")


def _sizes(tools: Sequence[Tool], api: Api, settings: Settings) -> list[Size]:
    views = Views(Shapes(api.root), portable=True)
    budget = schema_budget(settings.schema_budget, len(tools))
    return [_size(tool.name, listed_tool(tool, views, budget)) for tool in tools]


def _size(name: str, value: dict[str, Any]) -> Size:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Size(name, len(text.encode()), about_tokens(value))


def _of_tools(kind: str, problem: str, tools: Sequence[Tool], where: _Where) -> Iterator[DocumentFinding]:
    """Yield one finding for all of the tools, if there are any."""
    if tools:
        places = (where.operation(tool.operation.method, tool.operation.path) for tool in tools)
        yield DocumentFinding(kind, problem, tuple(places), len(tools))


class _Where:
    """Finds places in the text of a document, and in the other files that it refers to."""

    def __init__(self, document: Document, read_any: Read) -> None:
        self._document = document
        self._lines = cache(partial(_lines_of, read_any))  # parsed only for files that have findings

    def at(self, tokens: Sequence[str]) -> SourcePlace:
        """Return the place that the tokens of a pointer lead to, in the one root or in the document as it was."""
        if len(tokens) > 1 and tokens[0] == OTHERS:
            uri = urljoin(self._document.uri, tokens[1])
            return SourcePlace(pointer=_pointer(tokens[2:]), file=tokens[1], line=self._lines(uri).line(tokens[2:]))
        line = self._lines(self._document.uri).line(_as_written(tokens, self._document.root))
        return SourcePlace(*_method_and_path(tokens), pointer=_pointer(tokens), line=line)

    def operation(self, method: str, path: str) -> SourcePlace:
        """Return the place of an operation, or of the whole path if `method` is not a method."""
        if method.lower() in METHODS:
            return self.at(("paths", path, method.lower()))
        if " " in method:
            return self.at(("paths", path))
        place = self.at(("paths", path, "additionalOperations", method))
        return SourcePlace(method, path, place.pointer, line=place.line)

    def of_repair(self, place: str) -> SourcePlace:
        """Return the place of a repair, which is a pointer, a method and a path, or free text."""
        if place.startswith("#"):
            return self.at([decode_token(part) for part in place.split("/")[1:]])
        method, slash, path = place.partition("/")
        return self.operation(method.strip(), slash + path) if slash else SourcePlace()

    def noted(self, sentence: str) -> DocumentFinding:
        """Return the finding for a decision of the parser, with its line if known."""
        found = re.match(re.escape(self._document.source) + r":(?:(\d+):)? *", sentence)
        line = int(found[1]) if found and found[1] else None
        problem = sentence[found.end() :] if found else sentence
        return DocumentFinding("repaired", problem.removesuffix("."), (SourcePlace(line=line),))


def _lines_of(read_any: Read, uri: str) -> TextLines:
    with suppress(DocumentError, ValueError):
        return TextLines(text_of(read_any(uri)))
    return TextLines("")


def _pointer(tokens: Sequence[str]) -> str:
    return "#" + "".join(f"/{encode_token(token)}" for token in tokens)


def _method_and_path(tokens: Sequence[str]) -> tuple[str | None, str | None]:
    if len(tokens) < 2 or tokens[0] != "paths":
        return None, None
    return (tokens[2].upper() if len(tokens) > 2 and tokens[2] in METHODS else None), tokens[1]


def _as_written(tokens: Sequence[str], root: Any) -> Sequence[str]:
    """Return the tokens in a Swagger 2.0 document, where components are at the top (`swagger` says where)."""
    if "swagger" not in root or tokens[:1] != ["components"]:
        return tokens
    return [SWAGGER2_COMPONENTS.get(tokens[1], tokens[1]), *tokens[2:]] if len(tokens) > 1 else tokens


def _print_words(report: DocumentReport) -> None:
    print_styled((printable(f"{report.title} {report.version}"), "bold"), f"({report.specification}) {report.document}")
    for name, words in _facts(report):
        print_styled(f"{name:<13}", words)
    if report.largest:
        print_styled()
        print_styled(("largest tools", "bold cyan"))
    for size in report.largest:
        print_styled(f"{size.bytes:>9,} bytes {size.tokens:>8,} tokens ", size.name)
    for kind, heading in FINDING_HEADINGS.items():
        _print_findings(heading, [finding for finding in report.findings if finding.kind == kind], report.document)
    print_styled()
    print_styled(f"{sum(finding.count for finding in report.findings)} findings.", *report.notes)


def _facts(report: DocumentReport) -> Iterator[tuple[str, str]]:
    yield "operations", f"{report.operations}"
    yield "tools", f"{report.tools}"
    yield "left out", f"{report.webhooks} webhooks and {report.callbacks} callbacks, which the API itself calls"
    for name, count in report.credentials.items():
        yield "credential", f"{name} ({count} tools)"
    for url, count in report.servers.items():
        yield "server", f"{url} ({count} tools)"
    yield "listing", f"{report.listing.bytes:,} bytes, about {report.listing.tokens:,} tokens"


def _print_findings(heading: str, findings: Sequence[DocumentFinding], document: str) -> None:
    if not findings:
        return
    print_styled()
    print_styled((heading, "bold cyan"))
    for finding in findings:
        print_styled(f"- {finding.problem}")
        for place in finding.places[:MAX_SHOWN_PLACES]:
            _print_place(place, document)
        if finding.count > min(MAX_SHOWN_PLACES, len(finding.places)):
            print_styled(f"    and {finding.count - min(MAX_SHOWN_PLACES, len(finding.places))} more")


def _print_place(place: SourcePlace, document: str) -> None:
    file = place.file or document
    pointer = None if place.method and place.pointer and place.pointer.count("/") == 3 else place.pointer
    parts = (f"{file}:{place.line}" if place.line else file, place.method, place.path, pointer)
    print_styled("   ", *(part for part in parts if part))
