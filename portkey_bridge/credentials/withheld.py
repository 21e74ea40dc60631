"""The variables that a document does not get unasked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from portkey_bridge.settings.options import Settings, key_in_file
from portkey_bridge.text import is_url

#: Variables that configure a machine, or are known as other products'. A document gets them only when they are named in
#: OPEN_MCP_CREDENTIALS: it could have been written to ask for them. Secrets of products that are missing here are
#: recognized by their words.
NOT_FOR_DOCUMENTS = """
    PATH HOME USER LOGNAME SHELL PWD LANG LC_* TERM TMPDIR TEMP TMP EDITOR HOSTNAME DISPLAY MAIL XDG_* LD_* DYLD_*
    *_PROXY SSL_CERT_* SSH_* SSHPASS GPG_* APPDATA LOCALAPPDATA PROGRAMDATA SYSTEMROOT WINDIR USERPROFILE NETRC
    PYTHON* VIRTUAL_ENV NODE_* JAVA_* OPEN_MCP_* FASTMCP_* MCP_* PIP_* UV_* NPM_* TWINE_* CARGO_* PYPI_* POETRY_* YARN_*
    BUNDLE_* GEM_* MAVEN_* GRADLE_* NUGET_* HOMEBREW_* CONDA_*
    AWS_* AZURE_* ARM_* GOOGLE_* GCP_* GCLOUD_* CLOUDSDK_* DIGITALOCEAN_* HEROKU_* CLOUDFLARE_* CF_* VERCEL_* NETLIFY_*
    FLY_* RAILWAY_* LINODE_* HCLOUD_* SCW_* OCI_* OS_* ALIBABA_* ALICLOUD_* VAULT_* KUBECONFIG KUBE* DOCKER_* TF_*
    PULUMI_* SUPABASE_* FIREBASE_*
    GITHUB_* GH_* GITLAB_* BITBUCKET_* GITEA_* JIRA_* ATLASSIAN_* CONFLUENCE_* SLACK_* DISCORD_* TELEGRAM_* TWILIO_*
    CI_* ACTIONS_* RUNNER_* CIRCLE* BUILDKITE_* JENKINS_* DRONE_* TRAVIS_* SYSTEM_ACCESSTOKEN SNYK_* SONAR_* CODECOV_*
    OPENAI_* ANTHROPIC_* CLAUDE_* GEMINI_* MISTRAL_* COHERE_* GROQ_* OPENROUTER_* HF_* HUGGING* XAI_* REPLICATE_*
    LANGCHAIN_* LANGSMITH_*
    STRIPE_* SENDGRID_* MAILGUN_* SMTP_* SENTRY_* DATADOG_* DD_* NEW_RELIC_*
    DATABASE_* DB_* POSTGRES* PG* MYSQL_* REDIS_* MONGO* RABBITMQ_* AMQP_* KAFKA_* ELASTIC* SNOWFLAKE_* DATABRICKS_*
    *_BROKER_URL RESTIC_* BORG_* BW_*
""".split()

#: Names that are not another product's: those of headers that APIs invent, and this program's own.
FOR_DOCUMENTS = re.compile(r"X_.*|API_KEY(_.*)?|BASIC_AUTH(_.*)?|OAUTH_.*|OPENID_TOKEN(_.*)?|AUTHORIZATION(_.*)?")

#: What is a secret under any name, at the end of a word or as one.
SECRET = re.compile(
    r"(.*_)?([A-Z0-9]*(SECRETS?|PASSWORD|PASSWD|PASSPHRASE|PASSCODE)|PASS|PWD|DSN|MNEMONIC|SALT|CREDENTIALS?)(_.*)?"
    r"|(.*_)?(PRIVATE|ENCRYPTION|SIGNING|MASTER|DEPLOY|ROOT|SERVICE_ROLE|SERVICE_ACCOUNT)_?KEY(_.*)?"
    r"|.*(CONNECTION_STRING|WEBHOOK(_URL)?|_DATABASE_UR[IL]|_SERVICE_ACCOUNT(_.*)?)"
)

#: Words of a key or token, and those that say nothing about whose it is.
KEY_WORDS = re.compile(r"[A-Z0-9]*(KEYS?|TOKENS?|JWT|PAT|COOKIE|BEARER)(64|[0-9]?)")
NOBODYS_WORDS = frozenset(
    """
    API APP APPLICATION APIKEY ACCESS AUTH AUTHENTICATION ID IDENTITY USER CLIENT SESSION SUBSCRIPTION ADMIN PRIVATE
    PUBLIC DEVELOPER PARTNER ACCOUNT MERCHANT PROJECT ORGANIZATION TENANT COMPANY CSRF XSRF REFRESH SECURITY REQUEST
    OCP APIM KEY TOKEN JWT BEARER COOKIE HEADER HTTP REST MY
    """.split()
)


def needs_naming(name: str, settings: Settings, document_uri: str) -> str | None:
    """Return why the document gets a variable only if a person names it, or None if it may have it.

    A document on disk may have what is not somebody else's. What a URL answers may change any day, and could ask for
    whatever is set.
    """
    if name in settings.named.union(settings.assigned):
        return None
    if is_url(document_uri):
        return "a document from a URL gets only credentials that are named"
    return "it looks like another product's" if is_of_another_product(name) else None


def is_of_another_product(name: str) -> bool:
    """Check whether a variable looks like one of the machine, or like another product's secret.

    The name of a product precedes `KEY` or `TOKEN`; what follows may be that of a scheme.
    """
    if FOR_DOCUMENTS.fullmatch(name):
        return False
    if any(fnmatchcase(name, pattern) for pattern in NOT_FOR_DOCUMENTS) or SECRET.fullmatch(name):
        return True
    words = name.split("_")
    at = next((at for at, word in enumerate(words) if KEY_WORDS.fullmatch(word)), 0)
    return any(map(_says_whose, words[:at]))


def _says_whose(word: str) -> bool:
    """Check whether a word of a variable's name is that of a product: neither general, nor a key itself."""
    return not (word in NOBODYS_WORDS or word.isdecimal() or KEY_WORDS.fullmatch(word))


def why_withheld(name: str, settings: Settings, document_uri: str) -> str | None:
    """Return why a variable that is set is withheld from the document, and the option that changes it; else None."""
    reason = needs_naming(name, settings, document_uri)
    if reason is None or not settings.environ.get(name, "").strip():
        return None
    return f"set, but withheld, because {reason}; to allow it, {_naming(settings, with_names(settings, [name]))}"


def _naming(settings: Settings, names: str) -> str:
    """Return how a person names these variables: in the table of the API, if it has one."""
    key = key_in_file(settings.name, "credentials", names)
    return f"set {key}" if key else f"use --credentials {names} or set OPEN_MCP_CREDENTIALS={names}"


def with_names(settings: Settings, names: Iterable[str]) -> str:
    """Return the value of OPEN_MCP_CREDENTIALS that names these variables, too."""
    return ",".join(dict.fromkeys((*sorted(settings.credentials), *names)))
