"""Command lines: arguments, exit codes, progress. No science."""
