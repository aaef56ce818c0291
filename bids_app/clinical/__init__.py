"""Clinical statistics of deviations: pure functions on DataFrames."""
