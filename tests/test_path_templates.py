"""Paths in the syntax of other templates reach the API as what they mean, where they can mean one thing only."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_bridge.tools.catalog import build_tools
from tests.conftest import Recorder
from tests.support import api_of, operation, sent


def path_parameter(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, **fields}


#: The path, the name of its parameter, and the path that is requested with the value 5.
PATHS = [
    pytest.param("/a/{größe}", "größe", "/a/5", id="letters of other scripts"),
    pytest.param("/a/{ id }", " id ", "/a/5", id="blanks"),
    pytest.param("/a/{ id }", "id", "/a/5", id="blanks around the name"),
    pytest.param("/a/{a[b]}", "a[b]", "/a/5", id="brackets"),
    pytest.param("/a/{a\\b}", "a\\b", "/a/5", id="a backslash"),
    pytest.param("/a/{a/b}/c", "a/b", "/a/5/c", id="a slash"),
    pytest.param("/a/{id:int}", "id", "/a/5", id="name and type"),
    pytest.param("/a/{int:id}", "id", "/a/5", id="type and name"),
    pytest.param("/a/{id:[0-9]{1,3}}/c", "id", "/a/5/c", id="a pattern with braces"),
    pytest.param("/a/{id:[^/?#]+}/c", "id", "/a/5/c", id="a pattern with delimiters"),
    pytest.param("/a/{id?}", "id", "/a/5", id="an optional variable"),
    pytest.param("/a/{proxy+}", "proxy", "/a/5", id="a gateway's greedy variable"),
    pytest.param("/a/{id}", "{id}", "/a/5", id="braces in the parameter's name"),
    pytest.param("/a/:id/c", "id", "/a/5/c", id="a colon"),
    pytest.param("/a/<id>", "id", "/a/5", id="angle brackets"),
    pytest.param("/a/<int:id>", "id", "/a/5", id="angle brackets with a type"),
    pytest.param("/a/<id:int>", "id", "/a/5", id="angle brackets with a type behind"),
    pytest.param("/a/(?P<id>[0-9]+)/c", "id", "/a/5/c", id="a group of a regular expression"),
    pytest.param("/a/[id]", "id", "/a/5", id="square brackets"),
    pytest.param("/a/[...id]", "id", "/a/5", id="square brackets for the rest"),
    pytest.param("/a/*id", "id", "/a/5", id="an asterisk"),
    pytest.param("/a/$id", "id", "/a/5", id="a dollar sign"),
    pytest.param("/a/{a%20b}", "a b", "/a/5", id="an encoded name"),
    pytest.param("/a/{größe}", "gr%C3%B6%C3%9Fe", "/a/5", id="an encoded name of the parameter"),
    pytest.param("/a/{id=things/*}:run", "id", "/a/5:run", id="a variable and what it matches"),
    pytest.param("/a/{id=**}", "id", "/a/5", id="a variable that matches the rest"),
    pytest.param("/a/%7Bid%7D", "id", "/a/5", id="encoded braces"),
    pytest.param("/a/{{id}}", "id", "/a/5", id="double braces"),
    pytest.param("/a/{userId}", "user_id", "/a/5", id="another convention for names"),
    pytest.param("/a{/id}", "id", "/a/5", id="a segment"),
    pytest.param("/a/{id}{#part}", "id", "/a/5", id="a fragment"),
    pytest.param("/a/{.id}", "id", "/a/.5", id="a label"),
    pytest.param("/a/{;id}", "id", "/a/;id=5", id="a matrix parameter"),
    pytest.param("/a/:id(\\d+)/c", "id", "/a/5/c", id="a colon and a pattern"),
    pytest.param("/a/:id{[0-9]+}/c", "id", "/a/5/c", id="a colon and a pattern in braces"),
    pytest.param("/a/:id?", "id", "/a/5", id="a colon and a modifier"),
    pytest.param("/a/:user-id", "user-id", "/a/5", id="a colon and a name with a hyphen"),
    pytest.param("/a/:userId", "user_id", "/a/5", id="a colon and another convention"),
    pytest.param("/a/:id-x", "id", "/a/5-x", id="a colon and a text behind"),
    pytest.param("/a/<user_id>", "userId", "/a/5", id="angle brackets and another convention"),
    pytest.param('/a/<regex("[a-z]+"):id>', "id", "/a/5", id="a converter with arguments"),
    pytest.param("/a/<id:re:[a-z]+>", "id", "/a/5", id="a filter with a pattern"),
    pytest.param("/a/(?P<id>[^/]+)$", "id", "/a/5", id="a group and the end"),
    pytest.param("/a/{id<\\d+>}", "id", "/a/5", id="a requirement in angle brackets"),
    pytest.param("/a/{id|int}", "id", "/a/5", id="a bar and a type"),
    pytest.param("/a/${id}/c", "id", "/a/5/c", id="a template literal"),
    pytest.param("/a/#{id}", "id", "/a/5", id="an interpolation"),
    pytest.param("/a/x${id}", "id", "/a/x$5", id="a dollar sign within a segment"),
    pytest.param("/a/{id", "id", "/a/5", id="a brace that is not closed"),
    pytest.param("/a/id}/c", "id", "/a/5/c", id="a brace that is not opened"),
    pytest.param("/a:batch/{id}", "id", "/a:batch/5", id="a colon that is no variable"),
]


@pytest.mark.parametrize(("path", "name", "expected"), PATHS)
async def test_a_variable_is_the_declared_parameter(recorder: Recorder, path: str, name: str, expected: str) -> None:
    """Whatever the name's characters and the template's syntax, the value is in the place of the variable."""
    root = operation("get", path, parameters=[path_parameter(name)])
    (tool,) = build_tools(api_of(root))
    (argument,) = tool.arguments.bindings
    assert (await sent(recorder, root, {argument: "5"})).target == expected


SEVERAL = [
    pytest.param("/a/:x-:y", "/a/1-2", id="colons with a hyphen between"),
    pytest.param("/a/:x.:y", "/a/1.2", id="colons with a dot between"),
    pytest.param("/a/[x]/[y]", "/a/1/2", id="square brackets"),
    pytest.param("/a/{x,y}", "/a/1,2", id="simple expansion"),
    pytest.param("/a{/x,y}", "/a/1/2", id="segments"),
    pytest.param("/a/x{.x,y}", "/a/x.1.2", id="labels"),
    pytest.param("/a{;x,y}", "/a;x=1;y=2", id="matrix parameters"),
]


@pytest.mark.parametrize(("path", "expected"), SEVERAL)
async def test_several_variables_of_one_segment(recorder: Recorder, path: str, expected: str) -> None:
    """Variables joined in one segment, or listed in one expression (RFC 6570 section 3.2), keep their order."""
    root = operation("get", path, parameters=[path_parameter("x"), path_parameter("y")])
    assert (await sent(recorder, root, {"x": "1", "y": "2"})).target == expected


@pytest.mark.parametrize("path", ["/a/(id)", "/a/x:id", "/a/@id", "/a/*"])
async def test_a_text_that_only_resembles_a_variable_is_kept(recorder: Recorder, path: str) -> None:
    """A name in parentheses may be a key of OData, one behind a text a custom method: it is sent as it is."""
    api = api_of(operation("get", path, parameters=[path_parameter("id")]))
    assert "the path has no place for the parameter id" in api.repairs[0]
    assert api.operations[0].path == path


@pytest.mark.parametrize("path", ["/a/{x:id}/{id:x}", "/a/{id:int}/{int:id}"])
def test_what_can_mean_two_things_is_read_by_the_letter(path: str) -> None:
    """Where two variables could be the declared parameter, neither is taken for it."""
    api = api_of(operation("get", path, parameters=[path_parameter("id")]))
    assert "the path has no place for the parameter id" in api.repairs[0]


QUERIES = [
    pytest.param("/a{?page,size}", {"page": "1", "size": "2"}, "/a?page=1&size=2", id="undeclared"),
    pytest.param("/a{?page}", {}, "/a", id="left out"),
    pytest.param("/a?fixed=1{&page}", {"page": "2"}, "/a?fixed=1&page=2", id="continued"),
]


@pytest.mark.parametrize(("path", "arguments", "target"), QUERIES)
async def test_query_expressions_are_optional_query_parameters(
    recorder: Recorder, path: str, arguments: dict[str, str], target: str
) -> None:
    """RFC 6570 sections 3.2.8 and 3.2.9: what a query expression names is a query parameter, declared or not."""
    assert (await sent(recorder, operation("get", path), arguments)).target == target
