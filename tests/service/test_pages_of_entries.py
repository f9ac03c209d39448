"""The pages of schedules, webhooks and keys' use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scan_service.ledger import webhooks as kept
from scan_service.web import webhooks
from service.test_pages_of_accounts import connect

if TYPE_CHECKING:
    from service.browsing import Browser


def test_a_scan_can_repeat_by_itself_pause_and_run_now(pages: Browser) -> None:
    connect(pages.api())
    form = {"connection": "main", "name": "nightly", "object": "deals", "do": "schedule"}
    refused = pages.post("/start", {**form, "cron": "whenever"})
    assert refused.status_code == 400
    assert "cron expression" in refused.text
    assert 'value="whenever"' in refused.text

    assert pages.post("/start", {**form, "cron": "@daily", "keep": "3"}).status_code == 303
    page = pages.get("/schedules").text
    assert "<code>0 0 * * *</code>" in page
    assert pages.api().get("/api/v1/schedules").json()["data"]["schedules"][0]["keepLast"] == 3

    pages.post("/schedules/nightly/pause", {"paused": "yes"})
    assert "Resume" in pages.get("/schedules").text
    pages.post("/schedules/nightly/pause", {"paused": "no"})
    begun = pages.post("/schedules/nightly/run")
    assert pages.get(begun.headers["Location"]).status_code == 200
    pages.post("/schedules/nightly/remove")
    assert "Nothing starts by itself" in pages.get("/schedules").text


def test_a_webhook_is_added_tested_and_removed_and_its_secret_shown_once(pages: Browser) -> None:
    refused = pages.post("/webhooks", {"name": "main", "url": "http://127.0.0.1/"})
    assert refused.status_code == 400

    made = pages.post(
        "/webhooks", {"name": "main", "url": "https://example.com/x", "event": "scan.failed"}
    )
    secret = re.search(r"whsec_[^<]+", made.text)
    assert secret
    page = pages.get("/webhooks").text
    assert "https://example.com/x" in page
    assert secret[0] not in page

    pages.post("/webhooks/main/test")
    assert "pending" in pages.get("/webhooks/main").text
    pages.post("/webhooks/main/remove")
    assert "Nobody is told" in pages.get("/webhooks").text


def test_the_form_offers_every_event(pages: Browser) -> None:
    assert pages.key
    assert webhooks.EVENTS == kept.EVENTS


def test_the_use_of_keys_is_listed(pages: Browser) -> None:
    connect(pages.api())

    page = pages.get("/keys").text

    assert "POST /api/v1/connections" in page
    assert "main" in page
