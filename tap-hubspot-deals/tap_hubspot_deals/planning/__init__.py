"""What a run will cost: the reader goes through it before a stand-in for HubSpot."""
