"""Knows what the operations work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scan_service.db import Database, Warehouse
    from scan_service.door.hubspot import HubSpot
    from scan_service.door.news import News
    from scan_service.engine.jobs import Engine
    from scan_service.guard.addresses import Addresses
    from scan_service.guard.vault import Vault
    from scan_service.ledger.extraction import Extraction
    from scan_service.records.summaries import Summaries
    from scan_service.settings import Settings
    from scan_service.shares import Shares


@dataclass(frozen=True)
class Service:
    """What the operations work with."""

    settings: Settings
    db: Database
    engine: Engine
    vault: Vault
    hubspot: HubSpot
    downloads: Shares
    addresses: Addresses
    news: News
    warehouse: Warehouse
    summaries: Summaries

    async def probe(self, extraction: Extraction, token: bytes, path: str) -> dict[str, int | None]:
        """Ask HubSpot how much there is; `path` is where the body says what is to be read."""
        access = self.vault.access(token, tenant_id=extraction.tenant_id)
        return await self.hubspot.count(extraction.tenant_id, extraction.parts(), access, path=path)
