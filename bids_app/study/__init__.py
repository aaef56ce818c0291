"""One dataset's run as a plain library: who can be scored and why not, one scan, one person, the cohort."""
