"""BIDS datasets: query, covariates, names, derivative sink."""
