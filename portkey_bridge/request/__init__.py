"""Arguments become an HTTP request.

`argument_reader.read_arguments` gives each parameter and each property of the body of an operation a flat name:
`Arguments`. They check what a model gives, read it in its only possible way, and bind it to its places: `Bound`.
`writer.write_request` writes that: parameters by their `styles`, the body by its media type (`bodies`), for the URL
that `servers` finds.
"""
