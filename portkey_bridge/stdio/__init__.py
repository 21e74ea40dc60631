"""MCP over pipes, and the replies of the last start until the server is there.

`warm_start` begins: `replay` answers the first requests from `saved_answers` while the server is imported, and
`recorder` saves the answers for the next start; `session_requests` says which requests that is true for. Afterwards
`pipes` has the lines, and `messages` makes them messages of the SDK, each request with one answer.
"""
