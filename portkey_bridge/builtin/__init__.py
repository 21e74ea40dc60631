"""What the server adds to the operations: its own tools, and programs that call all of them."""
