"""One conversation with HubSpot, for all programs that talk to it."""
