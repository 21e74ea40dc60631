"""Which credentials an operation takes, where they come from, and what hides them.

`configuration` applies the settings to the security of a document, `variables` names the environment variable of each
scheme, and `environment` has their values, without those that are `withheld`. A call asks a `Provider` for its
credentials: the environment (`provider`), the caller's request (`pass_through`), OAuth 2 (`oauth`) or a login recipe
(`session`). `origins` decides where a credential may go, `signing` computes what is sent instead of one, and
`redaction` hides all.
"""
