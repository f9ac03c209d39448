"""Batch read: inputs, missing records, both ways to say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hubspot_simulator import Portal

    from .conftest import Api

V3 = "/crm/v3/objects/deals/batch/read"
DATED = "/crm/objects/2026-09/deals/batch/read"


def inputs(*ids: str) -> dict[str, list[dict[str, str]]]:
    return {"inputs": [{"id": each} for each in ids]}


@pytest.mark.parametrize("path", [V3, DATED])
def test_records_come_complete_but_in_no_order(api: Api, portal: Portal, path: str) -> None:
    ids = portal.ids()[:100]

    body = api.post(path, {**inputs(*ids), "properties": ["amount"]}).json()

    found = [record["id"] for record in body["results"]]
    assert body["status"] == "COMPLETE"
    assert sorted(found) == ids
    assert found != ids
    truth = portal.truth().live
    for record in body["results"]:
        assert record["properties"]["amount"] == truth[record["id"]].properties["amount"]


@pytest.mark.parametrize(("path", "status"), [(V3, 207), (DATED, 200)])
def test_missing_records_are_listed_in_errors(
    api: Api, portal: Portal, path: str, status: int
) -> None:
    there, gone, merged, other, *_ = portal.ids()
    portal.archive("deals", gone)
    portal.merge("deals", merged, other)

    answer = api.post(path, inputs(there, gone, merged, "7", there))

    body = answer.json()
    assert answer.status_code == status
    assert [record["id"] for record in body["results"]] == [there]
    assert body["numErrors"] == 1
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert body["errors"][0]["context"]["ids"] == [gone, merged, "7"]


def test_merged_ids_can_be_made_to_resolve(api: Api, portal: Portal) -> None:
    portal.behaviour.batch_resolves_merged = True
    first, second, *_ = portal.ids()
    survivor = portal.merge("deals", first, second)

    body = api.post(V3, inputs(first, second)).json()

    assert [record["id"] for record in body["results"]] == [survivor]


def test_archived_records_are_read_when_asked_for(api: Api, portal: Portal) -> None:
    gone = portal.ids()[0]
    portal.archive("deals", gone)

    body = api.post(f"{V3}?archived=true", inputs(gone)).json()

    assert body["results"][0]["archived"] is True


def test_too_many_inputs_are_refused(api: Api, portal: Portal) -> None:
    ids = portal.ids()[:101]

    many = api.post(V3, inputs(*ids))
    with_history = api.post(V3, {**inputs(*ids[:51]), "propertiesWithHistory": ["amount"]})

    assert (many.status_code, with_history.status_code) == (400, 400)
    assert "in a batch is 100" in many.json()["message"]


def test_contacts_are_found_by_email(api: Api) -> None:
    body = {**inputs("person3@example.com"), "idProperty": "email", "properties": ["email"]}

    found = api.post("/crm/v3/objects/contacts/batch/read", body).json()["results"]

    assert [record["properties"]["email"] for record in found] == ["person3@example.com"]
