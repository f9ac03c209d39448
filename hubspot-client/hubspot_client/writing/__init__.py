"""Writing to HubSpot: one writer for every program, which knows what became of each row."""
