"""Thin nipype shells around the library packages."""

import os

os.environ.setdefault("NO_ET", "1")
