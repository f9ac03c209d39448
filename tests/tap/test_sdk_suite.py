"""The SDK's own tests of taps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hubspot_simulator import Portal, Simulator
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from tap_hubspot_deals.tap import TapHubspotDeals

if TYPE_CHECKING:
    from collections.abc import Iterator

# The suite asks for its settings when this module is imported, before any fixture runs.
HUBSPOT = Simulator([Portal.generate(40, archived=3, odd_values=True)]).start()
CONFIG: dict[str, Any] = {
    "access_token": HUBSPOT.portals[0].token,
    "tenant_id": "acme",
    "base_url": HUBSPOT.url,
}


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    HUBSPOT.stop()


TestTap = get_tap_test_class(
    TapHubspotDeals,
    config=CONFIG,
    suite_config=SuiteConfig(ignore_no_records_for_streams=["associations", "account_details"]),
)
