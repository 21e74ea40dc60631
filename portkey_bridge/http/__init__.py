"""The one HTTP client. It knows nothing about documents."""
