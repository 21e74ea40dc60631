"""One JSON Schema: its shape, its views, and validation against it."""
