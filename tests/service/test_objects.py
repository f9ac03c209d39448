"""Scans of more than deals, really run: each type's records, values and links, and no other's."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import psycopg
import pytest
from harness.comparison import differences, expected
from hubspot_simulator import Portal, Simulator
from openpyxl.utils.escape import unescape
from scan_service.records.objects import table_of
from service.kit import TENANT, TOKEN
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER, OTHER_TOKEN = "tenant-b", "pat-na1-bbbb-bbbb-bbbb"
# A word of SQL in capitals, and a name that PostgreSQL would cut.
LONG = "Warehouses_of_the_northern_and_the_southern_region_with_all_their_gates_and_ramps"
CUSTOM = ["User", LONG]
COUNTS = {"tickets": 25, "notes": 15, "User": 12, LONG: 9}
OBJECTS: list[Any] = [
    "deals",
    {"name": "contacts", "associations": ["companies", "deals"]},
    "companies",
    {"name": "User", "associations": ["contacts"]},
    {"name": LONG, "associations": ["User"]},
    "notes",
]
LINKS: dict[str, tuple[str, ...]] = {
    "deals": ("contacts", "User"), "contacts": ("companies", "deals"), "User": ("contacts",),
    LONG: ("User",),
}  # fmt: skip
NAMES = ["deals", "contacts", "companies", "User", LONG, "notes"]


def filled(seed: int, token: str) -> Portal:
    """A portal with records of every type of this test, and links between custom objects."""
    portal = Portal.generate(30, seed=seed, token=token, counts=COUNTS, custom_objects=CUSTOM)
    users, contacts = portal.ids("User"), portal.ids("contacts")
    for place, user in enumerate(users):
        portal.link("User", user, "contacts", contacts[place])
        portal.link("deals", portal.ids("deals")[place], "User", user)
    portal.link(LONG, portal.ids(LONG)[0], "User", users[0])
    return portal


@pytest.fixture(scope="module")
def crm() -> Iterator[Simulator]:
    with Simulator([filled(11, TOKEN), filled(12, OTHER_TOKEN)], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def mine(crm: Simulator) -> Portal:
    return crm.portals[0]


@pytest.fixture(scope="module")
def theirs(crm: Simulator) -> Portal:
    return crm.portals[1]


@pytest.fixture(scope="module")
def service(
    postgres_server: str, crm: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server and a worker; each of two tenants has a completed scan `all` of every type."""
    folder = tmp_path_factory.mktemp("objects")
    installation = Installation.fresh(
        postgres_server, folder, crm.url, requests_per_minute=6000, burst=6000
    )
    try:
        installation.serve()
        installation.work()
        config: dict[str, Any] = {"objects": OBJECTS, "associations": list(LINKS["deals"])}
        installation.start("all", **config)
        installation.start(
            "all", tenant=OTHER, key=key_of_other(installation),
            auth={"accessToken": OTHER_TOKEN}, **config,
        )  # fmt: skip
        for tenant in (TENANT, OTHER):
            over = lambda name=tenant: installation.row("all", name)["status"] == "completed"  # noqa: E731
            wait_for(over, why=installation.logs())
        yield installation
    finally:
        installation.stop()


def key_of_other(service: Installation) -> str:
    return service.ledger.key(OTHER)


def records(service: Installation, name: str, key: str | None = None) -> list[dict[str, Any]]:
    """All records of a type, page by page."""
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        response = service.ask(
            "GET", "/api/v1/scan/result/all", key,
            params={"object": name, "page": page, "page_size": 8, "include_associations": "true"},
        )  # fmt: skip
        assert response.status_code == 200, response.text
        data = json.loads(response.text, parse_float=Decimal, parse_int=Decimal)["data"]
        found += data["deals" if name == "deals" else "records"]
        if not data["pagination"]["has_next"]:
            return found
        page += 1


def download(service: Installation, name: str, form: str) -> Any:
    response = service.ask(
        "GET", f"/api/v1/scan/download/all/{form}",
        params={"object": name, "include_associations": "true"},
    )  # fmt: skip
    assert response.status_code == 200, response.text
    assert f'filename="hubspot_{name}_' in response.headers["Content-Disposition"]
    return response


def flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record's properties under their HubSpot names, as far as they have a value."""
    values = {**record["properties"], **record["customProperties"]}
    return {name: value for name, value in values.items() if value is not None}


def true_values(portal: Portal, name: str, record_id: str) -> dict[str, Any]:
    """What HubSpot has, typed, in the words of JSON."""
    found = {}
    for definition in portal.records(name).definitions.all():
        text = portal.truth(name).live[record_id].properties.get(definition.name)
        value = expected(definition, text)
        if value is not None and definition.type not in ("date", "datetime"):
            found[definition.name] = value
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name != LONG])
def test_the_tables_hold_exactly_what_hubspot_has(
    service: Installation, mine: Portal, theirs: Portal, name: str
) -> None:
    for tenant, portal in ((TENANT, mine), (OTHER, theirs)):
        found = differences(
            service.ledger.url, portal, tenant=tenant, schema="scans", object_type=name,
            links_to=LINKS.get(name, ()),
        )  # fmt: skip
        assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_the_pages_show_exactly_the_records_values_and_links_of_the_type(
    service: Installation, mine: Portal, name: str
) -> None:
    shown = records(service, name)

    truth = mine.truth(name).live
    assert [each["hubspotObjectId"] for each in shown] == sorted(truth)
    links = {
        (each["hubspotObjectId"], kind, link["id"])
        for each in shown
        for kind, found in each["associations"].items()
        for link in found
    }
    assert links == {
        (link.from_id, kind, link.to_id)
        for kind in LINKS.get(name, ())
        for link in mine.true_links(name, kind)
    }
    for each in shown if name != "deals" else ():
        true = true_values(mine, name, each["hubspotObjectId"])
        assert {n: v for n, v in flat(each).items() if n in true} == true
        assert each["createdAt"]
        assert each["archived"] is False


def test_the_same_id_in_two_types_has_two_uuids_and_links_are_named_as_hubspot_names_them(
    service: Installation,
) -> None:
    ids = [each["id"] for name in NAMES for each in records(service, name)]
    types = {
        link["type"]
        for name in NAMES
        for each in records(service, name)
        for found in each["associations"].values()
        for link in found
    }

    assert len(set(ids)) == len(ids)
    assert types == {
        "deal_to_contact", "deal_to_User", "contact_to_company", "contact_to_deal",
        "User_to_contact", f"{LONG}_to_User",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_form_of_download_holds_the_values_of_the_pages(
    service: Installation, mine: Portal, name: str
) -> None:
    shown = {each["hubspotObjectId"]: each for each in records(service, name)}

    as_json = json.loads(
        download(service, name, "json").text, parse_float=Decimal, parse_int=Decimal
    )
    as_csv = list(csv.DictReader(io.StringIO(download(service, name, "csv").text, newline="")))
    book = openpyxl.load_workbook(io.BytesIO(download(service, name, "excel").content))

    assert {each["hubspotObjectId"]: each for each in as_json} == shown
    key = "deal_id" if name == "deals" else "record_id"
    assert [row[key] for row in as_csv] == sorted(shown)
    head, *rows = book[book.sheetnames[0]].iter_rows(values_only=True)
    assert book.sheetnames[0] == name[:31]
    assert head == tuple(as_csv[0])
    for line, row in zip(as_csv, rows, strict=True):
        cells = dict(zip(head, row, strict=True))
        record = shown[line[key]]
        for kind in LINKS.get(name, ()):
            linked = sorted(link["id"] for link in record["associations"][kind])
            assert sorted((line[kind] or "").split(";")) == (linked or [""])
        for prop in true_values(mine, name, line[key]).keys() & flat(record).keys():
            value = flat(record)[prop]
            if isinstance(value, str):
                assert line[prop].removeprefix("'") == value
                assert unescape(str(cells[prop] or "")) == value
            elif isinstance(value, Decimal):
                assert Decimal(line[prop]) == value
                assert Decimal(str(cells[prop])) == value


def test_raw_and_custom_properties_of_any_type_appear_as_asked_for(service: Installation) -> None:
    page = "/api/v1/scan/result/all?object=contacts&page_size=1"
    file = "/api/v1/scan/download/all/csv?object=contacts"

    (plain,) = service.ask("GET", page).json()["data"]["records"]
    (raw,) = service.ask("GET", f"{page}&include_raw=true").json()["data"]["records"]
    whole = service.ask("GET", file).text.splitlines()[0].split(",")
    standard = service.ask("GET", f"{file}&include_custom_props=false").text.splitlines()[0]

    assert not {"raw", "associations"} & plain.keys()
    assert raw["raw"]["id"] == raw["hubspotObjectId"]
    assert set(whole) - set(standard.split(",")) == {
        name for name in whole if name.startswith("custom_")
    }
    assert "companies" not in whole


def test_status_counts_by_type_and_in_all(service: Installation, mine: Portal) -> None:
    data = service.status("all")

    truth = {name: len(mine.truth(name).live) for name in NAMES}
    assert data["config"]["objects"] == OBJECTS
    assert data["progress"]["totalItems"] == sum(truth.values())
    assert data["progress"]["processedItems"] == sum(truth.values())
    assert data["progress"]["objects"] == {
        name: {"totalItems": count, "processedItems": count, "failedItems": 0}
        for name, count in truth.items()
    }


def test_statistics_keep_deals_apart_and_list_the_other_types(
    service: Installation, mine: Portal
) -> None:
    stats = service.ask("GET", "/api/v1/stats").json()["data"]

    assert stats["deals"]["totalExtracted"] == len(mine.ids("deals"))
    assert stats["storage"]["totalRecords"] == sum(len(mine.ids(name)) for name in NAMES)
    assert stats["objects"].keys() == set(NAMES) - {"deals"}
    assert stats["objects"][LONG]["totalExtracted"] == len(mine.ids(LONG))
    assert stats["objects"][LONG]["storedRecords"] == len(mine.ids(LONG))
    assert stats["objects"]["contacts"]["lastExtraction"] is not None


def test_an_object_that_the_scan_does_not_have_is_named_as_the_wrong_field(
    service: Installation,
) -> None:
    for path in ("result/all?object=tickets", "download/all/csv?object=tickets"):
        answer = service.ask("GET", f"/api/v1/scan/{path}")

        assert answer.status_code == 400
        (detail,) = answer.json()["error"]["details"]
        assert detail["field"] == "object"
        assert "contacts" in detail["message"]


def test_no_tenant_sees_anothers_records_of_any_type(
    service: Installation, mine: Portal, theirs: Portal
) -> None:
    key = key_of_other(service)
    for name in NAMES:
        shown = {json.dumps(flat(each), default=str) for each in records(service, name)}
        others = {json.dumps(flat(each), default=str) for each in records(service, name, key)}
        assert len(shown) == len(mine.ids(name))
        assert len(others) == len(theirs.ids(name))
        assert not shown & others


def test_every_table_of_results_is_under_row_level_security(
    service: Installation, theirs: Portal
) -> None:
    tables = service.ledger.run(
        "select relname, relrowsecurity and relforcerowsecurity from pg_class"
        " where relnamespace = 'scans'::regnamespace and relkind = 'r'"
    )
    counted = {}
    with psycopg.connect(service.ledger.url) as connection:
        connection.execute("set role scan_service_tenant")
        for tenant in (OTHER, ""):
            connection.execute("select set_config('app.tenant_id', %s, false)", [tenant])
            for name in NAMES:
                row = connection.execute(
                    f'select count(*), count(distinct _tenant_id) from scans."{table_of(name)}"'
                ).fetchone()
                counted[tenant, name] = row

    assert {name for name, _ in tables} >= {table_of(name) for name in (*NAMES, "associations")}
    assert all(secured for _, secured in tables), tables
    for name in NAMES:
        assert counted[OTHER, name] == (len(theirs.ids(name)), 1)
        assert counted["", name] == (0, 0)


def test_a_type_has_its_own_filters_and_properties(service: Installation, mine: Portal) -> None:
    tickets = mine.truth("tickets").live
    stage = next(iter(tickets.values())).properties["hs_pipeline_stage"]
    wanted = [
        {
            "name": "tickets",
            "filters": {"stage": stage},
            "properties": ["subject"],
            "history": ["subject"],
        },
        {"name": "contacts", "dateRange": {"endDate": "1999-12-31"}},
    ]

    service.start("filtered", objects=wanted)
    expected_total = service.status("filtered")["progress"]["totalItems"]
    data = service.finished("filtered")

    assert data["status"] == "completed", data["errors"]
    in_stage = [i for i, t in tickets.items() if t.properties["hs_pipeline_stage"] == stage]
    assert expected_total == len(in_stage)
    assert data["progress"]["processedItems"] == len(in_stage)
    assert data["progress"]["objects"]["contacts"]["processedItems"] == 0
    shown = service.ask("GET", "/api/v1/scan/result/filtered?object=tickets").json()["data"]
    assert [each["hubspotObjectId"] for each in shown["records"]] == sorted(in_stage)
    assert shown["summary"] == {"totalRecords": len(in_stage)}
    assert set().union(*(each["properties"] for each in shown["records"])) <= {"subject"}
    assert service.ask("GET", "/api/v1/scan/result/filtered").status_code == 400  # no deals
    for each in in_stage:
        path = f"/api/v1/scan/result/filtered/{each}/history?object=tickets"
        past = service.ask("GET", path).json()["data"]
        assert past["properties"] == ["subject"]
        assert past["changes"][0]["value"] == tickets[each].properties["subject"]
        assert (past["stays"][0]["stage"], past["stays"][0]["leftAt"]) == (stage, None)
    empty = service.ask("GET", "/api/v1/scan/download/filtered/csv?object=contacts")
    assert empty.text.startswith("record_id,created_at,updated_at,extracted_at,archived")


def test_an_incremental_scan_reads_what_changed_of_each_type(
    service: Installation, theirs: Portal
) -> None:
    key = key_of_other(service)
    config: dict[str, Any] = {
        "tenant": OTHER, "key": key, "auth": {"accessToken": OTHER_TOKEN}, "mode": "incremental",
        "objects": ["contacts", "User"],
    }  # fmt: skip
    service.start("kind-1", **config)
    wait_for(lambda: service.row("kind-1", OTHER)["status"] == "completed", why=service.logs())
    changed = theirs.ids("User")[2]
    theirs.change("User", changed, {"custom_1": "changed"})
    service.start("kind-2", **config)
    wait_for(lambda: service.row("kind-2", OTHER)["status"] == "completed", why=service.logs())

    counts = service.status("kind-2", key)["progress"]["objects"]

    assert counts["User"]["processedItems"] == 1
    assert counts["contacts"]["processedItems"] == 0
    ((found,),) = service.ledger.run("""select id from scans."User" where _scan_id = 'kind-2'""")
    assert found == changed


def test_a_scope_that_is_taken_away_later_fails_the_scan_and_names_type_and_scope(
    service: Installation, crm: Simulator, mine: Portal
) -> None:
    scopes = ["crm.objects.deals.read", "crm.objects.contacts.read", "crm.objects.companies.read"]
    mine.add_token("pat-na1-soon-poorer", scopes=scopes)
    crm.latency_ms = 300
    try:
        service.start(
            "poorer", auth={"accessToken": "pat-na1-soon-poorer"}, objects=["deals", "companies"]
        )
        mine.add_token("pat-na1-soon-poorer", scopes=scopes[:2])
        data = service.finished("poorer")
    finally:
        crm.latency_ms = 0

    assert data["status"] == "failed"
    (error,) = data["errors"]
    assert error["code"] == "HUBSPOT_AUTH_ERROR"
    assert "companies" in error["error"]
    assert "crm.objects.companies.read" in error["error"]
    assert service.deals("poorer") == []


def test_cancelling_ends_a_scan_of_several_types_and_keeps_what_it_read(
    service: Installation, crm: Simulator
) -> None:
    service.start("cancelled", objects=["contacts", "companies", "User"], batchSize=5)
    crm.latency_ms = 1500
    try:
        wait_for(lambda: service.members("tap-hubspot-deals"), seconds=40)
        answer = service.ask("POST", "/api/v1/scan/cancel/cancelled").json()["data"]
        wait_for(lambda: not service.members(), seconds=15, why=service.logs()[-3000:])
    finally:
        crm.latency_ms = 0
    data = service.finished("cancelled")

    assert answer["currentStatus"] == "cancelled"
    assert data["progress"]["objects"].keys() == {"contacts", "companies", "User"}
    assert service.ask("GET", "/api/v1/scan/download/cancelled/csv?object=User").status_code == 200


def test_scans_that_run_at_once_may_each_bring_new_types(
    service: Installation, mine: Portal
) -> None:
    names = [f"Kind{number}" for number in range(5)]
    for place, name in enumerate(names):
        mine.add_object_type(name)
        for _ in range(place + 1):
            mine.create(name, {})

    for place, name in enumerate(names):
        service.start(f"at-once-{place}", objects=[name, names[place - 1], "notes"])

    for place, name in enumerate(names):
        data = service.finished(f"at-once-{place}", seconds=90)
        assert data["status"] == "completed", data["errors"]
        assert data["progress"]["failedItems"] == 0
        counts = {n: each["processedItems"] for n, each in data["progress"]["objects"].items()}
        assert counts == {n: len(mine.ids(n)) for n in (name, names[place - 1], "notes")}


def test_removing_a_scan_removes_its_rows_of_every_type_and_no_others(
    service: Installation, mine: Portal, theirs: Portal
) -> None:
    gone = service.ask("DELETE", "/api/v1/scan/remove/all?confirm=true").json()["data"]

    removed = gone["deletedRecords"]
    assert removed["objects"] == {name: len(mine.ids(name)) for name in NAMES}
    assert removed["deals"] == len(mine.ids("deals"))
    assert removed["associations"] == sum(
        len(mine.true_links(name, kind)) for name, kinds in LINKS.items() for kind in kinds
    )
    for name in NAMES:
        left = service.ledger.run(
            f'select _tenant_id, count(*) from scans."{table_of(name)}"'
            " where _scan_id = 'all' group by 1"
        )
        assert left == [(OTHER, len(theirs.ids(name)))]
    left = service.ledger.run(
        "select count(*) from scans.associations where _scan_id = 'all' and _tenant_id = %s", TENANT
    )
    assert left == [(0,)]
