"""An API that answers with made-up data."""
