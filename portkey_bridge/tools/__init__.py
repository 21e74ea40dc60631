"""Operations as tools, and the search among them."""
