"""Knows how the ledger's tables come to be: the engine's, then numbered SQL files."""

from __future__ import annotations

from service_base.migrations import Migrations

from scan_service.db import PLACE
from scan_service.engine import jobs


def _engines(done: set[str]) -> list[tuple[str, str]]:
    """Return name and text of what of the engine is still to be applied; some is only noted."""
    changes = jobs.schema_changes()
    if any(name in done for name, _ in changes):
        return [(name, text) for name, text in changes if name not in done]
    # A new database gets the engine's whole schema at once; its history is noted as done.
    return [("engine", jobs.schema()), *((name, "") for name, _ in changes)]


_MIGRATIONS = Migrations(PLACE, 7_312_640_551_204, __name__, _engines)
migrate = _MIGRATIONS.apply
pending = _MIGRATIONS.pending
pending_when_there = _MIGRATIONS.pending_when_there
