"""Statistics as numbers in, numbers out."""
