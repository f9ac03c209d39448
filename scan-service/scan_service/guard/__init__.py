"""The guard: whose key it is, how often it may be used, and what stays secret."""
