"""The document as frozen values, in the words of the OpenAPI Specification.

`normalize` brings any version into one form: all that a document refers to in one root (`resources`, `local_refs`),
Swagger 2.0 as OpenAPI 3 (`swagger2`), every schema as JSON Schema 2020-12 (`schema_dialects`), without cycles that
do not consume input. `reader.read_api` reads this form into the values of `model`: an `Api` with its operations.
What the specifications say about keywords and fields is in the tables of `keywords` and `spec_tables`.
"""
