"""What the options are about: the order in which `--help`, `.env.example` and docs/settings.md list them."""

from __future__ import annotations

from collections.abc import Mapping

#: The fields of options, in the order of Settings, by the heading that they share.
TOPICS: Mapping[str, str] = {
    "document": "spec overlays allow_refs base_url pin cache",
    "tools": "tools exclude tag read_only deprecated path_item_tools confirm",
    "listing": "discover code program_limits schema_budget",
    "calls": "files lenient timeouts retries concurrency api_rate",
    "answers": "result_limit kept_results select drop drop_empty pages answer_cache resources validate_responses",
    "credentials": "headers query cookies scheme aws_sigv4 authenticate credentials login",
    "OAuth 2": "oauth_issuer oauth_token_url oauth_authorization_url oauth_device_url oauth_scopes oauth_audience "
    "oauth_exchange oauth_caller_login",
    "TLS": "client_cert client_key client_key_passphrase ca_bundle insecure",
    "serving over HTTP": "allowed_hosts allowed_origins tokens jwt pass_header http_limits caller_rate workers store "
    "metrics",
    "this program": "config verbose audit",
}
