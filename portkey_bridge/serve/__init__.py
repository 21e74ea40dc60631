"""Serves the tools: the bridge that calls them, and the MCP server."""
