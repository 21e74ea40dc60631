"""An API that answers with made-up data: requests are checked by openapi-core, answers made from the document."""
