"""Fits: fractional polynomials, location, scale and shape."""
