"""A small portal behind a server for each test, and a session that speaks to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "pat-na1-test"


class Api:
    """Asks one simulator with one token."""

    def __init__(self, url: str, token: str = TOKEN) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(self.url + path, params=query, timeout=20)

    def post(self, path: str, body: Any) -> requests.Response:
        return self.session.post(self.url + path, json=body, timeout=20)

    def pages(self, path: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
        """Follow `after` until there is none."""
        while True:
            body = self.get(path, **query).json()
            yield body["results"]
            if "paging" not in body:
                return
            query["after"] = body["paging"]["next"]["after"]

    def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        return [record for page in self.pages(path, limit=100, **query) for record in page]

    def search(self, *filters: dict[str, Any], object_type: str = "deals", **body: Any) -> Any:
        groups = [{"filters": list(filters)}] if filters else []
        answer = self.post(
            f"/crm/v3/objects/{object_type}/search", {"filterGroups": groups, **body}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def hubspot() -> Iterator[Simulator]:
    with Simulator([Portal.generate(250, seed=1, token=TOKEN)]) as simulator:
        yield simulator


@pytest.fixture
def portal(hubspot: Simulator) -> Portal:
    return hubspot.portal()


@pytest.fixture
def api(hubspot: Simulator) -> Iterator[Api]:
    client = Api(hubspot.url)
    yield client
    client.session.close()
