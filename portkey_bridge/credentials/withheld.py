"""The variables that a document does not get unasked."""

from __future__ import annotations

from collections.abc import Iterable
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


def needs_naming(name: str, settings: Settings, document_uri: str) -> str | None:
    """Return why the document gets a variable only if a person names it, or None if it may have it.

    A document on disk may have what is not somebody else's. What a URL answers may change any day, and could ask for
    whatever is set.
    """
    if name in settings.named:
        return None
    if is_url(document_uri):
        return "a document from a URL gets only credentials that are named"
    if any(fnmatchcase(name, pattern) for pattern in NOT_FOR_DOCUMENTS):
        return "it looks like another product's"
    return None


def why_withheld(name: str, settings: Settings, document_uri: str) -> str | None:
    """Return why a variable that is set is withheld from the document, and the option that changes it; else None."""
    reason = needs_naming(name, settings, document_uri)
    if reason is None or not settings.environ.get(name, "").strip():
        return None
    names = with_names(settings, [name])
    allow = f"to allow it, use --credentials {names} or set OPEN_MCP_CREDENTIALS={names}"
    return f"set, but withheld, because {reason}; {allow}"


def with_names(settings: Settings, names: Iterable[str]) -> str:
    """Return the value of OPEN_MCP_CREDENTIALS that names these variables, too."""
    return ",".join(dict.fromkeys((*sorted(settings.credentials), *names)))
