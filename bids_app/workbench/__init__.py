"""Plain tables: reading, scoring and analysing them without a BIDS dataset."""
