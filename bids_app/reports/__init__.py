"""HTML reports and figures from the tables on disk."""
