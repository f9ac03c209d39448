"""Knows how the API's tables come to be: numbered SQL files."""

from __future__ import annotations

from service_base.migrations import Migrations

from crm_api.db import PLACE

_MIGRATIONS = Migrations(PLACE, 7_312_640_551_205, __name__)
migrate = _MIGRATIONS.apply
pending_when_there = _MIGRATIONS.pending_when_there
