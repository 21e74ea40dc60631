"""One schema, for reading and checking.

Everything begins with a *shape*, one level of a schema without references and `allOf` (`shapes`). To read: `views`
shows as much of a schema as fits a budget, `signatures` writes that as a Python type, `samples` makes up a value. To
check: `checks` asks `fast_check`, which may only say "valid", and else `validation`, which explains; what is refused,
`readings` reads in the only way that the schema accepts.
"""
