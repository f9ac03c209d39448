"""The engine: what wakes workers, and what starts and ends processes."""
