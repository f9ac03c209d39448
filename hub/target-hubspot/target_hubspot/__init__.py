"""Singer target for HubSpot."""
