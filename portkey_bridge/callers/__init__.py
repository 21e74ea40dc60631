"""Many callers: with whose credentials they call, what they may, and the state that is kept for them."""
