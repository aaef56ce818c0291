"""Thin nipype shells around the library packages."""
