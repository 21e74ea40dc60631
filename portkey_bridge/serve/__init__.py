"""The MCP server: puts the parts together and hands the tools to FastMCP.

`server` builds a `catalogue`, what is served at one moment; `live_catalogue` has the current one, which `watch`
replaces when a document changes. Plain calls take the `direct_lane`, which `stdio_lane` and `web/http_lane` lead to;
everything else is FastMCP's, behind `fastmcp_seam`. `confirmation` and `login_request` ask the person or the caller
before a call.
"""
