"""What it costs to overwrite: memory of the target, WAL of the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from harness import crm
from harness.beside import Cost, cost_of, durable_server
from harness.database import connect, new_database

if TYPE_CHECKING:
    from pathlib import Path

ROWS = int(os.environ.get("BENCH_OVERWRITE_ROWS", "200000"))
MOST_MB = 150
POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'"


def load(url: str, lines: Path, *, overwrite: bool) -> tuple[Cost, float]:
    """Load a file; return what it cost, and the MB of WAL that the server wrote."""
    config = lines.with_suffix(".json")
    config.write_text(json.dumps({"database_url": url, "overwrite": overwrite}))
    command = [sys.executable, "-m", "target_deals_postgres", "--config", str(config)]
    with connect(url) as opened, opened.cursor() as cursor, lines.open("rb") as source:
        cursor.execute(POSITION)
        [(before,)] = cursor.fetchall()
        cost, code, log = cost_of(
            lambda meter: subprocess.Popen(
                [*meter, *command],
                stdin=source,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
        assert code == 0, log[-3000:]
        cursor.execute(POSITION)
        [(after,)] = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM hubspot.deals")
        assert cursor.fetchone() == (ROWS,)
    return cost, float(after - before) / 2**20


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_what_overwriting_costs(tmp_path: Path) -> None:
    changes = {"first": 0.0, "the same again": 0.0, "10 % changed": 0.1}
    print(f"\n{ROWS:,} deals of {len(crm.DEAL_PROPERTIES)} properties, one after the other")
    print("| load | peak MB | MB of WAL | of an upsert |\n|---|---|---|---|")
    with durable_server() as server:
        upserted, overwritten = new_database(server), new_database(server)
        for name, changed in changes.items():
            lines = tmp_path / "deals.singer"
            crm.write(lines, ROWS, changed=changed)
            with lines.open("a") as file:  # that all has come
                file.write(json.dumps({"type": "STATE", "value": {"at": ROWS}}) + "\n")
            _, of_an_upsert = load(upserted, lines, overwrite=False)
            cost, wal = load(overwritten, lines, overwrite=True)
            print(f"| {name} | {cost.peak:.0f} | {wal:.1f} | {of_an_upsert:.1f} |", flush=True)
            assert cost.peak < MOST_MB
            if name == "the same again":
                assert wal < 1
