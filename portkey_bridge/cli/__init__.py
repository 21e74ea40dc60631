"""Commands and user-facing text."""
