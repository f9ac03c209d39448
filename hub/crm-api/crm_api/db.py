"""Knows where the API keeps its tables."""

from __future__ import annotations

from service_base.database import Place

SCHEMA = "crm_api"
PLACE = Place(SCHEMA, "crm-api")
