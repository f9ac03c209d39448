"""Fixtures: a real browser, and a service with a worker and a HubSpot for it to look at."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hubspot_simulator import Portal, RateLimits, Simulator
from hubspot_simulator.lives import add_lives
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright
from service.kit import TOKEN
from service.processes import Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
OTHER = "other-tenant"
_WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  violations.push(event.violatedDirective + " " + event.blockedURI));
"""


@dataclass
class Site:
    """What the browser looks at."""

    service: Installation
    hubspot: Simulator
    keys: dict[str, str]


@pytest.fixture(scope="module")
def site(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server, with a HubSpot of deals with a past; tests start workers as they want them."""
    portal = Portal.generate(40, seed=11, token=TOKEN, contacts=60, companies=30)
    portal.add_stage_properties()
    add_lives(portal, 250, seed=11)
    portal.limits = RateLimits(enabled=True)
    with Simulator([portal], latency_ms=0) as hubspot:
        folder = tmp_path_factory.mktemp("browser")
        service = Installation.fresh(
            postgres_server, folder, hubspot.url,
            lost_after_seconds=8, max_attempts=6, sweep_seconds=0.5,
            requests_per_minute=6000, burst=6000,
        )  # fmt: skip
        try:
            service.serve()
            # Before there is a browser: its driver has the event loop of this thread.
            keys = {"own": service.key, "other": service.ledger.key(OTHER)}
            yield Site(service, hubspot, keys)
        finally:
            service.stop()


@pytest.fixture(scope="module")
def chromium(site: Site) -> Iterator[Browser]:  # noqa: ARG001 - it is made first
    """One browser for all tests of a module."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # As root, and in containers, Chromium has no sandbox of its own.
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser of his own; all that it asks for and complains of is kept."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        host = urlsplit(url).netloc

        def note(request: Request) -> None:
            if urlsplit(request.url).netloc != host and not request.url.startswith("data:"):
                self.elsewhere.append(request.url)

        context.on("request", note)
        context.add_init_script(_WATCH)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("console", self._note_complaint)
        self.page.set_default_timeout(30_000)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _note_complaint(self, message: Any) -> None:
        # What a page is refused (404, 401, …) is the tests' own doing.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, key: str) -> Page:
        self.go("/sign-in")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.url}/")
        return self.page

    def judge(self) -> None:
        """Fail if a page has asked elsewhere, broken its policy or run what somebody wrote."""
        violations = self.page.evaluate("window.violations ?? []")
        assert (self.elsewhere, violations, self.complaints, self.dialogs) == ([], [], [], [])


@pytest.fixture
def visitor(chromium: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors, and judges what their browsers saw at the end."""
    made: list[Visitor] = []

    def make(**options: Any) -> Visitor:
        visitor = Visitor(chromium.new_context(**options), site.service.url)
        made.append(visitor)
        return visitor

    yield make
    for each in made:
        each.judge()
        each.context.close()


def findings(page: Page, *rules: str) -> list[str]:
    """What axe finds wrong with a page; by default by all of its rules."""
    if not page.evaluate("'axe' in window"):
        # Not by a script element: the page's policy is right to refuse that.
        page.evaluate(
            resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
        )
    options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = page.evaluate(f"axe.run(document, {json.dumps(options)}).then((r) => r.violations)")
    return [
        f"{page.url} {each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found
        for node in each["nodes"]
    ]
