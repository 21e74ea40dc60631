"""Turns an HTTP response into the result of a tool."""
