"""Singer taps for the CRMs around HubSpot: a module per source on one small base."""
