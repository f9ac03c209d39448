"""REST service that runs HubSpot deal scans through Meltano, for many tenants."""
