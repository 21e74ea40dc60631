"""A small API for the demonstration, whose answers are of the kinds that most documents have none of."""

from __future__ import annotations

from typing import Any

#: More stars than a result has room for.
STARS = [
    {"id": number, "name": f"HD {number * 37 % 9001}", "magnitude": number * 7919 % 1500 / 100}
    for number in range(5000)
]


def _get(name: str, summary: str, media_type: str, **content: Any) -> dict[str, Any]:
    responses = {"200": {"description": "OK.", "content": {media_type: content}}}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


GALLERY = {
    "openapi": "3.1.0",
    "info": {"title": "a gallery", "version": "1"},
    "paths": {
        "/picture": _get("getPicture", "A picture", "image/png"),
        "/sound": _get("getSound", "A sound", "audio/wav"),
        "/stars": _get("listStars", "All stars", "application/json", example={"stars": STARS}),
    },
}
