"""Places of a request where all values are sent as text, so that a number and its text are the same there."""

from __future__ import annotations

from portkey_bridge import media_types
from portkey_bridge.openapi.model import MediaType, Parameter
from portkey_bridge.request.bodies import STYLED, encoding_of, one_type
from portkey_bridge.schema.readings import ValuePath

#: Levels below a value that the styles write as text; further ones are JSON in a text.
STYLED_LEVELS = 1


def is_text_in_parameter(parameter: Parameter, path: ValuePath) -> bool:
    """Check whether the value at a path into a parameter is sent as text."""
    if parameter.content is not None:
        return not path and not media_types.JSON.match(parameter.content.name)
    return parameter.style == "deepObject" or len(path) <= STYLED_LEVELS


def is_text_in_body(media_type: MediaType, path: ValuePath) -> bool:
    """Check whether the value at a path into a body is sent as text."""
    if media_types.FORM.match(media_type.name) or media_types.MULTIPART.match(media_type.name):
        return len(path) > 0 and _is_text_in_form(media_type, str(path[0]), path[1:])
    if media_types.TEXT.match(media_type.name):
        return not path
    return bool(media_types.XML.match(media_type.name))


def _is_text_in_form(media_type: MediaType, name: str, path: ValuePath) -> bool:
    encoding = encoding_of(media_type, name)
    if encoding.keys() & STYLED:
        return encoding.get("style") == "deepObject" or len(path) <= STYLED_LEVELS
    if (declared := one_type(encoding)) is not None:
        return not path and bool(media_types.TEXT.match(declared))
    return not path or (len(path) == 1 and isinstance(path[0], int))
