"""Nipype graphs: init_<name>_wf factories, no logic."""

# how nipype is imported
import bids_app.interfaces  # noqa: F401
