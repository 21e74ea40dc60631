"""Public documents as their owners publish them, and where to find them.

They are not part of the project. PUBLIC_DOCUMENTS names a folder of public documents; the default is `../shared/specs`.
Others come with npm packages, which `.ci/run` installs. A test of a missing document is skipped, with the reason.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest

from portkey_bridge.bridge.load import load_api
from portkey_bridge.openapi.model import Api
from portkey_bridge.settings.options import Settings
from tests.node import MODULES

FOLDER = Path(os.environ.get("PUBLIC_DOCUMENTS") or Path(__file__).parents[2] / "shared" / "specs")

#: The documents, and the operations that each has.
DOCUMENTS = {
    "swagger-petstore.yaml": 19,
    "readme-petstore-20.yaml": 20,
    "museum.yaml": 8,
    "redoc-cafe-32.yaml": 12,
    "netlify.yml": 174,
    "docker-engine.yaml": 108,
    "firecracker.yaml": 38,
    "gotify.json": 42,
    "etcd.json": 44,
    "qdrant.json": 69,
    "meilisearch.json": 113,
    "pokeapi.yml": 100,
    "mastodon.json": 210,
    "discord.json": 242,
    "ethereum-beacon-multifile/beacon-node-oapi.yaml": 89,
    "heyapi-full-20/specs/2.0.x/full.yaml": 34,
    "heyapi-full-31/specs/3.1.x/full.yaml": 48,
    "heyapi-32-operation.yaml": 1,
    "opc-baseline-30.json": 50,
    "opc-baseline-31.yaml": 50,
    "ogen-parameters.json": 12,
    "ogen-form.json": 9,
    "readme-styles.yaml": 25,
    "readme-file-uploads.yaml": 3,
    "readme-polymorphism.yaml": 13,
    "mermade-ref-encoding.yaml": 1,
    "mermade-external-pathitem/3.0/pass/externalPathItemRef.yaml": 2,
    "readme-schema-circular.yaml": 3,
    "superset.json": 140,
    "kubeflow-pipelines.json": 40,
    "weaviate.json": 123,
    "readme-security-multiple.yaml": 4,
    "readme-server-variables.json": 4,
    "prism-petstore-20-circular.yaml": 26,
}

#: Packages from npm that bring documents, with their versions; and the operations that each document has.
PACKAGES = {"@octokit/openapi": "23.0.2", "@blockfrost/openapi": "0.1.93", "@readme/oas-examples": "8.2.2"}
PACKAGED = {
    "@octokit/openapi/generated/api.github.com.json": 1223,
    "@blockfrost/openapi/openapi.yaml": 129,
    "@readme/oas-examples/2.0/json/petstore-expanded.json": 4,
    "@readme/oas-examples/3.0/json/star-trek.json": 120,
    "@readme/oas-examples/3.0/json/discriminators.json": 10,
    "@readme/oas-examples/3.0/json/complex-nesting.json": 5,
    "@readme/oas-examples/3.0/json/request-examples.json": 11,
    "@readme/oas-examples/3.1/json/readme.json": 54,
    "@readme/oas-examples/3.1/json/schema-types.json": 23,
    "@readme/oas-examples/3.1/json/train-travel.json": 7,
}


@cache
def load(name: str) -> Api:
    """Read a document, once for all tests."""
    return load_api(Settings(spec=str(packaged(name) if name in PACKAGED else public(name))))


def public(name: str) -> Path:
    """Return the file of a document in the folder; skips where it is not there."""
    if not (FOLDER / name).exists():
        pytest.skip(f"{name} is not in the folder of public documents; set PUBLIC_DOCUMENTS")
    return FOLDER / name


def packaged(name: str) -> Path:
    """Return the file of a document in a package of the version that is meant; skips where it is not installed."""
    package = "/".join(name.split("/")[:2])
    manifest = MODULES / package / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text(encoding="utf-8"))["version"] != PACKAGES[package]:
        pytest.skip(f"{package} {PACKAGES[package]} is not installed; npm install --prefix .ci does it")
    return MODULES / name
