"""Compares what HubSpot has with what the tables of tap and target have."""
