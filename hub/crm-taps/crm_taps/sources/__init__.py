"""One module per source: what its API is like, and which streams it has."""
