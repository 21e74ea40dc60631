"""The credentials that fetch a document behind a login: those that a person adds and names for its origin."""

from __future__ import annotations

import httpx

from portkey_bridge.credentials.configuration import own_schemes
from portkey_bridge.credentials.schemes import COOKIES, credentials
from portkey_bridge.credentials.signing import aws_account, signer_of, signs_for_aws
from portkey_bridge.credentials.variables import collect_secrets
from portkey_bridge.document.access import Access
from portkey_bridge.errors import CallError, SettingsError
from portkey_bridge.http.trust import Trust
from portkey_bridge.settings.env_files import refuse_lured_credentials
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import origin_of


def access_of(settings: Settings, url: str) -> Access:
    """Return how the document at a URL is requested. Raises SettingsError.

    A credential is named for the document's origin by `--credentials NAME@ORIGIN`, or by a base URL of that origin.
    """
    origin = origin_of(url)
    is_home = origin is not None and origin == origin_of(settings.base_url)
    schemes = [each for each in own_schemes(settings) if is_home or origin in settings.bound.get(each.variable, ())]
    secrets = collect_secrets([scheme.variable for scheme in schemes], settings, url)
    refuse_lured_credentials(settings, secrets)
    try:
        every = credentials((tuple(schemes),), secrets)
        signer = signer_of(every, aws_account(settings) if signs_for_aws(schemes, secrets) else None)
    except CallError as error:
        raise SettingsError(str(error)) from error
    sent = [each for each in every if not each.signing]
    headers = {each.name: each.value for each in sent if each.location == "header"}
    cookies = "; ".join(f"{each.name}={each.value}" for each in sent if each.location == "cookie")
    if cookies:
        headers[COOKIES[1]] = "; ".join(filter(None, (headers.get("Cookie"), cookies)))
    query = {each.name: each.value for each in sent if each.location == "query"}
    hosts = frozenset([httpx.URL(url).host] if is_home else ())
    return Access(origin, headers, query, trust_with(settings, hosts), signer)


def trust_with(settings: Settings, hosts: frozenset[str]) -> Trust:
    """Return what the settings say about TLS; the client certificate is for these hosts. Raises SettingsError."""
    insecure = frozenset(map(str.lower, settings.insecure))
    return Trust(
        settings.ca_bundle, settings.client_cert, settings.client_key, passphrase_of(settings), insecure, hosts
    )


def passphrase_of(settings: Settings) -> str:
    """Return the passphrase of the client's key, or "" if no variable is named. Raises SettingsError."""
    name = settings.client_key_passphrase
    passphrase = settings.environ.get(name, "") if name else ""
    if name and not passphrase:
        raise SettingsError(f"{name} is not set, which --client-key-passphrase names.")
    return passphrase
