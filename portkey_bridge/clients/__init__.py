"""Entries in MCP clients' configuration files; everything else in a file stays byte for byte."""
