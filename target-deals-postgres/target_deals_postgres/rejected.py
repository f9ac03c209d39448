"""`target-deals-postgres-rejected`: try rejected records again, or forget a tenant's."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2.sql import SQL, Identifier

from target_deals_postgres.config import settings_of
from target_deals_postgres.errors import TargetError
from target_deals_postgres.storing.database import Database
from target_deals_postgres.storing.rejected_table import TABLE
from target_deals_postgres.tables import catalog
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from psycopg2.extensions import cursor


def main() -> None:
    """Carry out one action on the list of rejected records."""
    parser = argparse.ArgumentParser(prog="target-deals-postgres-rejected", description=__doc__)
    parser.add_argument("--config", type=Path, help="the target's settings; else its environment")
    actions = parser.add_subparsers(dest="action", required=True)
    replay = actions.add_parser("replay", help="try again, with the SCHEMAs of a catalog")
    replay.add_argument("--catalog", type=Path, required=True, help="what `tap --discover` says")
    forget = actions.add_parser("forget", help="take a tenant's records off the list")
    forget.add_argument("--tenant", required=True)
    given = parser.parse_args()
    try:
        config = json.loads(given.config.read_bytes()) if given.config else {}
        if given.action == "replay":
            _replay(config, json.loads(given.catalog.read_bytes()), parse_env=not given.config)
        else:
            _forget(config, given.tenant, parse_env=not given.config)
    except (TargetError, OSError, ValueError) as error:
        sys.exit(str(error))


def _replay(config: dict[str, Any], catalog: dict[str, Any], *, parse_env: bool) -> None:
    messages = [
        {
            "type": "SCHEMA",
            "stream": entry.get("stream") or entry["tap_stream_id"],
            "schema": entry["schema"],
            "key_properties": entry.get("key_properties") or [],
        }
        for entry in catalog["streams"]
    ]
    full = dict(TargetDealsPostgres(config=config, parse_env_config=parse_env).config)
    full |= {"replay_rejected_records": True, "overwrite": False}  # what is tried again is not all
    if full["load_method"] == "overwrite":
        full["load_method"] = "upsert"
    target = TargetDealsPostgres(config=full)
    target.listen(io.StringIO("".join(f"{json.dumps(one)}\n" for one in messages)))


def _forget(config: dict[str, Any], tenant: str, *, parse_env: bool) -> None:
    settings = settings_of(TargetDealsPostgres(config=config, parse_env_config=parse_env).config)
    database = Database(settings.database_url, said_by=settings.said_by)

    def work(cur: cursor) -> int:
        if not catalog.columns(cur, settings.default_target_schema, TABLE):
            return 0
        cur.execute(statement, (tenant,))
        return cur.rowcount

    statement = SQL("DELETE FROM {} WHERE _tenant_id = %s").format(
        Identifier(settings.default_target_schema.replace("%", "%%"), TABLE)
    )
    try:
        count = database.transaction(work)
    finally:
        database.close()
    print(f"{count} rejected records are off the list")  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
