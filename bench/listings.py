"""What large documents cost as listings, and what of that nullability takes: `python -m bench.listings`."""

from __future__ import annotations

from typing import Any

from bench.figures import section, table
from bench.tokens import compact, count, listing
from tests.public_documents import FOLDER

#: Documents of a hundred operations and more.
DOCUMENTS = (
    *("discord.json", "docker-engine.yaml", "mastodon.json", "meilisearch.json", "netlify.yml", "pokeapi.yml"),
    *("superset.json", "weaviate.json"),
)

#: The branch by which a listed schema takes null.
NULL = {"type": "null"}


def without(schema: Any, keyword: str) -> Any:
    """Return a listing without the branches for null, or without another keyword of its schemas."""
    if isinstance(schema, list):
        return [without(each, keyword) for each in schema]
    if not isinstance(schema, dict):
        return schema
    branches = schema.get("anyOf")
    if keyword == "anyOf" and isinstance(branches, list) and NULL in branches:
        others = [each for each in branches if each != NULL]
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        return without({**rest, **others[0]} if len(others) == 1 else {**rest, "anyOf": others}, keyword)
    return {
        name: without(value, keyword)
        for name, value in schema.items()
        if name != keyword or keyword == "anyOf" or isinstance(value, dict)  # an argument may have the name
    }


def row(document: str) -> tuple[str, ...]:
    """Return the figures of a document: tools, tokens, tokens a tool, and those of null and of patterns among them."""
    tools = listing(["--spec", str(FOLDER / document)])
    whole = count(compact(tools))
    parts = [(whole - count(compact(without(tools, keyword)))) / len(tools) for keyword in ("anyOf", "pattern")]
    return document, str(len(tools)), f"{whole:,}", *(f"{each:.1f}" for each in (whole / len(tools), *parts))


def main() -> None:
    """Print the table."""
    heads = ("document", "tools", "tokens", "tokens a tool", "for null", "for patterns")
    print(
        section(
            "Listings",
            table(heads, [row(document) for document in DOCUMENTS if (FOLDER / document).is_file()]),
            "A schema that takes null needs a branch for it, because model APIs take no list of types. Required "
            "arguments keep their patterns.",
        )
    )


if __name__ == "__main__":
    main()
