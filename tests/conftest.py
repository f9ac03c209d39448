"""Fixtures that every test may ask for."""

from __future__ import annotations

from harness.database import database_url, postgres_server, postgres_servers

__all__ = ["database_url", "postgres_server", "postgres_servers"]
