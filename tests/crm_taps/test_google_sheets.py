"""Google Sheets: another tap and our target, against a copy of what that tap asks Google for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from harness.vendors.google_sheets import GoogleSheets
from harness.vendors.running import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.meltano import Project

pytestmark = pytest.mark.heavy


def test_each_sheet_is_a_table_of_the_tenant(
    installed: Callable[..., Project], database_url: str
) -> None:
    leads: list[list[Any]] = [
        ["Name", "Phone", "Spent"],
        *([f"Zoë {n}", "555", n + 0.25] for n in range(450)),
    ]
    spends: list[list[Any]] = [["Channel", "Amount"], ["Radio 📻", 12.5]]
    with GoogleSheets({"Marketing Leads": leads, "Marketing Spends": spends}) as google:
        project = installed(
            "tap-google-sheets",
            **google.settings(),
            TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
        )
        first = project.run("google-sheets-all")
        del leads[300:]
        second = project.run("google-sheets-all")

    assert (first.code, second.code) == (0, 0), first.text + second.text
    kept = 'from google_sheets."Marketing Leads" where _sdc_deleted_at is null'
    names = rows(database_url, f'select _tenant_id, __sdc_row, "Name", "Spent"::numeric {kept}')
    assert sorted(names) == sorted(
        ("acme", n + 2, f"Zoë {n}", rows(database_url, f"select {n}.25")[0][0]) for n in range(299)
    )
    spent = rows(database_url, 'select "Channel" from google_sheets."Marketing Spends"')
    assert spent == [("Radio 📻",)]
    assert google.secret not in first.text
    assert google.refresh_token not in first.text


def test_a_first_date_and_a_sample_work_as_they_do_for_our_own_taps(
    installed: Callable[..., Project], database_url: str
) -> None:
    leads: list[list[Any]] = [
        ["Name", "Day"],
        *([f"Zoë {n}", date(2026, 1, 1) + timedelta(days=n)] for n in range(300)),
    ]
    spends: list[list[Any]] = [["Channel", "Amount"], ["Radio 📻", 12.5], ["Print", 99.5]]
    days = 'select count(*), min("Day")::text from google_sheets."Marketing Leads" {}'
    kept = "where _sdc_deleted_at is null"
    with GoogleSheets({"Marketing Leads": leads, "Marketing Spends": spends}) as google:
        project = installed(
            "tap-google-sheets",
            **google.settings(),
            TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
            TAP_GOOGLE_SHEETS_TIME_COLUMNS={"Marketing Leads": "Day"},
        )
        sample = project.run("google-sheets-all", TAP_GOOGLE_SHEETS_MAX_RECORDS="1")
        sampled = rows(database_url, days.format(""))
        since = project.run("google-sheets-all", TAP_GOOGLE_SHEETS_START_DATE="2026-07-01")
        later = rows(database_url, days.format("where \"Day\" > '2026-01-02'"))
        del leads[2:]
        again = project.run("google-sheets-all", TAP_GOOGLE_SHEETS_START_DATE="2026-07-01")
        spared = rows(database_url, days.format(kept))
        whole = project.run("google-sheets-all")
        left = rows(database_url, days.format(kept))

    assert [run.code for run in (sample, since, again, whole)] == [0] * 4, since.text
    assert sampled == [(1, "2026-01-01T00:00:00.000000Z")]
    assert later == [(119, "2026-07-01T00:00:00.000000Z")]
    assert spared == [(120, "2026-01-01T00:00:00.000000Z")]
    assert left == [(1, "2026-01-01T00:00:00.000000Z")]
    spent = rows(database_url, 'select count(*) from google_sheets."Marketing Spends"')
    assert spent == [(2,)]
