"""Packaged models, one readable JSON file each."""
