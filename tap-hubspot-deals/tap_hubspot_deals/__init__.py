"""Singer tap that reads HubSpot deals and their associations exactly."""
