"""Two tenants against each other, on every endpoint and below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from scan_service.door.app import OPERATIONS
from service.kit import TENANT, TOKEN, Client, Ledger, order

if TYPE_CHECKING:
    from scan_service.door.passing import Operation
    from starlette.testclient import TestClient

OTHER = "tenant-b"


@pytest.fixture
def attacker(http: TestClient, ledger: Ledger) -> Client:
    return Client(http, ledger.key(OTHER))


@pytest.fixture
def victim(client: Client, ledger: Ledger) -> Client:
    """A tenant with a finished scan, a pending one and a schedule."""
    client.start("done")
    ledger.make_results("done", [{"id": "1", "dealname": "secret deal", "amount": "10"}])
    ledger.complete("done")
    client.start("waiting")
    schedule = {"scheduleId": "nightly", "cron": "0 3 * * *", "config": order()["config"]}
    del schedule["config"]["scanId"]
    assert client.post("/api/v1/schedules", json={"schedule": schedule}).status_code == 201
    return client


@pytest.mark.usefixtures("victim")
def test_another_tenants_scans_do_not_exist(attacker: Client, ledger: Ledger) -> None:
    before = ledger.run("select id, status, slot from scan order by place")

    answers = [
        attacker.get("/api/v1/scan/status/done"),
        attacker.get("/api/v1/scan/result/done"),
        *(attacker.get(f"/api/v1/scan/download/done/{form}") for form in ("json", "csv", "excel")),
        attacker.post("/api/v1/scan/cancel/waiting"),
        attacker.delete("/api/v1/scan/remove/done?confirm=true"),
        attacker.delete("/api/v1/schedules/nightly"),
    ]
    unknown = attacker.get("/api/v1/scan/status/never-was")

    def said(response: object) -> object:
        return response.json()["error"]["message"]  # type: ignore[attr-defined]

    assert {answer.status_code for answer in answers} == {404}
    assert said(answers[0]) == said(unknown)
    assert ledger.run("select id, status, slot from scan order by place") == before
    assert ledger.run("select count(*) from scans.deals") == [(1,)]


def fill(path: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    return path + ("?confirm=true" if "/scan/remove/" in path else "")


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if "{" in each.path],
    ids=lambda each: f"{each.method} {each.path}",
)
def test_what_is_anothers_is_answered_like_what_never_was(
    operation: Operation, victim: Client, attacker: Client, ledger: Ledger
) -> None:
    connection = {"connectionId": "theirs", "accessToken": TOKEN}
    webhook = {"webhookId": "theirs", "url": "https://example.com/hook"}
    for path, body in (
        ("/api/v1/connections", {"connection": connection}),
        ("/api/v1/webhooks", {"webhook": webhook}),
    ):
        assert victim.post(path, json=body).status_code == 201
    theirs = {
        "scan_id": "done", "schedule_id": "nightly", "connection_id": "theirs",
        "webhook_id": "theirs", "record_id": "1", "format": "csv",
    }  # fmt: skip
    nobodys = {name: "x" * len(value) for name, value in theirs.items()} | {"format": "csv"}
    tables = ("scan", "schedule", "connection", "webhook", "delivery")
    query = " union all ".join(f"select {each}::text from {each}" for each in tables)
    before = ledger.run(query)

    answers = [
        attacker.ask(
            operation.method, fill(operation.path, names),
            json={"schedule": {"paused": True}} if operation.method == "PATCH" else None,
        )
        for names in (theirs, nobodys)
    ]  # fmt: skip

    assert [each.status_code for each in answers] == [404, 404]
    said = [each.json()["error"]["message"] for each in answers]
    assert said[0].replace("theirs", "") == said[1].replace("x" * len("theirs"), "")
    assert ledger.run(query) == before


@pytest.mark.usefixtures("victim")
def test_lists_statistics_and_limits_are_the_tenants_own(attacker: Client) -> None:
    scans = attacker.get("/api/v1/scan/list").json()["data"]
    stats = attacker.get("/api/v1/stats").json()["data"]
    schedules = attacker.get("/api/v1/schedules").json()["data"]

    assert scans["scans"] == []
    assert scans["pagination"]["total_items"] == 0
    assert stats["scans"]["total"] == 0
    assert stats["storage"]["totalRecords"] == 0
    assert schedules["schedules"] == []


def test_one_tenants_requests_do_not_use_up_anothers(victim: Client, attacker: Client) -> None:
    answers = (attacker.get("/api/v1/scan/list").status_code for _ in range(1000))
    assert 429 in answers

    assert victim.get("/api/v1/scan/list").status_code == 200


def test_same_names_stay_apart(victim: Client, attacker: Client, ledger: Ledger) -> None:
    attacker.post("/api/v1/scan/start", json=order("done", OTHER))
    ledger.make_results("done", [{"id": "1", "dealname": "mine"}], OTHER)
    ledger.complete("done", OTHER)

    mine = attacker.get("/api/v1/scan/result/done").json()["data"]["deals"]
    removed = attacker.delete("/api/v1/scan/remove/done?confirm=true").json()["data"]
    theirs = victim.get("/api/v1/scan/result/done").json()["data"]["deals"]

    assert [deal["dealname"] for deal in mine] == ["mine"]
    assert removed["deletedRecords"] == {"scanJob": 1, "deals": 1, "associations": 0}
    assert [deal["dealname"] for deal in theirs] == ["secret deal"]
    assert mine[0]["id"] != theirs[0]["id"]


@pytest.mark.parametrize("table", ["scan", "schedule", "outcome", "tenant", "bookmark"])
@pytest.mark.usefixtures("victim", "attacker")
def test_a_query_without_where_sees_one_tenant_only(table: str, ledger: Ledger) -> None:
    with psycopg.connect(ledger.url, options="-c search_path=scan_service") as connection:
        connection.execute("set role scan_service_tenant")
        connection.execute("select set_config('app.tenant_id', %s, false)", [OTHER])
        others = connection.execute(f"select distinct tenant_id from {table}").fetchall()
        connection.execute("select set_config('app.tenant_id', '', false)")
        nobody = connection.execute(f"select count(*) from {table}").fetchone()

    assert {row[0] for row in others} <= {OTHER}
    assert nobody == (0,)


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize(
    "statement",
    ["select * from api_key", "select * from bucket", "select * from procrastinate_jobs",
     "insert into tenant (tenant_id) values ('x')", "delete from outcome"],
)  # fmt: skip
def test_the_role_of_requests_has_no_business_elsewhere(statement: str, ledger: Ledger) -> None:
    with psycopg.connect(ledger.url, options="-c search_path=scan_service") as connection:
        connection.execute("set role scan_service_tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.usefixtures("victim")
def test_a_scan_cannot_be_moved_to_another_tenant(ledger: Ledger) -> None:
    with psycopg.connect(ledger.url, options="-c search_path=scan_service") as connection:
        connection.execute("set role scan_service_tenant")
        connection.execute("select set_config('app.tenant_id', %s, false)", [TENANT])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update scan set tenant_id = %s", [OTHER])
