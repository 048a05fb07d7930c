"""A result as a picture, a table or a page: pure functions."""
