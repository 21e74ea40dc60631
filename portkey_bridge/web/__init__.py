"""The server over HTTP: transport, authentication of callers, and pages for people."""
