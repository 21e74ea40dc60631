"""Reports where an answer differs from what the document declares, for those who ask. It advises and never refuses.

openapi-core is the judge. It is imported when it is first needed, and sees one operation at a time, under a server and
a path of its own, so that a base URL that the document does not know raises no false alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from portkey_bridge.openapi.model import Operation
from portkey_bridge.response.answer import Answer

PLACEHOLDER_SERVER, PLACEHOLDER_PATH = "http://portkey-bridge.invalid", "/the-operation-that-was-called"

#: How much is said.
MOST_FINDINGS, LONGEST_FINDING = 10, 300

#: Bytes of an answer from which on a comparison would take too much time and memory.
MAX_COMPARED_BYTES = 2_000_000


def findings(operation: Operation, answer: Answer, root: Mapping[str, Any]) -> list[str]:
    """Return what openapi-core finds wrong with the answer; `root` is the normalized document."""
    if len(answer.body) > MAX_COMPARED_BYTES:
        return [f"The answer was not compared with the document: it is larger than {MAX_COMPARED_BYTES:,} bytes."]
    from openapi_core import Config, OpenAPI
    from openapi_core.datatypes import RequestParameters

    method = operation.method.lower()
    alone = {
        **root,
        "openapi": "3.1.0",  # whose schemas are those of the normalized document
        "servers": [{"url": PLACEHOLDER_SERVER}],
        "paths": {**root.get("paths", {}), PLACEHOLDER_PATH: {method: {"responses": dict(operation.responses)}}},
    }
    # The attributes are those of openapi-core's protocols.
    request: Any = SimpleNamespace(
        method=method,
        host_url=PLACEHOLDER_SERVER,
        path=PLACEHOLDER_PATH,
        parameters=RequestParameters(),
        body=None,
        content_type="",
    )
    response: Any = SimpleNamespace(
        status_code=answer.status,
        content_type=answer.headers.get("content-type", "").lower(),
        headers=dict(answer.headers),
        data=answer.body,
    )
    try:
        openapi = OpenAPI.from_dict(alone, config=Config(spec_validator_cls=None))  # type: ignore[arg-type]
        errors = list(openapi.iter_response_errors(request, response))
    except Exception as error:  # an adviser that stumbles over a document must not cost the answer
        return [f"The answer could not be compared with the document ({type(error).__name__})."]
    said = [f"Not as the document declares: {line[:LONGEST_FINDING]}" for error in errors for line in _lines(error)]
    return list(dict.fromkeys(said))[:MOST_FINDINGS]


def _lines(error: BaseException) -> Iterator[str]:
    """Yield the violations of the schema with their places, or the error itself."""
    cause = error
    while cause.__cause__ is not None and not hasattr(cause, "schema_errors"):
        cause = cause.__cause__
    for violation in getattr(cause, "schema_errors", ()):
        yield f"{violation.json_path}: {violation.message}"
    if not hasattr(cause, "schema_errors"):
        yield str(error) or type(error).__name__
