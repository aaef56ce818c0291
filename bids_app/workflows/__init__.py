"""Nipype graphs: init_<name>_wf factories, no logic."""

import os

os.environ.setdefault("NO_ET", "1")
