"""Knows the command about tenants as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scan_service.commands.keys import say
from scan_service.db import Database
from scan_service.engine.jobs import Engine
from scan_service.ledger import tenants

if TYPE_CHECKING:
    import argparse

    from scan_service.settings import Settings


async def act(settings: Settings, chosen: argparse.Namespace) -> int:
    """Remove a tenant; return the exit code."""
    db, engine = Database(settings.database_url), Engine()
    await db.open()
    try:
        await engine.open(db.pool)
        gone = await tenants.remove(db, engine, chosen.tenant, patience=chosen.wait)
    finally:
        await db.close()
    say(f"{chosen.tenant} is gone, and {gone} rows of results")
    return 0
