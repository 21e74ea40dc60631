"""The document as frozen values, in the words of the OpenAPI Specification."""
