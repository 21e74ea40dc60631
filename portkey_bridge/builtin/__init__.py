"""What the server adds to the operations: its own tools, and programs that call all of them.

`builtin_tools` and `search_tools` answer from the catalogue, or call a tool as its client would. `programs` runs a
program: `program` is one run, `sandbox` the process without any door but `call`, and `program_values` what passes
through it.
"""
