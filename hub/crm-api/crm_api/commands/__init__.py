"""The commands: what an operator starts."""
