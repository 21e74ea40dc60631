"""Reports where an answer differs from what the document declares, for those who ask. It advises and never refuses.

openapi-core is the judge. It is imported when it is first needed, and sees one operation at a time, under a server and
a path of its own, so that a base URL that the document does not know raises no false alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from portkey_bridge import media_types
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
    responses = {status: _comparable(response, method) for status, response in operation.responses.items()}
    alone = {
        **root,
        "openapi": "3.1.0",  # whose schemas are those of the normalized document
        "servers": [{"url": PLACEHOLDER_SERVER}],
        "paths": {**root.get("paths", {}), PLACEHOLDER_PATH: {method: {"responses": responses}}},
    }
    media_type = answer.headers.get("content-type", "").lower()
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
        content_type=media_type,
        headers=dict(answer.headers),
        data=answer.body,
    )
    try:
        readers = _readers(media_type)
        config = Config(spec_validator_cls=None, extra_media_type_deserializers=readers)  # type: ignore[arg-type]
        openapi = OpenAPI.from_dict(alone, config=config)
        errors = list(openapi.iter_response_errors(request, response))
    except Exception as error:  # an adviser that stumbles over a document must not cost the answer
        return [f"The answer could not be compared with the document ({type(error).__name__})."]
    said = [f"Not as the document declares: {line[:LONGEST_FINDING]}" for error in errors for line in _lines(error)]
    return list(dict.fromkeys(said))[:MOST_FINDINGS]


def _comparable(response: Any, method: str) -> Any:
    """Return a response with the media types as they are compared; without content for HEAD (RFC 9110, 9.3.2)."""
    if not isinstance(response, dict) or not isinstance(content := response.get("content"), dict):
        return response
    if method == "head":
        return {field: value for field, value in response.items() if field != "content"}
    return {**response, "content": {_bare(name): media_type for name, media_type in reversed(content.items())}}


def _readers(media_type: str) -> dict[str, Any]:
    """Return what reads the media type, if it is one of JSON; openapi-core knows three of them."""
    return {_bare(media_type): _read_json} if media_types.JSON.match(media_type) else {}


def _read_json(content: bytes, **parameters: str) -> Any:
    return json.loads(content)


def _bare(media_type: str) -> str:
    """Return a media type without its parameters, which say nothing of the value (RFC 9110 section 8.3.1)."""
    return media_type.partition(";")[0].strip().lower()


def _lines(error: BaseException) -> Iterator[str]:
    """Yield the violations of the schema with their places, or the error itself."""
    cause = error
    while cause.__cause__ is not None and not hasattr(cause, "schema_errors"):
        cause = cause.__cause__
    for violation in getattr(cause, "schema_errors", ()):
        yield f"{violation.json_path}: {violation.message}"
    if not hasattr(cause, "schema_errors"):
        yield str(error) or type(error).__name__
