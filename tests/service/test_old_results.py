"""Results of scans from before properties stood in one object: the migration brings them along."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
from harness.database import new_database
from pydantic import SecretStr
from scan_service.door.app import create_app
from scan_service.ledger import migrations
from service.kit import TENANT, Client, Ledger
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from scan_service.settings import Settings

LONG = "hs_v2_cumulative_time_in_1f6d4f4e_5f56_4ea4_8a8a_0123456789abcdef"
CUT = f"{LONG[:54]}_0badcafe"
OLD = f"""
create table scans.deals (
    _tenant_id text, _scan_id text, id text, dealname text, amount numeric, closedate timestamptz,
    hs_is_closed_won boolean, hs_odd numeric, hs_odd__text text, "{CUT}" numeric,
    hs_all_team_ids jsonb, archived boolean, archived_at timestamptz, merged_into text,
    created_at timestamptz, updated_at timestamptz, read_at timestamptz, custom_properties jsonb,
    unparsed_properties jsonb, associations jsonb, raw jsonb, _extra jsonb,
    primary key (_tenant_id, _scan_id, id));
comment on column scans.deals."{CUT}" is 'Time in stage [property: {LONG}]';
comment on column scans.deals.hs_odd__text is 'Odd [property: hs_odd]';
alter table scans.deals enable row level security;
alter table scans.deals force row level security;
create policy own on scans.deals using (_tenant_id = current_setting('app.tenant_id', true));
create view scans.watched as select id, amount from scans.deals;
insert into scan_service.tenant (tenant_id) values ('{TENANT}');
insert into scan_service.scan (tenant_id, scan_id, status, config, fingerprint, started_at,
    completed_at, processed_items, columns)
values ('{TENANT}', 'old', 'completed', '{{}}', '', now(), now(), 2,
    '{{"standard": ["hs_odd"], "custom": ["score"]}}');
"""
ROWS = f"""
insert into scans.deals (_tenant_id, _scan_id, id, dealname, amount, closedate, hs_is_closed_won,
    hs_odd, hs_odd__text, "{CUT}", hs_all_team_ids, read_at, custom_properties, _extra)
values ('{TENANT}', 'old', '1', 'one', 12345678901234567890.50, '2025-12-31T00:00:00.5Z', true,
        null, '7.50', 3, '["7"]', now(), '{{"score": 1}}', '{{"beyond": "the columns"}}'),
       ('{TENANT}', 'old', '2', 'two', null, null, null, 8.25, null, null, null, now(), null, null)
"""


def test_rows_with_a_column_per_property_become_objects_with_hubspots_names(
    postgres_server: str, settings: Settings
) -> None:
    url = new_database(postgres_server)
    ledger = Ledger(url)
    _migrate_up_to("0003", ledger)
    ledger.run(OLD)
    with psycopg.connect(url) as connection:
        connection.execute("select set_config('app.tenant_id', %s, false)", [TENANT])
        connection.execute(ROWS)

    asyncio.run(migrations.migrate(SecretStr(url)))
    ledger.count()

    moved = settings.model_copy(update={"database_url": SecretStr(url)})
    with TestClient(create_app(moved)) as http:
        client = Client(http, ledger.key())
        page = client.get("/api/v1/scan/result/old")
        head = client.get("/api/v1/scan/download/old/csv").text.splitlines()[0].split(",")
    one, two = page.json()["data"]["deals"]
    assert '"amount" : 12345678901234567890.50' in page.text
    assert one["closedate"] == "2025-12-31T00:00:00.500Z"
    assert one["isClosedWon"] is True
    assert one["properties"] == {
        "hs_odd": "7.50", LONG: 3, "hs_all_team_ids": ["7"], "beyond": "the columns",
    }  # fmt: skip
    assert two["properties"] == {"hs_odd": 8.25}
    assert {LONG, "hs_odd", "beyond", "score"} <= set(head)
    assert page.json()["data"]["pagination"]["total_items"] == 2
    assert page.json()["data"]["pagination"]["stable"] is True
    assert ledger.run(
        "select relforcerowsecurity from pg_class where oid = 'scans.deals'::regclass"
    ) == [(True,)]


def _migrate_up_to(last: str, ledger: Ledger) -> None:
    """Make the ledger as the version with this migration did."""
    ledger.run("create schema scan_service")
    ledger.run("create table migration (name text primary key, applied_at timestamptz)")
    for name, text in migrations._MIGRATIONS.files(set()):
        if not name.startswith("00") or name[:4] <= last:
            if text:
                ledger.run(text)
            ledger.run("insert into migration values (%s, now())", name)
