"""CSV files that appear in a folder become contacts and deals in HubSpot."""
