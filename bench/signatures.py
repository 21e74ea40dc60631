"""What tools cost a model as Python signatures, beside the same views as JSON Schema: `python -m bench.signatures`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from statistics import median

from bench.figures import section, table
from bench.listings import DOCUMENTS
from bench.tokens import compact, count
from portkey_bridge.bridge.load import load_api
from portkey_bridge.bridge.service import RESPONSE, Service, service_of
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.schema.signatures import python_type
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool
from tests.public_documents import FOLDER

HEADS = ("document", "tools", "arguments, JSON", "Python", "with the answer, JSON", "Python")


def service(document: str) -> Service:
    """Return an API as it is served to programs; without a document, the shipped one."""
    settings = Settings(code="only", spec=str(FOLDER / document) if document else None)
    return service_of(load_api(settings), settings)


def sizes(api: Service, tool: Tool) -> Iterator[int]:
    """Yield the tokens of a tool in each column."""
    arguments = api.expand(tool, "")
    answer = ""
    with suppress(PointerToNowhere):
        answer = compact(api.expand(tool, RESPONSE))
    yield count(compact(arguments))
    yield count(python_type(arguments))
    yield count(compact(arguments) + answer)
    yield count(str(api.signature(tool)))


def row(document: str) -> Sequence[str]:
    """Return the figures of a document: the median of its tools, and the largest."""
    api = service(document)
    columns = zip(*([*sizes(api, tool)] for tool in api.tools), strict=True)
    shown = [f"{median(column):,.0f} · {max(column):,}" for column in columns]
    return document or "Portkey", str(len(api.tools)), *shown


def main() -> None:
    """Print the table."""
    documents = ["", *(name for name in DOCUMENTS if (FOLDER / name).is_file())]
    print(
        section(
            "Signatures",
            "Tokens of a tool as `expandSchema` shows it, the median of all tools and the largest: as JSON Schema, as "
            "with `--discover`, and as a Python signature, as with `--code`, which has the types of the answer, too.",
            table(HEADS, map(row, documents)),
        )
    )


if __name__ == "__main__":
    main()
