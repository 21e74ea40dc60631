"""The files for containers: what they start is a command line and settings that this program takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from portkey_bridge.callers.store import STORE_KEY, open_store
from portkey_bridge.cli.main import build_parser
from portkey_bridge.settings.options import OPTIONS
from portkey_bridge.settings.reading import read_settings
from portkey_bridge.web.http_server import DRAIN, address_of
from tests.conftest import ROOT

KNOWN = {option.variable for option in OPTIONS}


def objects(path: str) -> list[dict[str, Any]]:
    return [*yaml.safe_load_all((ROOT / "deploy" / path).read_text(encoding="utf-8"))]


def test_the_image_starts_the_server() -> None:
    """The command of the Dockerfile is understood, and its files exist and are not ignored."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    command = json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    options = vars(build_parser().parse_args(command))
    assert address_of(options["http"]).port == 8000
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for names in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in names.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
    assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)


def test_compose_sets_known_variables() -> None:
    """Each variable of the servers is one that this program reads, with a value that it takes."""
    (compose,) = objects("compose.yaml")
    variables = compose["services"]["bridge"]["environment"]
    assert variables.keys() <= {*KNOWN, STORE_KEY}
    settings = read_settings({}, variables)
    assert settings.allowed_hosts
    assert open_store(settings.store, "x" * 44).is_shared
    assert urlsplit(settings.store or "").hostname in compose["services"]
    assert (ROOT / "deploy" / "nginx.conf").is_file()


def test_the_store_keeps_logins_when_it_is_restarted() -> None:
    """What the store writes is on a volume, and where it writes."""
    (compose,) = objects("compose.yaml")
    store = compose["services"]["valkey"]
    (volume,) = store["volumes"]
    assert volume.split(":") == [*compose["volumes"], store["working_dir"]]
    (stateful,) = [each["spec"] for each in objects("kubernetes/portkey-bridge.yaml") if each["kind"] == "StatefulSet"]
    (container,) = stateful["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    (claim,) = stateful["volumeClaimTemplates"]
    assert (mount["name"], mount["mountPath"]) == (claim["metadata"]["name"], container["workingDir"])
    for command in (store["command"], container["command"]):
        assert command[command.index("--appendonly") + 1] == "yes"


def test_kubernetes_starts_the_server() -> None:
    """The arguments of the container are understood, its secrets are settings or credentials, and its probes exist."""
    every = objects("kubernetes/portkey-bridge.yaml")
    kinds = {each["kind"]: each for each in every if each["metadata"]["name"] == "portkey-bridge"}
    assert set(kinds) == {"Secret", "Deployment", "Service", "HorizontalPodAutoscaler"}
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert vars(build_parser().parse_args(container["args"]))["http"] == "0.0.0.0:8000"
    secrets = kinds["Secret"]["stringData"]
    assert dict(read_settings({}, secrets).tokens).keys() == {"alice"}
    assert STORE_KEY in secrets
    (store,) = [each["value"] for each in container["env"] if each["name"] == "OPEN_MCP_STORE"]
    hosts = {each["metadata"]["name"] for each in every if each["kind"] == "Service"}
    assert urlsplit(store).hostname in hosts
    drained = container["lifecycle"]["preStop"]["sleep"]["seconds"] + DRAIN
    assert drained < pod["terminationGracePeriodSeconds"]
    probes = [container[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert probes == ["/readyz", "/readyz", "/healthz"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == kinds["Service"]["spec"]["selector"]


@pytest.mark.slow
def test_other_programs_accept_the_files() -> None:
    """hadolint has nothing to say of the Dockerfile, and each object is valid for Kubernetes."""
    validate = pytest.importorskip("kubernetes_validate").validate
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for each in objects("kubernetes/portkey-bridge.yaml"):
        validate(each, "1.33", strict=True)
