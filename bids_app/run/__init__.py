"""One run of the BIDS-App, without a graph: plan, scan, person, cohort, adaptation."""
