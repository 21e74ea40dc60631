"""Schemes that compute what they send from the request: HTTP Digest (RFC 7616) and AWS Signature Version 4.

Both are flows of httpx: a generator that takes the request, yields it with what it adds, and may take the response to
yield another request.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import NamedTuple

import httpx

from portkey_bridge.credentials.schemes import AWS, DIGEST, Credential
from portkey_bridge.errors import CallError, SettingsError
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import AWS_SECRET

#: Variables of AWS: what the secret belongs to, and the token of a session.
AWS_KEY, AWS_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"


class AwsAccount(NamedTuple):
    """What a request to AWS is signed with, besides the secret."""

    key: str
    token: str
    region: str
    service: str


def aws_account(settings: Settings) -> AwsAccount | None:
    """Return what --aws-sigv4 and the environment say, or None without the option. Raises SettingsError."""
    if settings.aws_sigv4 is None:
        return None
    try:
        import botocore.auth  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "--aws-sigv4 needs botocore, which is not installed. Install portkey-bridge[aws], for example by "
            "`uv tool install 'portkey-bridge[aws]'`."
        ) from error
    key, token = (settings.environ.get(name, "").strip() for name in (AWS_KEY, AWS_TOKEN))
    if not key:
        raise SettingsError(f"--aws-sigv4 needs {AWS_KEY}, which is not set. Set it beside {AWS_SECRET}.")
    region, service = settings.aws_sigv4
    return AwsAccount(key, token, region, service)


def signer_of(sent: Sequence[Credential], account: AwsAccount | None) -> httpx.Auth | None:
    """Return the flow that signs a request with one of the credentials, or None if none does. Raises CallError."""
    for credential in sent:
        if credential.signing == DIGEST:
            return _digest(credential.value, credential.variable)
        if credential.signing == AWS and account is not None:
            return _AwsSignature(credential.value, account)
    return None


@lru_cache(maxsize=16)
def _digest(login: str, variable: str) -> httpx.DigestAuth:
    """Return the flow of a login, which knows the server's last challenge."""
    user, colon, password = login.partition(":")
    if not colon:
        raise CallError(f"Nothing was sent: {variable} must be user:password for HTTP Digest.")
    return httpx.DigestAuth(user, password)


class _AwsSignature(httpx.Auth):
    """Signs requests as botocore does."""

    requires_request_body = True

    def __init__(self, secret: str, account: AwsAccount) -> None:
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.credentials import Credentials

        credentials = Credentials(account.key, secret, account.token or None)
        kind = S3SigV4Auth if account.service == "s3" else SigV4Auth
        self._auth = kind(credentials, account.service, account.region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Yield the request with its signature."""
        from botocore.awsrequest import AWSRequest

        signed = {name: request.headers[name] for name in ("host", "content-type") if name in request.headers}
        url = str(request.url)
        twin = AWSRequest(request.method, url, headers=signed, data=request.content)
        self._auth.add_auth(twin)
        for name, value in twin.headers.items():
            if name.lower() not in signed:
                request.headers[name] = value
        yield request
