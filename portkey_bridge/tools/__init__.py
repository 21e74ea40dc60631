"""Operations as tools.

`catalog.build_tools` makes a `Tool` of each operation: its name (`names`), words, arguments and effect, and what people
say about it besides (`curation`). `search` finds tools for a question, by the words that `vocabulary` and `subjects`
know and the identifiers that `producers` provide. `reference` and `difference` tell people about tools.
"""
