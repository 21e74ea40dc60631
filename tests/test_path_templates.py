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
    pytest.param("/a:batch/{id}", "id", "/a:batch/5", id="a colon that is no variable"),
]


@pytest.mark.parametrize(("path", "name", "expected"), PATHS)
async def test_a_variable_is_the_declared_parameter(recorder: Recorder, path: str, name: str, expected: str) -> None:
    """Whatever the name's characters and the template's syntax, the value is in the place of the variable."""
    root = operation("get", path, parameters=[path_parameter(name)])
    (tool,) = build_tools(api_of(root))
    (argument,) = tool.arguments.bindings
    assert (await sent(recorder, root, {argument: "5"})).target == expected


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
