"""Schemes that compute what they send from the request: HTTP Digest (RFC 7616) and AWS Signature Version 4.

Both are flows of httpx: a generator that takes the request, yields it with what it adds, and may take the response to
yield another request.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import httpx

from portkey_bridge.credentials.schemes import AWS, DIGEST, Credential
from portkey_bridge.errors import CallError, MissingExtra, SettingsError
from portkey_bridge.openapi.model import SecurityScheme
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import AWS_SECRET, AwsTarget

#: Variables of AWS: what the secret belongs to, and the token of a session.
AWS_KEY, AWS_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"

#: The region where the document declares signed requests, and neither --aws-sigv4 nor the host says more.
AWS_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

#: Service and region in the names of AWS's own hosts, and the service of an API of one's own.
AWS_HOST = re.compile(r"(?:.+\.)?([a-z0-9-]+)\.([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?")
AWS_SERVICE = "execute-api"


class AwsAccount(NamedTuple):
    """What a request to AWS is signed with, besides the secret. `target` is None where the host decides."""

    key: str
    token: str
    target: AwsTarget | None
    region: str = ""

    def target_of(self, host: str) -> AwsTarget:
        """Return the region and the service that a request to a host is signed for. Raises CallError."""
        named = AWS_HOST.fullmatch(host)
        if self.target is not None:
            return self.target
        if named:
            return AwsTarget(named[2], named[1])
        if not self.region:
            raise CallError(
                f"Nothing was sent: requests to {host} are signed for AWS, but for which region? Start portkey-bridge "
                f"with --aws-sigv4 REGION/SERVICE, such as --aws-sigv4 us-east-1/{AWS_SERVICE}."
            )
        return AwsTarget(self.region, AWS_SERVICE)


def signs_for_aws(schemes: Iterable[SecurityScheme], secrets: Collection[str]) -> bool:
    """Check whether one of the schemes signs requests for AWS, with a secret that is among those that may be used."""
    return AWS_SECRET in secrets and any(scheme.scheme == AWS for scheme in schemes)


def aws_account(settings: Settings) -> AwsAccount:
    """Return what requests are signed with. Raises SettingsError."""
    try:
        import botocore.auth  # noqa: F401
    except ImportError as error:
        raise MissingExtra("signing for AWS", "botocore", "aws") from error
    key, token = (settings.environ.get(name, "").strip() for name in (AWS_KEY, AWS_TOKEN))
    if not key:
        raise SettingsError(f"signing for AWS needs {AWS_KEY}, which is not set. Set it beside {AWS_SECRET}.")
    region = next((value for name in AWS_REGIONS if (value := settings.environ.get(name, "").strip())), "")
    return AwsAccount(key, token, settings.aws_sigv4, region)


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
        from botocore.credentials import Credentials

        self._credentials = Credentials(account.key, secret, account.token or None)
        self._account = account

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Yield the request with its signature. Raises CallError if the region is not known."""
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.awsrequest import AWSRequest

        region, service = self._account.target_of(request.url.host)
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        signed = {name: request.headers[name] for name in ("host", "content-type") if name in request.headers}
        url = str(request.url)
        twin = AWSRequest(request.method, url, headers=signed, data=request.content)
        kind(self._credentials, service, region).add_auth(twin)
        for name, value in twin.headers.items():
            if name.lower() not in signed:
                request.headers[name] = value
        yield request
