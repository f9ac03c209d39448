"""Five9: contacts with the account's own fields, lists, faults in envelopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import (
    InconsistentError,
    RateLimitedError,
    RefusedError,
    SettingsError,
    UnauthorizedError,
)
from crm_taps.sources.five9 import TapFive9
from harness.vendors.five9 import FIELDS, Five9
from harness.vendors.running import load, read, rows
from singer_sdk.testing import get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")
FAKE = Five9().start()


def config(five9: Five9, **settings: Any) -> dict[str, Any]:
    return {
        "base_url": f"{five9.url}/wsadmin/v13/AdminWebService",
        "username": five9.user,
        "password": five9.password,
        "requests_per_minute": 5000,
        **settings,
    }


TestSuite = get_tap_test_class(TapFive9, config={"tenant_id": "acme", **config(FAKE)})


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def five9() -> Iterator[Five9]:
    with Five9(contacts=700) as vendor:
        yield vendor


def test_all_contacts_and_lists_arrive_once(five9: Five9) -> None:
    output = read(TapFive9, config(five9))

    assert [r["contact_id"] for r in output.records("contacts")] == [2**40 + n for n in range(700)]
    assert [(r["name"], r["size"]) for r in output.records("lists")] == five9.lists


def test_a_contact_has_the_types_that_the_account_defines(five9: Five9) -> None:
    settings = config(five9, time_zone="America/Los_Angeles")
    contact = read(TapFive9, settings).records("contacts")[1]

    assert contact["first_name"] == "Zoë <3"
    assert contact["last_agent_disposition_date_time"] == "2026-01-31T20:00:00.000000+00:00"
    assert str(contact["total_job_amount"]) == "1234.50"
    assert contact["do_not_dial"] is True
    assert contact["pc_work_finished"] == "2026-02-28"
    assert contact["number1"] == "5550000001"


def test_fields_of_odd_names_have_a_column_each(
    five9: Five9, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ("###", "other fields", "firstName", "Größe")
    names = [*FIELDS, *odd]
    monkeypatch.setattr("harness.vendors.five9.FIELDS", dict.fromkeys(names, "STRING"))
    five9.contacts = [[*five9.contact(1), *odd]]
    (contact,) = read(TapFive9, config(five9)).records("contacts")

    assert [contact[column] for column in ("###", "firstName", "größe")] == [odd[0], odd[2], odd[3]]
    assert contact["other_fields"] == {"other fields": "other fields"}


def test_criteria_and_another_key_can_be_set(five9: Five9) -> None:
    criteria = [{"field": "number1", "value": "5550000007"}]
    settings = config(five9, contact_criteria=criteria, contact_key=["number1"])
    output = read(TapFive9, settings)

    assert [r["contact_id"] for r in output.records("contacts")] == [2**40 + 7]
    assert output.of("SCHEMA", "contacts")[0]["key_properties"] == ["_tenant_id", "number1"]


def test_the_password_goes_to_base_url_alone(five9: Five9) -> None:
    read(TapFive9, config(five9))

    assert {r.path for r in five9.requests} == {"/wsadmin/v13/AdminWebService"}


def test_a_description_that_leads_elsewhere_is_not_followed(five9: Five9) -> None:
    with Five9() as other:
        five9.imports = f"{other.url}/types.xsd"
        with pytest.raises(RefusedError, match="another host"):
            read(TapFive9, config(five9))

    assert other.requests == []


def test_what_five9_refuses_is_told(five9: Five9) -> None:
    with pytest.raises(UnauthorizedError):
        read(TapFive9, config(five9, password="x"))
    with pytest.raises(RefusedError, match="Field ghost not found"):
        read(TapFive9, config(five9, contact_criteria=[{"field": "ghost", "value": "1"}]))
    with pytest.raises(SettingsError, match=r"contact_key.*DoNotDial"):
        read(TapFive9, config(five9, contact_key=["ghost"]))
    five9.contacts[3].pop()
    with pytest.raises(InconsistentError, match="6 values for 7 fields"):
        read(TapFive9, config(five9))
    five9.fail("html", nth=2)
    with pytest.raises(InconsistentError, match="not what it describes"):
        read(TapFive9, config(five9))


def test_contacts_reach_postgresql_and_limits_are_survived(
    five9: Five9, tmp_path: Path, database_url: str
) -> None:
    five9.fail(429, times=2)
    five9.fail(503, nth=3)
    five9.fail("reset", nth=5)
    loaded = load(tmp_path, "tap-five9", config(five9), database_url)

    assert loaded.codes == (0, 0)
    counts = "select count(*), count(distinct contact_id), max(total_job_amount) from crm.contacts"
    assert [(a, b) for a, b, _ in rows(database_url, counts)] == [(700, 700)]
    assert five9.password not in loaded.log
    five9.fail(429, times=99)
    with pytest.raises(RateLimitedError):
        read(TapFive9, config(five9, max_tries=2))
