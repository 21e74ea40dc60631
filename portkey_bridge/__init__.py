"""portkey-bridge: any OpenAPI document as MCP tools, at run time."""

import os
import sys

__version__ = "0.1.0"

# FastMCP would read its settings from the `.env` of whatever folder the client starts this program in, and at DEBUG it
# logs arguments. Its variables in the real environment still count.
os.environ.setdefault("FASTMCP_ENV_FILE", os.devnull)

# httpx would import its command line, and with that rich, click and pygments: a tenth of the time to the first call.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # the documented way to refuse an import
