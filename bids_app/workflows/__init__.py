"""Nipype graphs: init_<name>_wf factories, no logic."""
