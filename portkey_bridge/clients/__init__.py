"""Entries in MCP clients' configuration files; everything else in a file stays byte for byte.

`registry` is the table of clients. `places` finds a client's file on this machine, `entries` and `names` make the
entry, and `files` writes it: one of `edit_jsonc`, `edit_yaml` and `edit_toml` returns the edits of a text, which
`spans` applies, and nothing is written unless the new text differs in this entry alone.
"""
