"""The web pages as people see them: in Chromium, against a real server, worker and HubSpot."""

from __future__ import annotations

import os
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pytest
from browser.conftest import OTHER, Site, Visitor, findings
from playwright.sync_api import Page, expect
from service.kit import TENANT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    Visitors = Callable[..., Visitor]

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
_SOON = 30_000


def picture(page: Page, name: str, *, height: int) -> None:
    """Keep a picture of a page as wide as a desk has it, where the README's are made."""
    if folder := os.environ.get("PICTURES"):
        page.set_viewport_size({"width": 1200, "height": height})
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures of pages go: kept where `PICTURES` says so."""
    return Path(os.environ.get("PICTURES", tmp_path))


def test_from_nothing_to_an_excel_file_while_a_worker_is_killed(
    site: Site, visitor: Visitors, tmp_path: Path
) -> None:
    someone = visitor()
    first = site.service.work()
    page = someone.sign_in(site.keys["own"])
    page.get_by_role("link", name="Start the first one").click()
    page.get_by_role("link", name="Connect one first").click()
    page.get_by_label("Name").fill("main")
    page.get_by_label("Access token").fill(TOKEN)
    page.get_by_role("button", name="Connect").click()

    page.get_by_label("Name of the scan").fill("first")
    page.get_by_label("companies", exact=True).first.check()
    page.get_by_label("contacts", exact=True).first.check()
    page.get_by_role("button", name="What would it cost?").click()
    count = site.hubspot.portal().records("deals").live_count()
    expect(page.get_by_text(f"deals: {count} records")).to_be_visible()
    site.hubspot.latency_ms = 400
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#state")).to_contain_text("Running", timeout=_SOON)
    page.evaluate("window.same = true")
    first.kill()
    site.service.work()
    site.hubspot.latency_ms = 0

    expect(page.locator("#state")).to_contain_text("Completed", timeout=2 * _SOON)
    assert site.service.row("first")["runs"] > 1
    expect(page.get_by_role("img", name="Requests in ten seconds")).to_be_visible()
    picture(page, "desk-scan", height=900)
    assert page.evaluate("window.same"), "the page followed the scan without being loaded again"
    with page.expect_download() as started:
        page.get_by_role("link", name="Excel of deals").click()
    file = tmp_path / "deals.xlsx"
    started.value.save_as(file)
    with closing(openpyxl.load_workbook(file, read_only=True)) as book:
        assert sum(1 for _ in book.worksheets[0].iter_rows()) == count + 1
    page.get_by_role("link", name="deals", exact=True).click()
    expect(page.get_by_role("heading", name=f"{count} deals")).to_be_visible()
    page.get_by_role("link", name="Pipeline").click()
    picture(page, "desk-pipeline", height=1400)
    stalled = page.get_by_role("region", name="Stalled deals")
    values = [
        Decimal(each.replace(",", ""))
        for each in stalled.locator("td:nth-child(3)").all_inner_texts()
    ]
    assert values[0] == max(values)
    largest = stalled.get_by_role("link").first.inner_text()
    stalled.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(largest)


def make_results(site: Site, scan_id: str) -> None:
    """Let a scan of the tenant's have hostile records, refused ones and errors."""
    ledger = site.service.ledger
    # Not by the API: no worker is to take it.
    ledger.run(
        "insert into scan (tenant_id, scan_id, config, fingerprint, status, created_at, started_at,"
        " completed_at, processed_items, failed_items, total_items, records, summary, columns,"
        " errors) values (%s, %s, '{\"associations\": [\"contacts\"]}', '', 'completed', now(),"
        " now(), now(), 2, 1, 2, '{\"deals\": 2}', '{}', '{}', jsonb_build_array("
        " jsonb_build_object('dealId', %s::text, 'code', 'VALIDATION_ERROR', 'error', %s::text,"
        "  'timestamp', '2026-01-01T00:00:00Z', 'retryCount', 0),"
        " jsonb_build_object('dealId', null, 'code', 'HUBSPOT_API_ERROR', 'error', %s::text,"
        "  'timestamp', '2026-01-01T00:00:00Z', 'retryCount', 2)))",
        TENANT, scan_id, HOSTILE, HOSTILE, HOSTILE,
    )  # fmt: skip
    ledger.run(
        "insert into schedule (tenant_id, schedule_id, config, fingerprint, cron, next_run_at,"
        " last_error) values (%s, 'nightly', '{}', '', '0 0 * * *', now() + '1 year', %s)",
        TENANT, HOSTILE,
    )  # fmt: skip
    ledger.run(
        "insert into webhook (tenant_id, webhook_id, url, events, secret)"
        " values (%s, 'main', %s, '{scan.failed}', '')",
        TENANT, f"https://example.com/{HOSTILE}",
    )  # fmt: skip
    ledger.make_results(
        scan_id,
        [
            {
                "id": str(number), "dealname": HOSTILE, "amount": "12.50",
                "custom_properties": {HOSTILE: HOSTILE},
                "associations": {"contacts": [{"id": HOSTILE, "types": [{"label": HOSTILE}]}]},
            }
            for number in range(2)
        ],
    )  # fmt: skip


PATHS = (
    "/", "/?status=failed", "/start", "/pipeline", "/pipeline?scan=hostile", "/schema", "/loads",
    "/connections", "/schedules", "/webhooks", "/webhooks/main", "/keys",
    "/scans/hostile", "/scans/hostile/remove", "/scans/hostile/records",
    "/scans/hostile/records/1", "/scans/none",
)  # fmt: skip


def test_every_page_is_accessible_and_fits_whatever_stands_on_it(
    site: Site, visitor: Visitors, pictures: Path
) -> None:
    make_results(site, "hostile")
    someone = visitor(viewport={"width": 320, "height": 640}, reduced_motion="reduce")
    wrong, wide = findings(someone.go("/sign-in")), []
    someone.sign_in(site.keys["own"])
    for path in PATHS:
        page = someone.go(path)
        page.emulate_media(color_scheme="light")
        wrong += findings(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
        page.emulate_media(color_scheme="dark")
        wrong += findings(page, "color-contrast")
        name = path.strip("/").replace("/", "-").replace("?", "-") or "scans"
        page.screenshot(path=pictures / f"{name}.png", full_page=True)
        someone.judge()

    assert (wrong, wide) == ([], [])


def test_two_tenants_see_nothing_of_each_other(site: Site, visitor: Visitors) -> None:
    site.service.ledger.run(
        "insert into scan (tenant_id, scan_id, config, fingerprint, status, completed_at)"
        " values (%s, 'secret-name', '{}', '', 'cancelled', now())",
        OTHER,
    )
    own, other = visitor(), visitor()
    own.sign_in(site.keys["own"])
    other.sign_in(site.keys["other"])

    assert other.go("/").get_by_role("link", name="secret-name").count() > 0
    assert "secret-name" not in own.go("/").content()
    expect(own.go("/scans/secret-name").get_by_role("heading")).to_have_text("Scan not found")


def test_pages_work_without_scripts_and_by_keyboard(site: Site, visitor: Visitors) -> None:
    someone = visitor(java_script_enabled=False)
    page = someone.go("/")
    page.keyboard.type(site.keys["own"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{someone.url}/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    # The first stop leads to the content.
    page.wait_for_url(f"{someone.url}/#main")

    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_page_that_is_not_told_looks_again(site: Site, visitor: Visitors) -> None:
    ledger = site.service.ledger
    ledger.run(
        "insert into scan (tenant_id, scan_id, config, fingerprint, status, started_at, run_id,"
        " seen_at, total_items) values (%s, 'polled', '{}', '', 'running', now(),"
        " gen_random_uuid(), now() + interval '1 hour', 100)",
        OTHER,
    )
    someone = visitor()
    someone.sign_in(site.keys["other"])
    # As a server answers that has viewers enough.
    someone.page.route("**/live", lambda route: route.fulfill(status=503))
    page = someone.go("/scans/polled")

    ledger.run("update scan set processed_items = 40 where scan_id = 'polled'")

    expect(page.get_by_role("progressbar")).to_have_attribute("value", "40.0", timeout=_SOON)
    ledger.run(
        "update scan set status = 'cancelled', completed_at = now() where scan_id = 'polled'"
    )


def test_a_page_of_a_scan_follows_it_and_says_when_the_key_ends(
    site: Site, visitor: Visitors
) -> None:
    ledger = site.service.ledger
    ledger.run(
        "insert into scan (tenant_id, scan_id, config, fingerprint, status, started_at, run_id,"
        " seen_at, total_items) values (%s, 'live', '{}', '', 'running', now(), gen_random_uuid(),"
        " now() + interval '1 hour', 100)",
        OTHER,
    )
    someone = visitor()
    someone.sign_in(site.keys["other"])
    page = someone.go("/scans/live")
    page.get_by_role("button", name="Cancel").focus()

    ledger.run("update scan set processed_items = 40 where scan_id = 'live'")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "40.0", timeout=_SOON)
    ledger.run(
        "update scan set live = jsonb_build_object('errors', '[]'::jsonb, 'waiting',"
        " jsonb_build_object('code', 'HUBSPOT_RATE_LIMIT', 'reason', 'HubSpot has enough.',"
        " 'seconds', 90)) where scan_id = 'live'"
    )
    expect(page.locator("#waiting")).to_contain_text("HubSpot has enough. for another")
    ledger.run("update scan set live = '{}' where scan_id = 'live'")
    expect(page.locator("#waiting")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "cancel", "focus stays where it was"

    ledger.run("update api_key set revoked_at = now() where tenant_id = %s", OTHER)
    ledger.run("update scan set processed_items = 60 where scan_id = 'live'")

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
