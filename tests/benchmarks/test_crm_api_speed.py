"""The list of 100 contacts with 300 deals and 600 tickets, for 50 clients at the same time.

`BENCH_CRM_REQUESTS` says how many requests each way of reading answers.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests
from harness.crm_account import TENANT, filled, mirror
from harness.crm_api import Server
from hubspot_simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = 50
REQUESTS = int(os.environ.get("BENCH_CRM_REQUESTS", "500"))
_local = threading.local()


def ask(url: str, token: str) -> float:
    """The seconds of one page, on a connection of the client's own."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    began = time.perf_counter()
    answer = _local.session.get(
        f"{url}/api/new-crm-objects?limit=100",
        headers={"Authorization": f"Bearer {token}"},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - began


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_a_page_for_many_clients(postgres_server: str, tmp_path: Path) -> None:
    with Simulator([filled(100, 300, 600)], latency_ms=0) as hubspot:
        # Without HubSpot's limits: they would be all that is measured.
        server = Server.fresh(
            postgres_server, tmp_path, hubspot.url, tenant_id=TENANT,
            requests_per_10_seconds=100_000, hubspot_seconds=120, connections_per_address=500,
        )  # fmt: skip
        try:
            token = server.join("zz@example.com").token
            mirror(server.database_url, hubspot, tmp_path)
            for reads in ("hubspot", "warehouse"):
                server.processes[-1].terminate()
                server.settings["reads"] = reads
                server.start()
                for clients in (1, CLIENTS):
                    count = REQUESTS if clients > 1 else max(20, REQUESTS // 10)
                    with ThreadPoolExecutor(clients) as pool:
                        began = time.perf_counter()
                        times = list(pool.map(lambda _: ask(server.url, token), range(count)))
                        rate = count / (time.perf_counter() - began)
                    cuts = statistics.quantiles(times, n=100)
                    print(
                        f"{reads}, {clients} clients: {rate:.1f} pages/s,"
                        f" p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms"
                    )
        finally:
            server.stop()
