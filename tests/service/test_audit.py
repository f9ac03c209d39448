"""Which key did what, when and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.kit import TENANT, Client, Ledger

if TYPE_CHECKING:
    from service.browsing import Browser
    from starlette.testclient import TestClient


def entries(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/audit", params=query)
    found: list[dict[str, Any]] = answer.json()["data"]["entries"]
    return found


def test_what_changes_something_or_takes_data_out_is_noted_refused_or_not(client: Client) -> None:
    client.start("one")
    client.start("one")
    client.get("/api/v1/scan/status/one")
    client.get("/api/v1/scan/download/one/csv", headers={"X-Correlation-ID": "a" * 32})
    client.post("/api/v1/scan/cancel/one")
    client.delete("/api/v1/scan/remove/one?confirm=true")
    client.post("/api/v1/scan/start", json={"config": {"auth": {"accessToken": "hush-hush"}}})

    found = [(each["operation"], each["subject"], each["status"]) for each in entries(client)]

    assert found == [
        ("POST /api/v1/scan/start", None, 400),
        ("DELETE /api/v1/scan/remove/{scan_id}", "one", 200),
        ("POST /api/v1/scan/cancel/{scan_id}", "one", 200),
        ("GET /api/v1/scan/download/{scan_id}/{format}", "one", 409),
        ("POST /api/v1/scan/start", "one", 409),
        ("POST /api/v1/scan/start", "one", 202),
    ]
    assert entries(client)[3]["correlationId"] == "a" * 32
    assert {each["address"] for each in entries(client)} == {"testclient"}
    assert "hush" not in client.get("/api/v1/audit").text


def test_each_key_is_told_apart_and_a_tenant_sees_its_own_only(
    http: TestClient, ledger: Ledger
) -> None:
    reader = Client(http, ledger.key(permissions=("hubspot_deals:read",)))
    writer, stranger = Client(http, ledger.key()), Client(http, ledger.key("stranger"))
    reader.start("one")
    writer.start("two")
    stranger.start("three", tenantId="stranger")

    found = entries(reader)

    assert [(each["subject"], each["status"]) for each in found] == [("two", 202), (None, 403)]
    assert len({each["keyId"] for each in found}) == 2
    assert len(entries(stranger)) == 1
    assert ledger.run("select count(*) from audit where tenant_id = %s", TENANT) == [(2,)]


def test_signing_in_and_out_is_noted_and_a_wrong_key_is_nobodys(pages: Browser) -> None:
    client = pages.api()
    pages.post("/sign-out")
    pages.sign_in("sk_live_" + "x" * 43)

    found = [(each["operation"], each["status"], each["address"]) for each in entries(client)]

    assert found == [
        ("POST /sign-out", 303, "testclient"),
        ("POST /sign-in", 303, "testclient"),
    ]


def test_the_notes_come_in_pages(client: Client) -> None:
    for number in range(5):
        client.post(f"/api/v1/scan/cancel/none-{number}")

    first, last = entries(client, page_size=3), entries(client, page_size=3, page=2)

    assert [each["subject"] for each in (*first, *last)] == [f"none-{n}" for n in (4, 3, 2, 1, 0)]
    assert client.get("/api/v1/audit?page_size=0").status_code == 400


def test_a_server_that_dies_at_work_leaves_a_note_without_an_outcome(
    client: Client, ledger: Ledger
) -> None:
    client.start("one")
    ledger.run("update audit set status = null, subject = null")

    assert entries(client)[0]["status"] is None
