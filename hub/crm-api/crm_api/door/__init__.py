"""The door: paths, bodies, answers."""
