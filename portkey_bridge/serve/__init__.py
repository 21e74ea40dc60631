"""The MCP server: puts the parts together and hands the tools to FastMCP."""
