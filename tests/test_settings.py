"""Settings: what wins over what, and that every option is documented where people look."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.env_files import refuse_lured_credentials
from portkey_bridge.settings.option import Option
from portkey_bridge.settings.options import OPTIONS, Settings
from portkey_bridge.settings.reading import read_settings
from portkey_bridge.settings.switches import CACHE_VARIABLE, NO_CACHE, may_use_cache
from portkey_bridge.settings.topics import TOPICS
from tests.conftest import ROOT, Run

PORTKEY_CREDENTIALS = (
    "X_PORTKEY_API_KEY",
    "X_PORTKEY_VIRTUAL_KEY",
    "API_KEY",
    "X_PORTKEY_PROVIDER",
    "X_PORTKEY_CONFIG",
    "X_PORTKEY_CUSTOM_HOST",
)

EACH_OPTION = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where no `.env` of a developer lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_defaults_serve_the_portkey_api_whole() -> None:
    """Without options, variables and files nothing is restricted and nothing is redirected."""
    assert read_settings({}, {}) == Settings()


def test_the_defaults_are_those_of_the_help() -> None:
    """What an option does when it is not set is written behind it, and is so."""
    stated = {option.field: match[1] for option in OPTIONS if (match := re.search(r"default:? ([\d,.]+)", option.help))}
    assert stated == {
        "result_limit": "40000",
        "kept_results": "32,128,60",
        "timeouts": "10,300,900",
        "retries": "2",
        "pages": "1",
        "concurrency": "16",
        "http_limits": "64,256,10",
        "workers": "1",
        "program_limits": "30,128,500,8,1000",
    }
    assert read_settings(stated, {}) == Settings()


#: variable, text, field of Settings, value
VALUES = [
    ("OPEN_MCP_SELECT", "1", "select", True),
    ("OPEN_MCP_DROP", "**/_links, a/*/b", "drop", ("**/_links", "a/*/b")),
    ("OPEN_MCP_DROP_EMPTY", "1", "drop_empty", True),
    ("OPEN_MCP_RESOURCES", "1", "resources", True),
    ("OPEN_MCP_ANSWER_CACHE", "Fresh", "answer_cache", "fresh"),
    ("OPEN_MCP_PAGES", "100", "pages", 100),
    ("OPEN_MCP_SPEC", "a.yaml", "spec", "a.yaml"),
    ("OPEN_MCP_BASE_URL", "http://127.0.0.1:8787/v1/", "base_url", "http://127.0.0.1:8787/v1/"),
    ("OPEN_MCP_TOOLS", " a, b ,,c", "tools", ("a", "b", "c")),
    ("OPEN_MCP_TOOLS", "", "tools", ()),
    ("OPEN_MCP_PATH_ITEM_TOOLS", "1", "path_item_tools", True),
    ("OPEN_MCP_PATH_ITEM_TOOLS", "TRUE", "path_item_tools", True),
    ("OPEN_MCP_PATH_ITEM_TOOLS", "0", "path_item_tools", False),
    ("OPEN_MCP_PATH_ITEM_TOOLS", "", "path_item_tools", False),
    ("OPEN_MCP_SCHEMA_BUDGET", "900", "schema_budget", 900),
    ("OPEN_MCP_SCHEMA_BUDGET", "full", "schema_budget", float("inf")),
    ("OPEN_MCP_SCHEMA_BUDGET", "", "schema_budget", None),
    ("OPEN_MCP_PASS_HEADER", "X-Key", "pass_header", "x-key"),
    ("OPEN_MCP_TOKENS", f"alice={'a' * 64}", "tokens", (("alice", "a" * 64),)),
    (
        "OPEN_MCP_JWT",
        "https://k.example, https://i.example, me",
        "jwt",
        ("https://k.example", "https://i.example", "me"),
    ),
    ("OPEN_MCP_CODE", "1", "code", "only"),
    ("OPEN_MCP_CODE", "also", "code", "also"),
    ("OPEN_MCP_CODE", "0", "code", ""),
    ("OPEN_MCP_PROGRAM_LIMITS", "10,64,9,2,5", "program_limits", (10, 64_000_000, 9, 2, 5000)),
    ("OPEN_MCP_HTTP_LIMITS", "8,16,2", "http_limits", (8, 16, 2_000_000)),
    ("OPEN_MCP_METRICS", "127.0.0.1:9090", "metrics", "127.0.0.1:9090"),
    ("OPEN_MCP_CALLER_RATE", "60/minute,1000/hour", "caller_rate", "60/minute,1000/hour"),
    ("OPEN_MCP_API_RATE", "10/second", "api_rate", "10/second"),
    ("OPEN_MCP_WORKERS", "4", "workers", 4),
    ("OPEN_MCP_STORE", "redis://127.0.0.1:6379/0", "store", "redis://127.0.0.1:6379/0"),
    ("OPEN_MCP_LOGIN", "login.toml", "login", "login.toml"),
    ("OPEN_MCP_OAUTH_ISSUER", "https://login.test", "oauth_issuer", "https://login.test"),
    ("OPEN_MCP_OAUTH_TOKEN_URL", "https://login.test/token", "oauth_token_url", "https://login.test/token"),
    ("OPEN_MCP_OAUTH_AUTHORIZATION_URL", "http://a.test/x", "oauth_authorization_url", "http://a.test/x"),
    ("OPEN_MCP_OAUTH_DEVICE_URL", "http://a.test/d", "oauth_device_url", "http://a.test/d"),
    ("OPEN_MCP_OAUTH_SCOPES", "read, write admin", "oauth_scopes", ("read", "write", "admin")),
    ("OPEN_MCP_OAUTH_AUDIENCE", "https://api.test", "oauth_audience", "https://api.test"),
    ("OPEN_MCP_CREDENTIALS", "GITHUB_TOKEN", "credentials", frozenset({"GITHUB_TOKEN"})),
    ("OPEN_MCP_HEADERS", "X-A=MINE, X-B=YOURS", "headers", (("X-A", "MINE"), ("X-B", "YOURS"))),
    ("OPEN_MCP_QUERY", "api key=MINE", "query", (("api key", "MINE"),)),
    ("OPEN_MCP_COOKIES", "a=MINE,b=YOURS", "cookies", (("a", "MINE"), ("b", "YOURS"))),
    ("OPEN_MCP_SCHEME", "Bearer=MINE", "scheme", ("bearer", "MINE")),
    ("OPEN_MCP_AUTHENTICATE", "ALL", "authenticate", "all"),
    ("OPEN_MCP_CLIENT_KEY_PASSPHRASE", "MINE", "client_key_passphrase", "MINE"),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), VALUES)
def test_a_variable_sets_its_field(variable: str, text: str, field: str, value: object) -> None:
    """Each variable is read as what it means; an empty one counts as not set."""
    assert getattr(read_settings({}, {variable: text}), field) == value


#: Options with hosts, origins or URLs, valid values of each, and values that could never match or be used.
PLACES = {
    "allow_refs": (["a.example", "a.example:8443", "[::1]:80"], ["https://a.example", "a.example/x", "a b"]),
    "insecure": (["192.168.1.5", "localhost", "::1"], ["https://a.example", "a.example:8443", "u:p@a", "/x"]),
    "allowed_hosts": (["mcp.example.com", "*.example.com", "a:*"], ["https://a.example", "a/mcp", "a:http"]),
    "allowed_origins": (
        ["https://a.example", "http://localhost:*", "*", "null", "vscode-webview://abc", "https://[::1]:8443/"],
        ["a.example", "https://", "https://a.example/page", "https://u:p@a.example", "https:/a.example", "http://a:x"],
    ),
    "jwt": (["https://k.example/keys,issuer,me"], ["https://,issuer,me", "http://a b,i,m", "https://a:x,i,m", "k,i,m"]),
}


@pytest.mark.parametrize("field", PLACES)
def test_what_can_never_match_is_refused_by_the_name_of_the_option(field: str) -> None:
    """A value is checked at the start. The message has the names by which it is set, and no login of a URL."""
    option = next(each for each in OPTIONS if each.field == field)
    valid, wrong = PLACES[field]
    for text in valid:
        assert read_settings({field: text}, {})
    for text in wrong:
        with pytest.raises(SettingsError, match=f"^{option.flag} or {option.variable}: expected .*") as by_flag:
            read_settings({field: text}, {})
        with pytest.raises(SettingsError, match=f"^{option.variable}: "):
            read_settings({}, {option.variable: text})
        assert "u:p" not in str(by_flag.value)


#: Texts for the options of a kind, by what stands for their value in the help; None for switches.
USUAL: dict[str | None, list[str]] = {
    None: ["0", "1", "0"],
    "N/UNIT,…": ["1/day", "2/day", "3/day"],
    **{name: ["http://a", "http://b", "http://c"] for name in ("URL", "URL,…")},
}


@EACH_OPTION
def test_an_option_wins_over_its_variable_and_that_over_the_file(option: Option, empty_folder: Path) -> None:
    """The command line wins over the environment, that over `.env`, where some are not read at all."""
    texts = {
        "schema_budget": ["1", "2", "3"],
        "files": [".", "..", "/"],
        "result_limit": ["1000", "2000", "3000"],
        "kept_results": ["1,1,1", "2,2,2", "3,3,3"],
        "timeouts": ["1,1,1", "2,2,2", "3,3,3"],
        "retries": ["1", "2", "3"],
        "pages": ["1", "2", "3"],
        "concurrency": ["1", "2", "3"],
        "workers": ["1", "2", "3"],
        **{
            field: [str(ROOT / name) for name in ("README.md", "LICENSE", "Makefile")]
            for field in ("client_cert", "client_key", "ca_bundle")
        },
        **{field: ["a=A", "b=B", "c=C"] for field in ("headers", "query", "cookies")},
        "client_key_passphrase": ["A", "B", "C"],
        "scheme": ["basic=A", "bearer=B", "basic=C"],
        "aws_sigv4": ["a/b", "c/d", "e/f"],
        "authenticate": ["all", "none", "declared"],
        "answer_cache": ["off", "fresh", "validate"],
        "tokens": [f"{name}={'0' * 64}" for name in "abc"],
        "jwt": [f"https://keys.example/{name},issuer,audience" for name in "abc"],
        "http_limits": ["1,1,1", "2,2,2", "3,3,3"],
        "code": ["only", "also", "1"],
        "program_limits": ["1,1,1,1,1", "2,2,2,2,2", "3,3,3,3,3"],
    }.get(option.field, USUAL.get(option.metavar, ["a", "b", "c"]))
    filed, real, flag = texts
    (empty_folder / ".env").write_text(f"{option.variable}={filed}\n")
    by_file = read_settings({}, {})
    by_environment = read_settings({}, {option.variable: real})
    by_flag = read_settings({option.field: flag}, {option.variable: real})
    found = [getattr(settings, option.field) for settings in (by_file, by_environment, by_flag)]
    expected = [getattr(read_settings({option.field: text}, {}), option.field) for text in texts]
    assert found == ([option.default, *expected[1:]] if option.dotenv == "refused" else expected)
    assert (option.variable in by_file.refused) is (option.dotenv == "refused")


def test_an_environment_file_is_read_instead_of_dotenv(empty_folder: Path) -> None:
    """`--env-file` names the file that counts; the `.env` beside it is not read."""
    (empty_folder / ".env").write_text("OPEN_MCP_TOOLS=a\nAPI_KEY=a\n")
    (empty_folder / "mine.env").write_text("OPEN_MCP_SPEC=b.yaml\n")
    settings = read_settings({}, {}, "mine.env")
    assert (settings.spec, settings.tools, settings.environ) == ("b.yaml", (), {"OPEN_MCP_SPEC": "b.yaml"})


def test_secrets_do_not_print(empty_folder: Path) -> None:
    """The `repr` of settings, which ends up in logs, shows no value of the environment."""
    (empty_folder / ".env").write_text("API_KEY=hidden\n")
    assert "hidden" not in repr(read_settings({}, {"X_PORTKEY_API_KEY": "hidden too"}))


def test_a_variable_in_both_places_is_not_lured(empty_folder: Path) -> None:
    """What the real environment says as well does not come from the file, so nothing is refused."""
    (empty_folder / ".env").write_text("OPEN_MCP_BASE_URL=http://a\n")
    settings = read_settings({}, {"OPEN_MCP_BASE_URL": "http://a", "API_KEY": "k"})
    assert settings.apart == ()
    refuse_lured_credentials(settings, ["API_KEY"])
    with pytest.raises(SettingsError, match="OPEN_MCP_BASE_URL"):
        refuse_lured_credentials(read_settings({}, {"API_KEY": "k"}), ["API_KEY"])


def test_one_real_credential_among_filed_ones_is_lured(empty_folder: Path) -> None:
    """A credential of the environment is refused beside others that the file brings, and it alone is named."""
    (empty_folder / ".env").write_text("OPEN_MCP_BASE_URL=http://a\nAPI_KEY=k\n")
    settings = read_settings({}, {"X_PORTKEY_API_KEY": "k"})
    refuse_lured_credentials(settings, ["API_KEY"])
    with pytest.raises(SettingsError, match=r"environment: X_PORTKEY_API_KEY\."):
        refuse_lured_credentials(settings, ["API_KEY", "X_PORTKEY_API_KEY"])


def test_a_server_variable_of_a_file_decides_an_origin(empty_folder: Path) -> None:
    """A `.env` that lies around can't send a real credential elsewhere by way of a server's variable."""
    (empty_folder / ".env").write_text("OPEN_MCP_SERVER_HOST=evil.example\n")
    with pytest.raises(SettingsError, match=r"OPEN_MCP_SERVER_HOST .* environment: API_KEY\."):
        refuse_lured_credentials(read_settings({}, {"API_KEY": "k"}), ["API_KEY"])


#: command line, environment, `.env`, and whether the cache is on
CACHE = [
    ([], {}, "", True),
    (["--no-cache"], {"OPEN_MCP_CACHE": "1"}, "", False),
    (["serve", "--no-cache"], {}, "", False),
    ([], {"OPEN_MCP_CACHE": "0"}, "OPEN_MCP_CACHE=1", False),
    ([], {"OPEN_MCP_CACHE": "OFF"}, "", False),
    ([], {"OPEN_MCP_CACHE": "1"}, "OPEN_MCP_CACHE=0", True),
    ([], {"OPEN_MCP_CACHE": ""}, "OPEN_MCP_CACHE=0", True),
    ([], {}, "OPEN_MCP_CACHE=0", False),
    ([], {}, "OPEN_MCP_CACHE=", True),
    ([], {}, "# OPEN_MCP_CACHE=0", True),
    ([], {}, "export OPEN_MCP_CACHE='0'", False),
    ([], {}, "OPEN_MCP_CACHE=1\nOPEN_MCP_CACHE=0", False),
    (["--env-file", "mine.env"], {}, "OPEN_MCP_CACHE=1", False),
    (["--env-file=mine.env"], {}, "OPEN_MCP_CACHE=1", False),
]


@pytest.mark.parametrize(("typed", "environ", "dotenv", "is_on"), CACHE)
def test_the_cache_is_off_for_the_first_answers_too(
    empty_folder: Path, typed: list[str], environ: dict[str, str], dotenv: str, is_on: bool
) -> None:
    """What answers before the options are parsed reads the switch by the same rules."""
    (empty_folder / ".env").write_text(f"{dotenv}\n")
    (empty_folder / "mine.env").write_text("OPEN_MCP_CACHE=no\n")
    flags = {"cache": "0"} if "--no-cache" in typed else {}
    env_file = "mine.env" if any("mine.env" in word for word in typed) else None
    assert read_settings(flags, environ, env_file).cache is is_on
    assert may_use_cache(typed, environ) is is_on


@pytest.mark.parametrize("line", ["OPEN_MCP_CACHE=${ON}", "OPEN_MCP_CACHE=maybe", "OPEN_MCP_CACHE='1'"])
def test_a_doubtful_switch_leaves_the_cache_alone(empty_folder: Path, line: str) -> None:
    """A line that only the full reader of `.env` understands keeps the early reader from using the cache."""
    (empty_folder / ".env").write_text(f"{line}\n")
    assert not may_use_cache([], {})


def test_the_early_switch_is_the_declared_option() -> None:
    """The names that are known early are those of the table."""
    (option,) = [option for option in OPTIONS if option.field == "cache"]
    assert (option.flag, option.variable) == (NO_CACHE, CACHE_VARIABLE)


# Documentation


def test_every_option_is_in_the_help(run: Run) -> None:
    """`--help` shows each option with its variable, and nothing that does not exist."""
    shown = " ".join(run("--help").stdout.split())
    assert [option.flag for option in OPTIONS if f" {option.flag}" not in shown] == []
    assert [option.variable for option in OPTIONS if f"({option.variable}" not in shown] == []


@EACH_OPTION
def test_every_option_is_in_the_documentation(option: Option) -> None:
    """The page of the settings names each option's variable and its flag."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert option.variable in page
    assert option.flag in page


def test_every_option_has_one_topic() -> None:
    """The topics have the options in the order in which they are declared."""
    assert " ".join(TOPICS.values()).split() == [option.field for option in OPTIONS]


def test_the_example_file_has_exactly_the_variables() -> None:
    """`.env.example` has the settings and the Portkey credentials, none more, and sets none of them."""
    example = dotenv_values(ROOT / ".env.example")
    assert example.keys() == {*(option.variable for option in OPTIONS), *PORTKEY_CREDENTIALS}
    assert not any(example.values())


def test_every_variable_of_the_example_file_is_explained() -> None:
    """Each variable follows a comment of one line."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    bare = [line for before, line in zip(["", *lines], lines, strict=False) if "=" in line and before[:2] != "# "]
    assert [line for line in bare if not line.startswith("#")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "http://[::1"),
        ("tools", "--spec", "https://"),
        ("diff", "old.json", "http://person:marker@[::1"),
        ("serve", "--http", "--store", "redis://person:marker@[::1"),
    ],
)
def test_a_url_that_is_malformed_is_an_error_of_one_line(arguments: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    """Wherever a URL is named, a malformed one ends the command with a sentence that shows what a right one is like."""
    (tmp_path / "old.json").write_text('{"openapi": "3.1.0", "paths": {}}', encoding="utf-8")
    ended = run(*arguments)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "a URL like https://" in ended.stderr or "a URL such as redis://" in ended.stderr
    assert "marker" not in ended.stderr
