"""Knows how the API's tables come to be: numbered SQL files."""

from __future__ import annotations

from service_base.migrations import Migrations, files_of

from crm_api.db import PLACE

_MIGRATIONS = Migrations(PLACE, 7_312_640_551_205, lambda done: files_of(__name__, done))
migrate = _MIGRATIONS.apply
pending_when_there = _MIGRATIONS.pending_when_there
