"""The `demo` command: what the server does, part by part, with a commentary.

Nothing leaves the machine and no key is needed. A part that the document has no example of is left out.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from portkey_bridge.cli.demo_session import (
    DEMO_WIDTH,
    EXAMPLES,
    DemoSession,
    UnexpectedResult,
    demo_session,
    print_block,
)
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import about_tokens
from portkey_bridge.errors import SetupError
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import printable
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import EXPAND_RESULT, EXPAND_SCHEMA

#: The end of a listed schema that is cut, with the pointer that expands it.
STUB = re.compile(rf'\[{EXPAND_SCHEMA} (/.*?)\]"')

#: A second API, for responses that most documents lack: an image, a sound, and a list too large for one result.
STARS = [{"id": at, "name": f"HD {at * 37 % 9001}", "magnitude": at * 7919 % 1500 / 100} for at in range(5000)]
CONTENTS = {
    "image": {"image/png": {}},
    "sound": {"audio/wav": {}},
    "stars": {"application/json": {"example": {"stars": STARS}}},
}
GALLERY = {
    "openapi": "3.1.0",
    "info": {"title": "Gallery", "version": "1"},
    "paths": {
        f"/{name}": {"get": {"responses": {"200": {"description": "OK", "content": content}}}}
        for name, content in CONTENTS.items()
    },
}


def run_demo(invocation: Invocation) -> int:
    """Show the server at work on stdout. Return 0, or 1 after a line on stderr if something unexpected happens.

    Raises SetupError for a document or a setting that cannot be used.
    """
    with TemporaryDirectory() as folder:
        log, gallery, numbers = Path(folder, "stderr"), Path(folder, "gallery.json"), count(1)
        try:
            asyncio.run(_show([_listing, _stub, _calls, _stream, _refusal], demo_session(invocation, log, numbers)))
            if invocation.settings.spec is None:
                gallery.write_text(json.dumps(GALLERY), encoding="utf-8")
                second = Invocation([Settings(spec=str(gallery))], {"spec": str(gallery)}, ())
                asyncio.run(_show([_gallery], demo_session(second, log, numbers)))
        except (SetupError, BrokenPipeError):
            raise
        except Exception as error:  # whatever it is, the user gets one line and no traceback
            print(f"portkey-bridge: the demo stopped: {printable(_reason(error, log))}", file=sys.stderr)
            return 1
    print_block("Everything worked as shown", style="bold")
    print_block(
        "Next: portkey-bridge add CLIENT sets it up in an MCP client, and portkey-bridge --help lists the rest."
    )
    return 0


def _reason(error: Exception, log: Path) -> str:
    """Return one line: the error, with the last line that the server logged if that may be the cause."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    logged = [line.strip() for line in lines if " serves " not in line]
    return first if isinstance(error, UnexpectedResult) or not logged else f"{first} ({logged[-1]})"


async def _show(
    parts: Iterable[Callable[[DemoSession], Awaitable[None]]], session: AbstractAsyncContextManager[DemoSession]
) -> None:
    async with session as demo:
        for part in parts:
            await part(demo)


async def _listing(demo: DemoSession) -> None:
    print_block(f"portkey-bridge demo: {demo.title}", style="bold")
    print_block(
        "No key and no network: a mock of the API on this machine answers with made-up data. The server is the real "
        "one. It runs as a child process, and an MCP client talks to it."
    )
    tokens = sum(about_tokens(tool.model_dump(by_alias=True, exclude_none=True)) for tool in demo.listed.values())
    demo.part(
        "The tools",
        f"The client lists {len(demo.listed)} tools. Two are the server's own, for the rest of a schema or of a large "
        f"result. The whole list, which a model reads first, takes about {tokens:,} tokens. Some of the tools:",
    )
    names = [*(tool.name for tool in demo.tools[:5]), EXPAND_SCHEMA]
    print_block("\n".join(f"{name:<24} {demo.listed[name].title}"[: DEMO_WIDTH - 4] for name in names), margin=4)


async def _stub(demo: DemoSession) -> None:
    for tool in demo.tools:
        parts = [{name: part} for name, part in demo.listed[tool.name].input_schema["properties"].items()]
        for part in sorted(parts, key=lambda part: len(str(part))):
            if pointer := STUB.search(json.dumps(part)):
                demo.part("A stub", f"The schema of {tool.name} is too large to list. Stubs mark what was left out:")
                print_block(json.dumps(part), margin=4)
                demo.part("The stub, expanded", "A stub names the pointer that shows the rest:")
                pointers = [json.loads(f'"{pointer[1]}"')]
                await demo.call(EXPAND_SCHEMA, {"toolName": tool.name, "jsonPointers": pointers})
                return


async def _calls(demo: DemoSession) -> None:
    reading = [tool for tool in demo.tools if tool.effect.read_only]
    reading.sort(key=lambda tool: sum(binding.required for binding in tool.arguments.bindings.values()))
    for heading, tools in ("A read-only call", reading), ("A call with a body", filter(_has_json_body, demo.tools)):
        for tool, arguments in islice(demo.with_arguments(tools), 1):
            demo.part(heading, f"{tool.title}: the server sends {tool.operation.method} {tool.operation.path}.")
            await demo.call(tool.name, arguments)


async def _stream(demo: DemoSession) -> None:
    added: list[str] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        added.extend([message] if message else [])

    streaming = (tool for tool in demo.tools if "stream" in tool.arguments.bindings)
    for tool, arguments in islice(demo.with_arguments(streaming), 1):
        whole = await demo.client.call_tool_mcp(tool.name, arguments)
        arguments = {**arguments, "stream": True}
        streamed = await demo.client.call_tool_mcp(tool.name, arguments, progress_handler=report)
        if not added:
            return
        if streamed.structured_content != whole.structured_content:
            raise UnexpectedResult(f"{tool.name} returned something else when it was streamed")
        demo.part("A streamed response", "The API sends events. A progress notification reports what each one adds:")
        demo.show(tool.name, arguments)
        print_block("\n".join(f"progress {number}: {text}" for number, text in enumerate(added, 1)), margin=4)
        print_block("The result is the complete object, equal to the result of the same call without stream.")


async def _refusal(demo: DemoSession) -> None:
    for tool, arguments in demo.with_arguments(sorted(demo.tools, key=_has_json_body, reverse=True)):
        wrong = EXAMPLES.get(tool.name, (arguments, {**{name: {} for name in arguments}, "surprise": True}))[1]
        if any(tool.arguments.violations(wrong)):
            demo.part(
                "A refused call", "Arguments are checked before anything is sent. The error explains the problem:"
            )
            await demo.call(tool.name, wrong, refused=True)
            return


async def _gallery(demo: DemoSession) -> None:
    text = "The rest uses a second, small API. Images and sounds become content blocks, which clients show and play:"
    demo.part("An image and a sound", text)
    await demo.call("get_image", {})
    await demo.call("get_sound", {})
    text = "A response that is too large is stored, and the result is a view of it: one row, and the columns."
    demo.part("A large list", text)
    result_id = (await demo.call("get_stars", {})).partition("resultId: ")[2].partition(".")[0]
    demo.part("The large list, continued", "Pointers choose what to read from the stored response:")
    await demo.call(EXPAND_RESULT, {"resultId": result_id, "jsonPointers": ["/stars/4999", "/stars#3000:3003"]})


def _has_json_body(tool: Tool) -> bool:
    return tool.arguments.media_type is not None and "json" in tool.arguments.media_type.name
