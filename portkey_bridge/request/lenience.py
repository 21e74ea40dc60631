"""Arguments that the document does not allow, in the places where they can be sent nevertheless.

Documents are often narrower than their APIs. What is not declared goes into the body where it has properties, else into
the query; so does `query_NAME`, whatever the body is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from portkey_bridge.openapi.model import MediaType, Operation, Parameter, RequestBody, place
from portkey_bridge.request.arguments import Arguments, Binding, Bound
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.writer import write_request

#: Methods that accept a body although the document declares none.
WITH_BODY = frozenset(("POST", "PUT", "PATCH", "DELETE"))

#: Precedes the name of a query parameter that is not declared.
QUERY = "query_"


def with_undeclared_body(operation: Operation) -> Operation:
    """Return the operation with a body of any JSON, if its method takes a body and the document declares none."""
    if operation.request_body is not None or operation.method not in WITH_BODY:
        return operation
    return replace(operation, request_body=RequestBody((MediaType("application/json", {}),)))


def bind_anyway(
    name: str, operation: Operation, arguments: Arguments, given: Mapping[str, Any], sources: Sources
) -> Bound | None:
    """Put arguments that violate the schema into their places, or return None if no request can be made of them."""
    try:
        bound = _bound(operation, arguments, arguments.read(given))
        missing = {each.place for each in operation.parameters if each.location == "path"} - bound.places
        if missing:
            return None
        write_request(name, operation, bound, (), "http://localhost", sources)
    except Exception:  # whatever a value of the wrong type does to what writes it
        return None
    return bound


def _bound(operation: Operation, arguments: Arguments, given: Mapping[str, Any]) -> Bound:
    undeclared = {name: value for name, value in given.items() if name not in arguments.bindings}
    plain = arguments.bind({name: value for name, value in given.items() if name not in undeclared})
    in_query = {name for name in undeclared if name.startswith(QUERY) or not plain.arguments.has_properties}
    bound = arguments.bind({name: value for name, value in given.items() if name not in in_query})
    declared = {parameter.place for parameter in operation.parameters}
    further = tuple((_binding(name.removeprefix(QUERY)), undeclared[name]) for name in undeclared if name in in_query)
    if any(place("query", binding.argument) in declared for binding, _ in further):
        raise ValueError("declared under another name")
    return replace(bound, parameters=(*bound.parameters, *further))


def _binding(name: str) -> Binding:
    parameter = Parameter(name)
    return Binding(name, parameter.location, name, parameter.schema, required=False, parameter=parameter)
