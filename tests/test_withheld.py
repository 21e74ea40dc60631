"""Which variables no document gets unasked: those of the machine, and other products' secrets."""

from __future__ import annotations

from itertools import chain

import pytest

from portkey_bridge.bridge.load import load_api
from portkey_bridge.credentials.withheld import is_of_another_product
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import build_tools

#: Secrets that people have in their environments, by what they are for.
SECRETS = {
    "models": "OPENROUTER_API_KEY CLAUDE_CODE_OAUTH_TOKEN TOGETHER_API_KEY "
    "DEEPSEEK_API_KEY PINECONE_API_KEY WANDB_API_KEY",
    "building": "ACTIONS_RUNTIME_TOKEN CI_JOB_TOKEN NPM_TOKEN PYPI_API_TOKEN "
    "CODECOV_TOKEN EXPO_TOKEN SYSTEM_ACCESSTOKEN",
    "databases": "DB_PASSWORD DATABASE_URL SQLALCHEMY_DATABASE_URI MONGODB_URI SNOWFLAKE_PASSWORD PGPASSWORD REDIS_URL",
    "applications": "SECRET_KEY SECRET_KEY_BASE DJANGO_SECRET_KEY JWT_SECRET "
    "SESSION_SECRET RAILS_MASTER_KEY FERNET_KEY",
    "storage": "AWS_SECRET_ACCESS_KEY MINIO_ROOT_PASSWORD S3_ACCESS_KEY "
    "B2_APPLICATION_KEY AZURE_STORAGE_CONNECTION_STRING",
    "services": "NOTION_TOKEN LINEAR_API_KEY TRELLO_KEY SHOPIFY_ACCESS_TOKEN "
    "PLAID_SECRET TWITTER_BEARER_TOKEN ZOOM_JWT",
    "operation": "NGROK_AUTHTOKEN TAILSCALE_AUTHKEY CONSUL_HTTP_TOKEN "
    "SENTRY_DSN TEAMS_WEBHOOK_URL OP_SERVICE_ACCOUNT_TOKEN",
    "machine": "SUDO_PASS SSH_PRIVATE_KEY GPG_PASSPHRASE PASSWORD "
    "ADMIN_PASSWORD EMAIL_HOST_PASSWORD WALLET_PRIVATE_KEY",
}

#: Variables of headers and queries that APIs call so, and this program's own.
USUAL = (
    "API_KEY API_KEY_ADMIN API_KEY_USER BASIC_AUTH BASIC_AUTH_ADMIN DIGEST_AUTH OAUTH_TOKEN OAUTH_CLIENT_SECRET "
    "OAUTH_PASSWORD OPENID_TOKEN X_API_KEY X_SECRET X_GITHUB_TOKEN TOKEN ACCESS_TOKEN AUTH_TOKEN API_TOKEN APP_KEY "
    "APIKEY KEY SID SESSION AUTHORIZATION AUTHORIZATION_ADMIN PRIVATE_TOKEN OCP_APIM_SUBSCRIPTION_KEY COOKIE "
    "JWT TOKEN_APP_QUERY"
)


@pytest.mark.parametrize("name", list(chain(*(names.split() for names in SECRETS.values()))))
def test_somebody_else_s_secret_is_withheld(name: str) -> None:
    """A document gets it only if a person names it."""
    assert is_of_another_product(name)


@pytest.mark.parametrize("name", USUAL.split())
def test_a_usual_name_is_not_withheld(name: str) -> None:
    """A document on disk gets what is nobody else's."""
    assert not is_of_another_product(name)


def test_the_shipped_document_gets_what_it_asks_for() -> None:
    """Nothing that the Portkey API takes is withheld."""
    names = {name for tool in build_tools(load_api(Settings())) for name in tool.variables}
    assert names
    assert [name for name in names if is_of_another_product(name)] == []
