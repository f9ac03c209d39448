"""The control endpoints and the command line: writing and asking from another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Api


def control(api: Api, portal: Portal, operation: str, **body: Any) -> Any:
    answer = api.post(f"/_simulator/{portal.portal_id}/{operation}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_the_portal_is_written_over_http(api: Api, portal: Portal) -> None:
    new = control(api, portal, "create", object_type="deals", properties={"amount": "5"})
    other = control(api, portal, "create", object_type="deals")
    control(api, portal, "change", object_type="deals", object_id=new, properties={"amount": "6"})
    survivor = control(api, portal, "merge", object_type="deals", primary=new, other=other)
    gone = portal.ids()[0]
    control(api, portal, "archive", object_type="deals", object_id=gone)
    control(api, portal, "add_property", object_type="deals", name="late", type="number")

    truth = portal.truth()
    assert truth.live[survivor].properties["amount"] == "6"
    assert truth.merged == {new: survivor, other: survivor}
    assert list(truth.archived) == [gone]
    assert "late" in portal.definitions("deals")


def test_the_truth_is_told_over_http(api: Api, portal: Portal) -> None:
    portal.archive("deals", portal.ids()[0])
    root = f"/_simulator/{portal.portal_id}/truth"

    body = api.get(f"{root}/deals").json()
    links = api.get(f"{root}/links/deals/companies").json()

    assert body["live"] == [asdict(each) for each in portal.truth().live.values()]
    assert [each["id"] for each in body["archived"]] == list(portal.truth().archived)
    assert {(each["from_id"], each["to_id"], each["type_id"]) for each in links} == {
        (each.from_id, each.to_id, each.type_id) for each in portal.true_links("deals", "companies")
    }


def test_switches_and_faults_are_set_over_http(
    hubspot: Simulator, api: Api, portal: Portal
) -> None:
    control(api, portal, "settings", association_page=3, enabled=True, search_lag=5)
    api.post("/_simulator/faults", {"kind": "status", "status": 502, "times": 1})
    api.post("/_simulator/world", {"latency_ms": 1, "advance": 2})

    assert (portal.behaviour.association_page, portal.limits.enabled) == (3, True)
    assert portal.search_lag == 5
    assert hubspot.latency_ms == 1
    assert api.get("/crm/v3/owners").status_code == 502
    assert api.get("/_simulator/requests").json()["by_status"] == {"502": 1}
    api.session.delete(f"{api.url}/_simulator/faults", timeout=10)
    api.session.delete(f"{api.url}/_simulator/requests", timeout=10)
    assert (hubspot.faults, len(hubspot.requests)) == ([], 0)


def test_mistakes_are_explained(api: Api, portal: Portal) -> None:
    root = f"/_simulator/{portal.portal_id}"

    for path, body in (
        (f"{root}/explode", {}),
        (f"{root}/archive", {"object_type": "deals", "object_id": "1"}),
        (f"{root}/create", {"object_type": "widgets"}),
        (f"{root}/settings", {"colour": "red"}),
        ("/_simulator/1/create", {"object_type": "deals"}),
        ("/_simulator/faults", {"kind": "explode"}),
    ):
        answer = api.post(path, body)
        assert answer.status_code == 400
        assert answer.json()["message"]


def test_the_command_serves_two_portals_and_says_how_to_ask() -> None:
    command = [sys.executable, "-m", "hubspot_simulator", "--port", "0", "--deals", "5", "--limits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(7)]
            url = lines[0].split()[-1]
            portals = requests.get(f"{url}/_simulator/portals", timeout=10).json()
            kinds = [
                requests.get(
                    f"{url}/crm/v3/properties/deals/custom_1",
                    headers={"Authorization": f"Bearer {portal['token']}"},
                    timeout=10,
                ).json()["type"]
                for portal in portals
            ]
        finally:
            os.kill(process.pid, signal.SIGINT)

    assert process.returncode == 0
    assert [portal["deals"] for portal in portals] == [5, 5]
    assert kinds == ["string", "number"]
    assert "curl" in lines[4]


def test_the_command_serves_an_account_without_deals() -> None:
    command = [sys.executable, "-m", "hubspot_simulator", "--port", "0", "--deals", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        os.kill(process.pid, signal.SIGINT)

    assert process.returncode == 0
    assert "0 deals" in lines[1]
    assert "/truth/deals" in lines[5]
