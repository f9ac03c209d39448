"""What the services share; it knows nothing of scans, users or HubSpot."""
