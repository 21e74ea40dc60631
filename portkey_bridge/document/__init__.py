"""Loads a document: bytes become text, and text becomes values.

`sources.read_source` brings the bytes of a file, a URL (`fetch`) or standard input. `content` has them and makes text
of them, and `parse.document_of` makes a `Document` of that, which has JSON's types, also if it is YAML (`yaml_values`).
What had to be guessed is noted in `repairs`, and `positions` finds the line of a pointer once somebody asks for it.
"""
