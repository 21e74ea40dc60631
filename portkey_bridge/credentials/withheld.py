"""The variables that a document does not get unasked."""

from __future__ import annotations

from fnmatch import fnmatchcase

from portkey_bridge.document.sources import is_url
from portkey_bridge.settings import Settings

#: Variables that configure a machine, or are known as other products' secrets. A document gets them only when they are
#: named in OPEN_MCP_CREDENTIALS: it could have been written to ask for them.
NOT_FOR_DOCUMENTS = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "LANG", "LC_*", "TERM", "TMPDIR", "TEMP", "TMP", "EDITOR"),
    *("HOSTNAME", "DISPLAY", "MAIL", "XDG_*", "LD_*", "DYLD_*", "PYTHON*", "VIRTUAL_ENV", "NODE_*", "JAVA_*"),
    *("*_PROXY", "SSL_CERT_*", "SSH_*", "GPG_*", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "SYSTEMROOT", "WINDIR"),
    *("USERPROFILE", "OPEN_MCP_*", "FASTMCP_*", "PIP_*", "UV_*", "NPM_*", "TWINE_*", "CARGO_*", "PYPI_*"),
    *("AWS_*", "AZURE_*", "ARM_*", "GOOGLE_*", "GCP_*", "GCLOUD_*", "CLOUDSDK_*", "DIGITALOCEAN_*", "HEROKU_*"),
    *("CLOUDFLARE_*", "CF_API_*", "VAULT_*", "KUBECONFIG", "DOCKER_*", "TF_*", "CI_*", "VERCEL_*", "NETLIFY_*"),
    *("GITHUB_*", "GH_*", "GITLAB_*", "BITBUCKET_*", "JIRA_*", "SLACK_*", "DISCORD_*", "TELEGRAM_*", "TWILIO_*"),
    *("OPENAI_*", "ANTHROPIC_*", "GEMINI_*", "MISTRAL_*", "COHERE_*", "GROQ_*", "HF_*", "HUGGING*", "XAI_*"),
    *("STRIPE_*", "SENDGRID_*", "DATABASE_*", "POSTGRES*", "PG*", "MYSQL_*", "REDIS_*", "MONGO*", "SENTRY_*"),
    *("DATADOG_*", "DD_*", "NEW_RELIC_*", "SNYK_*", "SONAR_*"),
)


def is_withheld(name: str, settings: Settings, document_uri: str) -> bool:
    """Check whether a variable is set and the document must not have it, unless OPEN_MCP_CREDENTIALS names it.

    A document on disk may have what is not somebody else's. What a URL answers may change any day, and could ask for
    whatever is set.
    """
    if name in settings.credentials or not settings.environ.get(name, "").strip():
        return False
    return is_url(document_uri) or any(fnmatchcase(name, pattern) for pattern in NOT_FOR_DOCUMENTS)
