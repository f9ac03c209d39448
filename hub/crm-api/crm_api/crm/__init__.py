"""The CRM: what is asked of HubSpot, or of the tables that were filled from it."""
