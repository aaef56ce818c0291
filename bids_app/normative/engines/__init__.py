"""Engines: what computes z from a model (native, terms, PCNtoolkit)."""
