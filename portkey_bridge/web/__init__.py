"""The server over HTTP: transport, authentication of callers, and pages for people.

A request comes to uvicorn (`request_heads`, `early_answers`), is checked for its host and origin (`name_guard`) and for
who calls (`inbound`, with `providers`), and reaches `http_lane`, which takes plain calls and leaves the rest to
FastMCP. `http_server` puts this together. `web_page` and `connect` are the pages, whose HTML `reference_page` makes.
"""
