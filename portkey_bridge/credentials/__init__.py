"""Which credentials an operation takes, where they come from, and what hides them."""
