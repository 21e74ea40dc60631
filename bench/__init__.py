"""Measures what the program costs: tokens, time, memory."""
