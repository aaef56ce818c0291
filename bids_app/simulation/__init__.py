"""Synthetic people: the demo dataset and simulated clinical cohorts."""
