"""The ledger: what was ordered, how far it is, and what it came to."""
