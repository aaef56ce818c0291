"""Figures: charts, brain maps, overlays."""
