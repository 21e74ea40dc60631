"""What the published schemas require of what is distributed: types, patterns and lengths, without their words.

`SERVER` is https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json as far as a package that runs
over stdio is concerned, `MANIFEST` the manifest 0.4 of MCP bundles. Both are stricter than published in one way: they
know no other fields, so a misspelt one is found.
"""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
FLAG: dict[str, Any] = {"type": "boolean"}
URI: dict[str, Any] = {"type": "string", "format": "uri"}


def closed(required: str, /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


VARIABLE = closed(
    "name",
    name=TEXT,
    description=TEXT,
    isRequired=FLAG,
    isSecret=FLAG,
    default=TEXT,
    value=TEXT,
    placeholder=TEXT,
    choices=TEXTS,
    format={"enum": ["string", "number", "boolean", "filepath"]},
)

SERVER = closed(
    "name description version",
    **{"$schema": URI},
    name={"type": "string", "minLength": 3, "maxLength": 200, "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$"},
    title={"type": "string", "minLength": 1, "maxLength": 100},
    description={"type": "string", "minLength": 1, "maxLength": 100},
    version={"type": "string", "maxLength": 255},
    websiteUrl=URI,
    repository=closed("url source", url=URI, source=TEXT, id=TEXT, subfolder=TEXT),
    packages={
        "type": "array",
        "items": closed(
            "registryType identifier transport",
            registryType=TEXT,
            registryBaseUrl=URI,
            identifier=TEXT,
            version={"type": "string", "minLength": 1, "not": {"const": "latest"}},
            fileSha256={"type": "string", "pattern": "^[a-f0-9]{64}$"},
            runtimeHint=TEXT,
            transport=closed("type", type={"enum": ["stdio"]}),
            environmentVariables={"type": "array", "items": VARIABLE},
        ),
    },
)

CHOICE = closed(
    "type title description",
    type={"enum": ["string", "number", "boolean", "directory", "file"]},
    title=TEXT,
    description=TEXT,
    required=FLAG,
    default={"type": ["string", "number", "boolean", "array"], "items": TEXT},
    multiple=FLAG,
    sensitive=FLAG,
    min={"type": "number"},
    max={"type": "number"},
)

MANIFEST = closed(
    "name version description author server",
    manifest_version={"const": "0.4"},
    name=TEXT,
    display_name=TEXT,
    version=TEXT,
    description=TEXT,
    long_description=TEXT,
    author=closed("name", name=TEXT, email={"type": "string", "format": "email"}, url=URI),
    license=TEXT,
    keywords=TEXTS,
    homepage=URI,
    documentation=URI,
    support=URI,
    tools={"type": "array", "items": closed("name", name=TEXT, description=TEXT)},
    tools_generated=FLAG,
    server=closed(
        "type entry_point mcp_config",
        type={"enum": ["python", "node", "binary", "uv"]},
        entry_point=TEXT,
        mcp_config=closed("command", command=TEXT, args=TEXTS, env={"type": "object", "additionalProperties": TEXT}),
    ),
    compatibility=closed(
        "",
        claude_desktop=TEXT,
        platforms={"type": "array", "items": {"enum": ["darwin", "win32", "linux"]}},
        runtimes=closed("", python=TEXT, node=TEXT),
    ),
    user_config={"type": "object", "additionalProperties": CHOICE},
)
