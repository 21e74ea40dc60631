"""Requests whose credential is computed from them: judged by what the RFC and AWS say a server computes."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from portkey_bridge.credentials.signing import aws_account
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import Assigned, AwsTarget
from tests.conftest import Recorded, Recorder, Run, recording, text_of
from tests.support import document, served

MARKER = "S3CRET"
USER, PASSWORD = "jo", f"{MARKER}-password"
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": f"{MARKER}/of/aws",
    "AWS_SESSION_TOKEN": f"{MARKER}-session-token",
}

DIGEST = {"d": {"type": "http", "scheme": "digest"}}


def api(url: str, **fields: Any) -> dict[str, Any]:
    """Return a document of an operation that sends a text."""
    places = {"id": "path", "q": "query"}
    parameters = [{"name": name, "in": where, "required": True, "schema": {}} for name, where in places.items()]
    content = {"text/plain": {"schema": {"type": "string"}}}
    operation = {"operationId": "put", "parameters": parameters, "requestBody": {"content": content}, "responses": {}}
    return {**document({"/things/{id}": {"put": operation}}), "servers": [{"url": url}], **fields}


ARGUMENTS = {"id": "a b", "q": "x/y", "body": "Hällo"}


def parameters_of(header: str) -> dict[str, str]:
    """Return the parameters of an `Authorization` header."""
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header)}


def is_right(request: Recorded, nonce: str) -> bool:
    """Check a response as a server does (RFC 7616 section 3.4.1), with SHA-256 and `auth`."""
    given = parameters_of(request.header("authorization") or "")

    def digest(*parts: str) -> str:
        return hashlib.sha256(":".join(parts).encode()).hexdigest()

    who, what = digest(USER, "here", PASSWORD), digest(request.method, request.target)
    expected = digest(who, nonce, given["nc"], given["cnonce"], "auth", what)
    return given["response"] == expected and given["uri"] == request.target and given["username"] == USER


@pytest.fixture
def challenging() -> Iterator[Recorder]:
    """Return a server that challenges every request."""
    with recording() as record:
        challenge = 'Digest realm="here", qop="auth", algorithm=SHA-256, nonce="n0nce"'
        record.answer = (401, {"www-authenticate": challenge, "content-type": "text/plain"}, PASSWORD.encode())
        yield record


@pytest.mark.parametrize("is_declared", [True, False])
async def test_digest_answers_the_challenge(challenging: Recorder, is_declared: bool) -> None:
    """The body is sent again with the response to the challenge, and a second 401 is the answer."""
    fields = {"components": {"securitySchemes": DIGEST}, "security": [{"d": []}]} if is_declared else {}
    variable = "DIGEST_AUTH" if is_declared else "MINE"
    scheme = None if is_declared else Assigned("digest", "MINE")
    settings = Settings(environ={variable: f"{USER}:{PASSWORD}"}, scheme=scheme)
    async with served(api(challenging.url, **fields), settings) as client:
        said = text_of(await client.call_tool("put", ARGUMENTS, raise_on_error=False))
    first, second = challenging.requests
    assert first.header("authorization") is None
    assert is_right(second, "n0nce")
    assert [request.body.decode() for request in (first, second)] == ["Hällo", "Hällo"]
    assert variable in said
    assert MARKER not in said


async def test_a_digest_login_without_a_password_is_refused(challenging: Recorder) -> None:
    """What cannot be a login is named by its variable."""
    fields = {"components": {"securitySchemes": DIGEST}, "security": [{"d": []}]}
    async with served(api(challenging.url, **fields), Settings(environ={"DIGEST_AUTH": MARKER})) as client:
        said = text_of(await client.call_tool("put", ARGUMENTS, raise_on_error=False))
    assert challenging.requests == []
    assert "DIGEST_AUTH must be user:password" in said
    assert MARKER not in said


def signature(request: Recorded, region: str, service: str) -> str:
    """Return the signature that AWS computes of a request (Signature Version 4)."""
    given = parameters_of(request.header("authorization") or "")
    moment = request.header("x-amz-date") or ""
    path, _, query = request.target.partition("?")
    names = given["SignedHeaders"].split(";")
    canonical = "\n".join(
        (
            request.method,
            path.replace("%", "%25"),
            query,
            *(f"{name}:{request.header(name)}" for name in names),
            "",
            given["SignedHeaders"],
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    scope = (moment[:8], region, service, "aws4_request")
    key = f"AWS4{ACCOUNT['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(("AWS4-HMAC-SHA256", moment, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    return hmac.digest(key, text.encode(), "sha256").hex()


async def test_a_request_to_aws_is_signed(recorder: Recorder) -> None:
    """The signature covers the path, the query, the body and the token, and no result shows a secret."""
    pytest.importorskip("botocore")
    answer = json.dumps(ACCOUNT).encode()
    recorder.answer = (403, {"content-type": "application/json"}, answer)
    settings = Settings(environ=ACCOUNT, aws_sigv4=AwsTarget("eu-west-1", "execute-api"))
    async with served(api(recorder.url), settings) as client:
        said = text_of(await client.call_tool("put", ARGUMENTS, raise_on_error=False))
    given = parameters_of(recorder.last.header("authorization") or "")
    assert given["Signature"] == signature(recorder.last, "eu-west-1", "execute-api")
    assert {"host", "content-type", "x-amz-security-token"} <= {*given["SignedHeaders"].split(";")}
    assert recorder.last.header("host") == urlsplit(recorder.url).netloc
    assert recorder.last.header("x-amz-security-token") == ACCOUNT["AWS_SESSION_TOKEN"]
    assert MARKER not in said


#: How Amazon's API Gateway exports signed requests.
GATEWAY = {
    "sigv4": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"}
}


def gateway(url: str) -> dict[str, Any]:
    """Return a document that asks for signed requests."""
    return api(url, components={"securitySchemes": GATEWAY}, security=[{"sigv4": []}])


async def test_a_document_that_asks_for_signed_requests(recorder: Recorder) -> None:
    """Requests are signed with the account that a person names for it, and refused without one, with the option."""
    pytest.importorskip("botocore")
    async with served(gateway(recorder.url), Settings(environ={**ACCOUNT, "AWS_REGION": "eu-west-1"})) as client:
        said = text_of(await client.call_tool("put", ARGUMENTS, raise_on_error=False))
    assert recorder.requests == []
    assert "AWS_SECRET_ACCESS_KEY is set, but withheld" in said
    assert "--credentials AWS_SECRET_ACCESS_KEY" in said
    named = frozenset(["AWS_SECRET_ACCESS_KEY"])
    regions: list[dict[str, Any]] = [
        {"environ": {**ACCOUNT, "AWS_REGION": "eu-west-1"}, "credentials": named},
        {"environ": ACCOUNT, "aws_sigv4": AwsTarget("eu-west-1", "execute-api")},
    ]
    for settings in regions:
        async with served(gateway(recorder.url), Settings(**settings)) as client:
            await client.call_tool("put", ARGUMENTS)
        given = parameters_of(recorder.last.header("authorization") or "")
        assert given["Signature"] == signature(recorder.last, "eu-west-1", "execute-api")


async def test_a_region_that_nobody_names(recorder: Recorder) -> None:
    """Neither the host nor a variable says which region it is: nothing is sent, and the refusal names the option."""
    pytest.importorskip("botocore")
    settings = Settings(environ=ACCOUNT, credentials=frozenset(["AWS_SECRET_ACCESS_KEY"]))
    async with served(gateway(recorder.url), settings) as client:
        said = text_of(await client.call_tool("put", ARGUMENTS, raise_on_error=False))
    assert recorder.requests == []
    assert "--aws-sigv4 REGION/SERVICE" in said
    assert MARKER not in said


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("abc123.execute-api.us-east-1.amazonaws.com", ("us-east-1", "execute-api")),
        ("abc123.execute-api.cn-north-1.amazonaws.com.cn", ("cn-north-1", "execute-api")),
        ("search-x.eu-west-2.es.amazonaws.com", ("ap-south-1", "execute-api")),
        ("bucket.s3.us-gov-west-1.amazonaws.com", ("us-gov-west-1", "s3")),
        ("api.example.com", ("ap-south-1", "execute-api")),
    ],
)
def test_the_region_of_a_host(host: str, target: tuple[str, str]) -> None:
    """The names of AWS's own hosts say the region and the service; any other is an API in the region of the account."""
    pytest.importorskip("botocore")
    account = aws_account(Settings(environ={**ACCOUNT, "AWS_REGION": "ap-south-1"}))
    assert account.target_of(host) == target


def test_a_document_is_fetched_with_a_signature(
    recorder: Recorder, challenging: Recorder, run: Run, tmp_path: Path
) -> None:
    """The secrets fetch a document by what is computed from them, and an origin that it redirects to gets nothing."""
    pytest.importorskip("botocore")
    with recording() as other:
        recorder.answers["/api.json"] = (302, {"location": f"{other.url}/api.json"}, b"")
        spec = ("tools", "--spec", f"{recorder.url}/api.json", "--base-url", recorder.url)
        run(*spec, "--aws-sigv4", "eu-west-1/execute-api", env=ACCOUNT)
    given = parameters_of(recorder.last.header("authorization") or "")
    assert given["Signature"] == signature(recorder.last, "eu-west-1", "execute-api")
    assert ACCOUNT["AWS_SECRET_ACCESS_KEY"] not in str(recorder.requests)
    assert other.last.target == "/api.json"
    assert MARKER not in str(other.requests)
    url = challenging.url
    login = ("--scheme", "digest=MY_LOGIN", "--credentials", f"MY_LOGIN@{url}")
    run("tools", "--spec", f"{url}/api.json", *login, env={"MY_LOGIN": f"{USER}:{PASSWORD}"})
    assert [is_right(each, "n0nce") for each in challenging.requests[1:]] == [True]
    assert MARKER not in str(challenging.requests)
    said = run("tools", "--spec", f"{url}/api.json", *login, env={"MY_LOGIN": f"{MARKER}-without-a-colon"})
    assert (said.returncode, "must be user:password" in said.stderr, MARKER in said.stderr) == (2, True, False)
