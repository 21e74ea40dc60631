"""Options, environment, `.env` and settings file become one frozen value."""
