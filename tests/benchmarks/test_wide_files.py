"""Files of an account with 17,000 properties: what each form takes of time and memory over HTTP.

`BENCH_WIDE_DEALS` says how many deals, `BENCH_WIDE_COLUMNS` how many properties.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from hubspot_simulator import Portal, Simulator
from service.kit import TENANT, TOKEN
from service.processes import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = int(os.environ.get("BENCH_WIDE_DEALS", "2000"))
COLUMNS = int(os.environ.get("BENCH_WIDE_COLUMNS", "17000"))
FILLED = 200  # values of each deal
MOST = 250  # MB of the server itself, whatever the file
_SEED = """
insert into scan (
    tenant_id, scan_id, status, config, fingerprint, started_at, completed_at, columns)
select %(tenant)s, 'wide', 'completed', '{}', '', now(), now(),
    jsonb_build_object('deals', jsonb_build_object('standard', '{}'::jsonb, 'custom', (
        select jsonb_object_agg('property_' || n,
            (array['number', 'text', 'moment', 'boolean'])[1 + n % 4])
        from generate_series(0, %(columns)s - 1) as n)))
"""
_ROWS = """
insert into scans.deals (_tenant_id, _scan_id, id, read_at, archived, properties, custom_properties)
select %(tenant)s, 'wide', (10000000000 + deal)::text, now(), false,
    jsonb_build_object('dealname', 'Deal ' || deal, 'amount', deal * 1.25),
    (select jsonb_object_agg('property_' || at, case at % 4
            when 0 then to_jsonb(deal * 1.25) when 1 then to_jsonb(md5((deal * at)::text))
            when 2 then to_jsonb('2025-01-15T10:30:00.123Z'::text) else to_jsonb(deal % 2 = 0) end)
        from (select (deal * 37 + n * 83) % %(columns)s as at
            from generate_series(1, %(filled)s) as n) as place)
from generate_series(1, %(deals)s) as deal
"""


@pytest.fixture
def service(postgres_server: str, tmp_path: Path) -> Iterator[Installation]:
    with Simulator([Portal.generate(1, token=TOKEN)], latency_ms=0) as hubspot:
        found = Installation.fresh(postgres_server, tmp_path, hubspot.url)
        try:
            found.serve()
            found.ledger.make_results("wide", [])
            given = {"tenant": TENANT, "columns": COLUMNS, "deals": DEALS, "filled": FILLED}
            # The statements' only other signs of a percent are divisions.
            for statement in (_SEED, _ROWS):
                text = statement
                for name, value in given.items():
                    quoted = f"'{value}'" if isinstance(value, str) else str(value)
                    text = text.replace(f"%({name})s", quoted)
                found.ledger.run(text)
            found.ledger.run("vacuum analyze scans.deals")
            assert found.ledger.count() == 1
            yield found
        finally:
            found.stop()


@contextmanager
def measured(server: psutil.Process) -> Iterator[dict[str, int]]:
    """The most memory that the server had meanwhile, and its largest child, in bytes."""
    most = {"server": 0, "child": 0}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            most["server"] = max(most["server"], server.memory_info().rss)
            for child in server.children(recursive=True):
                try:
                    most["child"] = max(most["child"], child.memory_info().rss)
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


@pytest.mark.benchmark
@pytest.mark.timeout(3000)
def test_files_of_any_width_leave_the_server_small(service: Installation) -> None:
    server = psutil.Process(service.processes[0].pid)
    print(f"\n{DEALS:,} deals, {COLUMNS:,} properties, {FILLED} values each")
    most: dict[str, Any] = {}
    for form in ("csv", "json", "parquet", "excel"):
        with measured(server) as memory:
            began, first, size = time.monotonic(), 0.0, 0
            with requests.get(
                f"{service.url}/api/v1/scan/download/wide/{form}", stream=True, timeout=2400,
                headers={"Authorization": f"Bearer {service.key}", "Accept-Encoding": "identity"},
            ) as answer:  # fmt: skip
                assert answer.status_code == 200, answer.text
                for piece in answer.iter_content(1 << 16):
                    first = first or time.monotonic() - began
                    size += len(piece)
            whole = time.monotonic() - began
        most[form] = memory
        print(
            f"{form}: first byte {first:.1f} s, whole {whole:.1f} s, {size / 1e6:.1f} MB; server"
            f" {memory['server'] / 1e6:.0f} MB, its largest child {memory['child'] / 1e6:.0f} MB"
        )
    began = time.monotonic()
    for _ in range(20):
        service.status("wide")
    print(f"status: {(time.monotonic() - began) / 20 * 1000:.0f} ms")
    assert all(memory["server"] < MOST * 1e6 for memory in most.values())
