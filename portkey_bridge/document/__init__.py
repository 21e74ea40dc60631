"""Loads a document: from a file, a URL or standard input to JSON values."""
