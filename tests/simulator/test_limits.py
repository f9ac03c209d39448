"""Rate limits: three budgets, their headers and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Api

DEALS = "/crm/v3/objects/deals"
SEARCH = "/crm/v3/objects/deals/search"
LINKS = "/crm/v4/associations/deals/contacts/batch/read"


@pytest.fixture(autouse=True)
def _limits(portal: Portal) -> None:
    portal.limits.enabled = True


def test_headers_count_the_general_budget_down(api: Api) -> None:
    first, second = api.get(DEALS).headers, api.get(DEALS).headers

    assert first["X-HubSpot-RateLimit-Max"] == "190"
    assert first["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert first["X-HubSpot-RateLimit-Remaining"] == "189"
    assert second["X-HubSpot-RateLimit-Remaining"] == "188"
    assert second["X-HubSpot-RateLimit-Daily-Remaining"] == "624998"


def test_the_general_window_rolls(hubspot: Simulator, api: Api, portal: Portal) -> None:
    portal.limits.general = 3
    statuses = [api.get(DEALS).status_code for _ in range(4)]
    refused = api.get(DEALS)
    hubspot.advance(10.1)

    assert statuses == [200, 200, 200, 429]
    assert refused.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert refused.json()["errorType"] == "RATE_LIMIT"
    assert "Retry-After" not in refused.headers
    assert refused.headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert api.get(DEALS).status_code == 200
    assert portal.limits.refused == 2


def test_search_has_its_own_budget_a_second(hubspot: Simulator, api: Api, portal: Portal) -> None:
    portal.limits.retry_after = True
    statuses = [api.post(SEARCH, {}).status_code for _ in range(6)]
    refused = api.post(SEARCH, {})
    hubspot.advance(1.1)

    assert statuses == [200] * 5 + [429]
    assert refused.json()["category"] == "RATE_LIMITS"
    assert refused.json()["message"] == "You have reached your secondly limit."
    assert refused.headers["Retry-After"] == "1"
    assert "X-HubSpot-RateLimit-Max" not in refused.headers
    assert api.post(SEARCH, {}).status_code == 200
    assert api.get(DEALS).headers["X-HubSpot-RateLimit-Remaining"] == "189"


def test_associations_have_their_own_budget_unless_shared(api: Api, portal: Portal) -> None:
    portal.limits.associations = 1
    body = {"inputs": [{"id": portal.ids()[0]}]}

    assert [api.post(LINKS, body).status_code for _ in range(2)] == [200, 429]
    assert api.get(DEALS).headers["X-HubSpot-RateLimit-Remaining"] == "189"

    portal.limits.shared_associations = True

    assert api.post(LINKS, body).headers["X-HubSpot-RateLimit-Remaining"] == "188"


def test_the_day_ends_at_the_daily_limit(api: Api, portal: Portal) -> None:
    portal.limits.daily, portal.limits.others_daily = 10, 8

    statuses = [api.get(DEALS).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert api.get(DEALS).json()["policyName"] == "DAILY"


def test_other_apps_take_their_share(api: Api, portal: Portal) -> None:
    portal.limits.others_search = 3

    assert [api.post(SEARCH, {}).status_code for _ in range(3)] == [200, 200, 429]


def test_tokens_of_other_apps_have_a_general_budget_of_their_own(api: Api, portal: Portal) -> None:
    portal.add_token("other", app="other-app")
    api.get(DEALS)

    headers = {"Authorization": "Bearer other"}
    answer = api.session.get(api.url + DEALS, headers=headers, timeout=10)

    assert answer.headers["X-HubSpot-RateLimit-Remaining"] == "189"


def test_switched_off_the_budget_is_never_reached(api: Api, portal: Portal) -> None:
    portal.limits.enabled = False
    portal.limits.general = 1

    assert [api.get(DEALS).status_code for _ in range(3)] == [200] * 3
    assert int(api.get(DEALS).headers["X-HubSpot-RateLimit-Max"]) > 1000
