"""check: what is wrong with a document is found, with the place where its owner can mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, Connect, Recorder, Run, run_in
from tests.support import document

Report = tuple[int, dict[str, Any]]

BROKEN: dict[str, Any] = document(
    {
        "/pets": {
            "get": {"operationId": "listPets", "summary": "All pets", "responses": {"200": {"description": "OK"}}},
            "post": {
                "operationId": "createPet",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
                "callbacks": {"born": {"{$request.body#/url}": {"post": {"responses": {}}}}},
            },
        },
        "/pets/{id}": {"get": {"summary": "One pet"}},
        "/lost": {
            "get": {"summary": "Nothing", "parameters": [{"name": "marker-lost", "in": "nowhere", "required": True}]},
        },
    },
    webhooks={"newPet": {"post": {"responses": {}}}},
    security=[{"key": []}],
    components={
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-pets-key"}},
        "schemas": {
            "Pet": {"type": "object", "properties": {"name": {"type": "strnig", "x-marker": "type"}}},
        },
    },
)

WRITERS: dict[str, Callable[[Any], str]] = {
    "indented.json": lambda value: json.dumps(value, indent=2),
    "compact.json": json.dumps,
    "block.yaml": lambda value: yaml.safe_dump(value, sort_keys=False),
    "several.yaml": lambda value: f"---\n{yaml.safe_dump(value)}---\na: 1\n",
    "flow.yaml": lambda value: yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=60),
}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a document with one thing of each kind that is wrong."""
    file = tmp_path / "pets.json"
    file.write_text(json.dumps(BROKEN, indent=2), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def report_of_portkey(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return the exit code and the report of a strict check of the shipped document, which takes seconds."""
    done = run_in(tmp_path_factory.mktemp("portkey"), "check", "--strict", "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def report_of(run: Run, *arguments: str) -> dict[str, Any]:
    """Return what `check --json` prints. Fails where it says anything else."""
    done = run("check", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


def of_kind(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the findings of a kind."""
    return [finding for finding in report["findings"] if finding["kind"] == kind]


def test_the_report_says_what_a_document_offers(run: Run, broken: Path) -> None:
    """It counts operations, tools, and what the API calls itself, and names credentials and servers."""
    report = report_of(run, str(broken))
    assert {name: report[name] for name in ("title", "version", "specification", "operations", "tools")} == {
        "title": "Test",
        "version": "1",
        "specification": "3.1.0",
        "operations": 3,
        "tools": 3,
    }
    assert (report["webhooks"], report["callbacks"]) == (1, 1)
    assert report["credentials"] == {"X_PETS_KEY": 3}
    assert report["servers"] == {"/": 3}


@pytest.mark.slow
def test_each_finding_names_its_place(run: Run, broken: Path) -> None:
    """What was left out or repaired comes with method, path, pointer and line."""
    report = report_of(run, str(broken))
    lines = broken.read_text(encoding="utf-8").splitlines()
    (lost,) = of_kind(report, "skipped")
    assert "marker-lost" in lost["problem"]
    (place,) = lost["places"]
    assert (place["method"], place["path"], place["pointer"]) == ("GET", "/lost", "#/paths/~1lost/get")
    assert lines[place["line"] - 1].strip() == '"get": {'
    assert "/lost" in lines[place["line"] - 2]
    slip, undeclared = of_kind(report, "repaired")
    assert "strnig" in slip["problem"]
    assert slip["places"][0]["pointer"] == "#/components/schemas/Pet/properties/name"
    assert lines[slip["places"][0]["line"] - 1].strip() == '"name": {'
    assert "{id}" in undeclared["problem"]
    assert undeclared["places"][0]["path"] == "/pets/{id}"
    (undescribed,) = of_kind(report, "undescribed")
    assert [(place["method"], place["path"]) for place in undescribed["places"]] == [("POST", "/pets")]
    (nowhere,) = of_kind(report, "nowhere")
    assert nowhere["count"] == 3


def test_the_validator_is_heard(run: Run, broken: Path) -> None:
    """What openapi-spec-validator finds is advice, with its place."""
    advice = of_kind(report_of(run, str(broken)), "advice")
    assert any("Path parameter 'id'" in finding["problem"] for finding in advice)
    assert all(finding["places"][0]["pointer"].startswith("#") for finding in advice)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_lines_are_found_in_json_and_yaml(run: Run, tmp_path: Path, name: str) -> None:
    """However the document is written, the line is the one where the key stands."""
    wrong = {"type": "object", "properties": {'a\n"é\\': {"type": "array", "items": [{"type": "marker"}, {}]}}}
    described: dict[str, Any] = {"description": "[{,:}] " * 3, "x-odd": [1.5, None, {"a": []}, "\t\U0001f600"]}
    paths = {"/x": {"post": {"requestBody": {"content": {"application/json": {**described, "schema": wrong}}}}}}
    text = WRITERS[name](document(paths))
    (tmp_path / name).write_text(text, encoding="utf-8")
    (found,) = (one for one in of_kind(report_of(run, name), "repaired") if "marker" in one["problem"])
    near = 1 + text[: text.index("marker")].count("\n")
    (place,) = found["places"]
    assert near - 4 <= place["line"] <= near
    assert (place["method"], place["path"]) == ("POST", "/x")


def test_other_files_are_named(run: Run, tmp_path: Path) -> None:
    """What is wrong in a file that the document refers to is told with that file and its line."""
    paths = {"/x": {"get": {"parameters": [{"$ref": "common/parameters.yaml#/limit"}]}}}
    (tmp_path / "api.json").write_text(json.dumps(document(paths)), encoding="utf-8")
    (tmp_path / "common").mkdir()
    text = "# shared\nlimit:\n  name: limit\n  in: query\n  schema:\n    type: marker\n"
    (tmp_path / "common" / "parameters.yaml").write_text(text, encoding="utf-8")
    (found,) = (one for one in of_kind(report_of(run, "api.json"), "repaired") if "marker" in one["problem"])
    assert found["places"] == [
        {"method": None, "path": None, "pointer": "#/limit/schema", "file": "common/parameters.yaml", "line": 5}
    ]


@pytest.mark.slow
def test_a_swagger_document_is_told_in_its_own_places(run: Run, tmp_path: Path) -> None:
    """A schema of Swagger 2.0 is found under `definitions`, where its owner wrote it."""
    root = {
        "swagger": "2.0",
        "info": {"title": "Old", "version": "1"},
        "paths": {"/x": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/Pet"}}}}}},
        "definitions": {"Pet": {"type": "marker"}},
    }
    text = json.dumps(root, indent=1)
    (tmp_path / "old.json").write_text(text, encoding="utf-8")
    (found,) = of_kind(report_of(run, "old.json"), "repaired")
    assert found["places"][0]["line"] == 1 + text[: text.index('"Pet": {')].count("\n")


@pytest.mark.slow
def test_strict_fails_on_any_finding(run: Run, broken: Path, tmp_path: Path) -> None:
    """`--strict` exits with 1 where there is a finding, and with 0 where there is none."""
    assert run("check", str(broken)).returncode == 0
    assert run("check", str(broken), "--strict").returncode == 1
    good = document({"/x": {"get": {"summary": "X", "responses": {"200": {"description": "OK"}}}}})
    good["servers"] = [{"url": "https://api.example.com"}]
    (tmp_path / "good.json").write_text(json.dumps(good), encoding="utf-8")
    done = run("check", "good.json", "--strict")
    assert done.returncode == 0
    assert done.stdout.endswith("0 findings.\n")


@pytest.mark.slow
def test_the_document_of_the_portkey_api_is_in_order(report_of_portkey: Report) -> None:
    """Without a document named, it is the Portkey API's, and nothing is found in it."""
    code, report = report_of_portkey
    assert (code, report["findings"]) == (0, [])
    assert report["operations"] == 231


@pytest.mark.slow
def test_the_document_may_be_named_as_everywhere(run: Run, broken: Path) -> None:
    """The argument, the option and the variable name the same document; one that is not there is one line."""
    by_argument = run("check", str(broken)).stdout
    assert run("check", "--spec", str(broken)).stdout == by_argument
    assert run("check", env={"OPEN_MCP_SPEC": str(broken)}).stdout == by_argument
    missing = run("check", "none.yaml")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "none.yaml" in missing.stderr


@pytest.mark.slow
async def test_the_size_is_that_of_the_listing(report_of_portkey: Report, connect: Connect) -> None:
    """Bytes and largest tools are those of what an MCP client is told: name, description and input schema."""
    _, report = report_of_portkey
    async with connect() as client:
        tools = [tool for tool in await client.list_tools() if not tool.name.startswith("expand")]
    sizes = {
        tool.name: len(
            json.dumps(
                {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema},
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode()
        )
        for tool in tools
    }
    assert report["listing"]["bytes"] == sum(sizes.values())
    assert [size["bytes"] for size in report["largest"]] == sorted(sizes.values(), reverse=True)[:10]
    assert abs(report["listing"]["tokens"] - report["listing"]["bytes"] / 4) < len(tools) * 2


@pytest.mark.slow
def test_the_validator_knows_what_a_url_refers_to(run: Run, recorder: Recorder) -> None:
    """A document from a URL is validated with the files beside it, which are fetched once."""
    schema = {"$ref": "parts.json#/Wrong"}
    root = document({"/x": {"get": {"parameters": [{"name": "a", "in": "query", "schema": schema}]}}})
    files = {"/api.json": root, "/parts.json": {"Wrong": {"type": "marker"}}}
    for path, value in files.items():
        recorder.answers[path] = (200, {"content-type": "application/json"}, json.dumps(value).encode())
    report = report_of(run, f"{recorder.url}/api.json")
    assert report["notes"] == []
    assert any("marker" in finding["problem"] for finding in of_kind(report, "advice"))
    assert sorted(request.target for request in recorder.requests) == sorted(files)


def test_a_crash_of_the_validator_is_survived(run: Run, tmp_path: Path) -> None:
    """What the validator could not say is a note; files that this program does not read are not read by it either."""
    secret = tmp_path.parent / f"{tmp_path.name}-secret.txt"
    secret.write_text('{"type": "s3cr3t-value"}', encoding="utf-8")
    schemas = [{"$ref": secret.as_uri()}, {"$ref": "http://127.0.0.1:9/x.json"}, {"$ref": "none.yaml"}]
    parameters = [{"name": f"p{index}", "in": "query", "schema": schema} for index, schema in enumerate(schemas)]
    root = document({"/x": {"get": {"parameters": parameters}}})
    (tmp_path / "odd.json").write_text(json.dumps(root), encoding="utf-8")
    done = run("check", "odd.json")
    assert done.returncode == 0
    assert "The validator failed (" in done.stdout
    assert "s3cr3t-value" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_document_of_aliases_comes_to_an_end(run: Run, tmp_path: Path) -> None:
    """Aliases that stand for very much text cost the text that was written, in the validator as well."""
    lines = ["openapi: 3.1.0", "info: {title: T, version: '1'}", "paths: {}", f"x-a: &a {'long ' * 100_000}"]
    lines += [f"x-{index}: [{', '.join(['*a'] * 100)}]" for index in range(200)]
    (tmp_path / "aliases.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert report_of(run, "aliases.yaml")["tools"] == 0


@pytest.mark.slow
def test_the_words_for_people_hold_what_programs_get(run: Run, broken: Path) -> None:
    """Every problem and every path of the JSON report stands in the one for people."""
    words = run("check", str(broken)).stdout
    for finding in report_of(run, str(broken))["findings"]:
        assert finding["problem"] in words
        assert all(place["path"] in words for place in finding["places"] if place["path"])
    assert str(ROOT) not in words
