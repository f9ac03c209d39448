"""MarketSharp: signatures, streams from the service's metadata, pages that do not shift."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import InconsistentError, RefusedError, SettingsError, UnauthorizedError
from crm_taps.sources import marketsharp
from crm_taps.sources.marketsharp import TapMarketSharp
from crm_taps.values import snake_case
from harness.vendors.marketsharp import MarketSharp
from harness.vendors.running import load, read, rows
from singer_sdk.testing import get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.meltano import Project

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")
FAKE = MarketSharp().start()


def config(vendor: MarketSharp, **settings: Any) -> dict[str, Any]:
    return {
        "base_url": vendor.url,
        "company_id": vendor.company,
        "api_key": vendor.key,
        "secret_key": vendor.secret,
        **settings,
    }


TestSuite = get_tap_test_class(TapMarketSharp, config={"tenant_id": "acme", **config(FAKE)})


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def sharp(monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketSharp]:
    """Leads in pages of 100, though the service sends 70, of which 250 changed at one time."""
    monkeypatch.setattr(marketsharp, "PAGE_SIZE", 100)
    with MarketSharp(leads=730, ties=250, sources=130) as vendor:
        vendor.cap = 70
        yield vendor


def lead_ids(vendor: MarketSharp) -> list[int]:
    return sorted(row["id"] for row in vendor.tables["Leads"])


def test_all_rows_of_all_entities_arrive_once(sharp: MarketSharp) -> None:
    output = read(TapMarketSharp, config(sharp))

    assert sorted(r["id"] for r in output.records("leads")) == lead_ids(sharp)
    assert sorted(r["id"] for r in output.records("lead_sources")) == list(range(130))


def test_types_are_those_of_the_metadata(sharp: MarketSharp) -> None:
    output = read(TapMarketSharp, config(sharp, time_zone="America/Chicago"))
    lead = output.records("leads")[0]

    assert str(lead["sold_amount"]) == "12345.6700"
    assert lead["is_active"] is True
    assert {r["notes"] for r in output.records("leads")} == {None, "<Ünïcode> & “quotes”"}
    assert lead["last_update"] == "2025-10-01T17:00:00.123000+00:00"
    assert lead["other_fields"] is None


def test_a_later_run_reads_what_changed_since(sharp: MarketSharp) -> None:
    settings = config(sharp, time_zone="America/Chicago")
    first = read(TapMarketSharp, settings)
    sharp.tables["Leads"][3]["lastUpdate"] = "2025-10-02T08:00:00.5"
    second = read(TapMarketSharp, settings, state=first.state)

    assert [r["id"] for r in second.records("leads")] == [lead_ids(sharp)[-1], lead_ids(sharp)[3]]
    assert len(second.records("lead_sources")) == 130


def test_what_changed_when_an_hour_came_again_is_read_by_the_next_run(sharp: MarketSharp) -> None:
    settings = config(sharp, time_zone="America/Chicago")
    leads = [sharp.lead(n, 0) for n in range(4)]
    times = ("00:30:00", "01:10:00", "01:50:00")
    for lead, at in zip(leads, times, strict=False):
        lead["lastUpdate"] = f"2026-11-01T{at}.5"
    sharp.tables["Leads"] = leads[:3]
    first = read(TapMarketSharp, settings)
    leads[3]["lastUpdate"] = "2026-11-01T01:05:00.5"  # an hour after 01:05 by the sun
    sharp.tables["Leads"] = leads
    second = read(TapMarketSharp, settings, state=first.state)

    assert leads[3]["id"] in {r["id"] for r in second.records("leads")}
    assert second.state["bookmarks"]["leads"] == first.state["bookmarks"]["leads"]


def test_a_time_in_an_hour_that_never_came_is_kept_and_stops_no_run(sharp: MarketSharp) -> None:
    for number, at in enumerate(("01:59:00", "02:30:00", "03:00:00")):
        sharp.tables["Leads"][number]["lastUpdate"] = f"2027-03-14T{at}"
    output = read(TapMarketSharp, config(sharp, time_zone="America/Chicago"))
    odd = [r for r in output.records("leads") if r["last_update"] is None]

    assert sorted(r["id"] for r in output.records("leads")) == lead_ids(sharp)
    assert [r["other_fields"] for r in odd] == [{"lastUpdate": "2027-03-14T02:30:00"}]


def test_a_key_may_be_that_of_a_type_below_and_without_one_nothing_is_read(
    sharp: MarketSharp,
) -> None:
    base = (
        '<EntityType Name="Thing"><Key><PropertyRef Name="id"/></Key>'
        '<Property Name="id" Type="Edm.Int32"/></EntityType>'
        '<EntityType Name="LeadSource" BaseType="MS.Thing">'
        '<Property Name="name" Type="Edm.String"/></EntityType>'
    )
    keyless = '<EntityType Name="LeadSource"><Property Name="id" Type="Edm.Int32"/></EntityType>'
    for types in (base, keyless):
        body = (
            '<edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">'
            f'<Schema xmlns="http://schemas.microsoft.com/ado/2008/09/edm">{types}<EntityContainer '
            'Name="C"><EntitySet Name="LeadSources" EntityType="MS.LeadSource"/></EntityContainer>'
            "</Schema></edmx:Edmx>"
        )
        sharp.fail(200, path="metadata", body=body.encode())
        if types == base:
            output = read(TapMarketSharp, config(sharp))
            assert len(output.records("lead_sources")) == 130
            assert output.of("SCHEMA")[0]["key_properties"] == ["_tenant_id", "id"]
        else:
            with pytest.raises(RefusedError, match="no usable key of lead_sources"):
                read(TapMarketSharp, config(sharp))


def test_rows_that_change_while_they_are_read_hide_no_others(sharp: MarketSharp) -> None:
    changed = iter(sharp.tables["Leads"][10:])

    def change(request: Any) -> None:
        if request.path == "/Leads":
            later = sharp.begin + timedelta(days=9, minutes=len(sharp.requests))
            next(changed)["lastUpdate"] = later.isoformat() + ".5"

    sharp.tables["Leads"] = [sharp.lead(n, n // 3) for n in range(730)]
    sharp.hooks.append(change)
    output = read(TapMarketSharp, config(sharp))

    assert {r["id"] for r in output.records("leads")} == set(lead_ids(sharp))


def test_a_run_stopped_in_the_middle_goes_on_where_it_was(sharp: MarketSharp) -> None:
    sharp.fail(401, path="Leads", nth=9)
    settings = config(sharp, entities=["Leads"])
    with pytest.raises(UnauthorizedError) as raised:
        read(TapMarketSharp, settings)
    before = raised.value.output  # type: ignore[attr-defined]
    after = read(TapMarketSharp, settings, state=before.state)
    first, second = ({r["id"] for r in each.records("leads")} for each in (before, after))

    assert first | second == set(lead_ids(sharp))
    assert len(second) < 400


def test_unknown_entities_bad_secrets_and_other_answers_end_the_run(sharp: MarketSharp) -> None:
    with pytest.raises(RefusedError, match=r"Ghosts.*LeadSources, Leads"):
        read(TapMarketSharp, config(sharp, entities=["Ghosts"]))
    with pytest.raises(SettingsError, match="secret_key"):
        read(TapMarketSharp, config(sharp, secret_key="not base64!"))
    with pytest.raises(UnauthorizedError):
        read(TapMarketSharp, config(sharp, secret_key="AAAA"))
    sharp.fail("html", path="Leads")
    with pytest.raises(InconsistentError, match="leads is no OData"):
        read(TapMarketSharp, config(sharp))


def test_a_try_after_a_long_wait_has_a_signature_of_its_own(
    sharp: MarketSharp, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_790_000_000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    sharp.clock = lambda: now[0]
    monkeypatch.setattr("crm_taps.sources.marketsharp.time.time", sharp.clock)
    monkeypatch.setattr("backoff._sync.time.sleep", sleep)
    sharp.fail(503, path="Leads", headers={"Retry-After": "900"})
    output = read(TapMarketSharp, config(sharp))

    assert sorted(r["id"] for r in output.records("leads")) == lead_ids(sharp)


def test_names_become_plain() -> None:
    names = ["lastUpdate", "LeadSources", "contactOid", "URLName", "Last Agent"]

    assert [snake_case(name) for name in names] == [
        "last_update",
        "lead_sources",
        "contact_oid",
        "url_name",
        "last_agent",
    ]


def test_rows_reach_postgresql_and_faults_are_survived(tmp_path: Path, database_url: str) -> None:
    with MarketSharp(leads=11000, ties=5001) as sharp:
        sharp.fail(503, path="Leads", nth=2, times=2)
        sharp.fail("truncate", path="Leads", nth=3)
        loaded = load(tmp_path, "tap-marketsharp", config(sharp), database_url)

    assert loaded.codes == (0, 0)
    assert rows(database_url, "select count(*), min(sold_amount) from crm.leads")[0][0] == 11000
    assert sharp.secret not in loaded.log
    assert sharp.key not in loaded.log


@pytest.mark.heavy
def test_the_tap_for_sql_server_installs_and_tells_a_refused_connection(
    installed: Callable[..., Project], database_url: str
) -> None:
    ours = installed(
        "tap-marketsharp-mssql",
        TAP_MARKETSHARP_MSSQL_TENANT_ID="acme",
        TAP_MARKETSHARP_MSSQL_HOST="127.0.0.1",
        TAP_MARKETSHARP_MSSQL_PORT="9",
        TAP_MARKETSHARP_MSSQL_DATABASE="ms",
        TAP_MARKETSHARP_MSSQL_USER="reader",
        TAP_MARKETSHARP_MSSQL_PASSWORD="hidden-word",
        TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
    )
    finished = ours.run("marketsharp-mssql-all")

    assert finished.code == 1
    assert "127.0.0.1" in finished.text
    assert "hidden-word" not in finished.text
