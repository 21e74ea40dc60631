"""The one HTTP client. It knows nothing about documents.

`transport` sends a request within limits of time, size and number; `policy` decides whether it may be sent again, and
where a redirect may lead. `connections` carries the bytes, which `http1` writes and reads, to hosts that `trust`
accepts; `decoding` undoes content codings as they arrive. `failures` explains an exchange that failed in one sentence.
"""
