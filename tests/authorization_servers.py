"""Stand-ins for the authorization servers of the internet, behind a proxy that leads every `https` URL to them.

One person, Ada, has logged in at all of them. A token stands for her if it is `OPAQUE`, or signed by them.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import trustme
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

Json = dict[str, Any]

#: Ada's token, where tokens are opaque.
OPAQUE = "token-of-ada-at-the-authorization-server"

DISCOVERY = "/.well-known/openid-configuration"
OAUTH_METADATA = "/.well-known/oauth-authorization-server"


@dataclass
class AuthorizationServers:
    """What the authorization servers have in common: their keys, and what they answer.

    `issued` is what their token endpoints issue. `token` is a token of a client for `audience` that an issuer signs.
    """

    issued: str = OPAQUE
    audience: str = "bridge"
    proxy: str = ""
    certificate: str = ""
    asked: list[str] = field(default_factory=list)

    @cached_property
    def keys(self) -> dict[str, Any]:
        """Return the keys that tokens are signed with, by algorithm."""
        return {"RS256": RSAKey.generate_key(2048, {"kid": "rsa"}), "ES256": ECKey.generate_key("P-256", {"kid": "ec"})}

    def token(self, issuer: str, algorithm: str = "RS256", header: Mapping[str, Any] = {}, **claims: Any) -> str:
        """Return a token of an issuer with these claims besides the usual ones, without those that are None."""
        now, key = int(time.time()), self.keys[algorithm]
        usual = {"iss": issuer, "aud": self.audience, "sub": "ada", "iat": now, "exp": now + 200, "scope": "openid"}
        every = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, every, key, algorithms=[algorithm])

    @property
    def env(self) -> dict[str, str]:
        """The variables with which a program takes these servers for the internet."""
        return {"HTTPS_PROXY": self.proxy, "SSL_CERT_FILE": self.certificate}

    def answer(self, host: str, path: str, credential: str, form: str) -> tuple[int, Json]:
        """Return the answer to a request for a path, with the bearer token or the form that it has."""
        self.asked.append(f"{host}{path}")
        if DISCOVERY in path or OAUTH_METADATA in path:
            return 200, self._metadata(f"https://{host}{path.partition('/.well-known/')[0]}")
        if path.endswith(("/keys", "/certs", "/jwks", "/jwks.json")):
            return 200, {"keys": [key.as_dict(private=False) for key in self.keys.values()]}
        if path.endswith(("/token", "/access_token")):
            ids = self.token(f"https://{host}", nonce=None)
            return 200, {"access_token": self.issued, "token_type": "bearer", "expires_in": 3600, "id_token": ids}
        if path.endswith(("/introspect", "/token_info")):
            return 200, {**ADA, "active": f"token={OPAQUE}" in form.split("&")}
        return (200, ADA) if credential == f"Bearer {OPAQUE}" else (401, {"message": "Bad credentials"})

    def _metadata(self, issuer: str) -> Json:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "registration_endpoint": f"{issuer}/register",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }


#: Ada, in the words of each server that is asked about a token.
ADA: Json = {
    "sub": "ada",
    "id": "ada",
    "login": "ada",
    "aud": "bridge",
    "client_id": "bridge",
    "scope": "openid email profile identify user",
    "scopes": ["openid", "email", "profile", "identify", "user"],
    "application": {"id": "bridge"},
    "user": {"id": "ada"},
}


@contextmanager
def authorization_servers(folder: Path) -> Iterator[AuthorizationServers]:
    """Run the authorization servers of all hosts until the end of the block."""
    servers, authority = AuthorizationServers(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            self.host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(self.host).configure_cert(context)
            self.request = self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

        def do_GET(self) -> None:
            form = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            credential = self.headers.get("authorization", "")
            status, answer = servers.answer(self.host, self.path, credential, form)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.proxy = f"http://127.0.0.1:{server.server_port}"
        servers.certificate = str(folder / "authority.pem")
        yield servers
        server.shutdown()
        thread.join()


def claims_of(token: str) -> Json:
    """Return what a JSON Web Token says, without a look at its signature."""
    payload = token.split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
