"""An HTTP response becomes the result of a tool.

A stream is split into `events` and merged into one answer (`streams`, `merging`). `render` makes content of an `Answer`
by its media type. What is too large is kept (`results`) and shown as a view (`json_views`, `tables`); `dropping` and
`selection` leave out what nobody wants, and `pages` finds the next page.
"""
