"""The guard: passwords, tokens, limits."""
