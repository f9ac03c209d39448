"""The door: what clients may ask, and what they are answered."""
