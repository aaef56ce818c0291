"""Pages: what each report shows."""
