"""MCP over pipes, and the replies of the last start until the server is there."""
