"""What the server adds to the operations: its own tools, programs, and the question before a call."""
