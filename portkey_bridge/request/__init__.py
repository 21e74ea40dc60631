"""Turns arguments into an HTTP request. Nothing is sent here."""
