"""The path of a call: from the arguments of a tool to its result.

At the start, `load` reads a document, or `pin` the one that was accepted last, and `service` is one API with its tools;
`configured_bridge` makes the `Bridge` that calls them. At each call, `calls` checks the arguments (`argument_check`),
writes the request, has it sent (`exchange`), and renders the answer, with further pages if asked (`next_pages`).
`session_login` logs in with a recipe first; `preview` goes the same way without sending.
"""
