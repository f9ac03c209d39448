"""Records of any tap become records of HubSpot, and each one is accounted for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigValidationError
from target_hubspot.target import TargetHubSpot

from .conftest import lines, record, schema, state

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Target

CONTACTS = schema("contacts", ["email"], email="string", city="string", custom_2="number")
SUMS = ("created", "updated", "unchanged", "archived", "rejected", "unknown")


def contact(email: str, **values: Any) -> dict[str, Any]:
    return record("contacts", email=email, **values)


def by_email(portal: Portal) -> dict[str | None, dict[str, str | None]]:
    found = portal.truth("contacts").live.values()
    assert len({each.properties["email"] for each in found}) == len(found)
    return {each.properties["email"]: each.properties for each in found}


def accounted(report: dict[str, Any]) -> bool:
    return all(
        sum(each.get(kind, 0) for kind in SUMS) == each["read"] and each["unsettled"] == 0
        for each in report["streams"].values()
    )


def test_records_are_made_changed_or_left_alone(target: Target, portal: Portal) -> None:
    portal.create("contacts", {"email": "old@example.com", "city": "Bonn"})
    messages = [
        CONTACTS,
        contact("old@example.com", city="Ulm"),
        contact("New@Example.com ", city="Kiel", custom_2=1.50),
        state({"bookmark": 1}),
    ]

    first, again = target(*messages), target(*messages)

    assert (first.status, first.states) == (0, [{"bookmark": 1}])
    assert first.report["streams"]["contacts"] == {
        "read": 2,
        "updated": 1,
        "created": 1,
        "unsettled": 0,
        "codes": {},
    }
    assert again.report["streams"]["contacts"]["unchanged"] == 2
    found = by_email(portal)
    assert found["old@example.com"]["city"] == "Ulm"
    assert found["new@example.com"]["custom_2"] == "1.5"
    assert len(portal.writes) == 2


def test_a_dry_run_makes_no_writing_call(target: Target, portal: Portal) -> None:
    portal.create("contacts", {"email": "old@example.com", "city": "Bonn"})
    links = [{"to": "companies", "id": portal.ids("companies")[0]}]

    run = target(
        CONTACTS,
        contact("old@example.com", city="Ulm", _associations=links),
        contact("new@example.com", city="Ulm", _associations=links),
        state(1),
        dry_run=True,
    )

    assert (run.status, run.states, target.writing_calls()) == (0, [], 0)
    assert run.report["streams"]["contacts"]["created"] == 1
    assert run.report["links"]["created"] == 2
    assert portal.writes == []


def test_rejected_records_are_on_disk_and_decide_the_end(target: Target) -> None:
    messages = [CONTACTS, *(contact(f"r{n}@example.com", city="x") for n in range(3))]
    messages += [contact("bad@example.con", city="Ulm"), contact("", city="Ulm"), state(7)]

    strict, lax = target(*messages), target(*messages, max_rejected_records=2)

    assert (strict.status, strict.code, strict.states) == (1, "records_rejected", [7])
    assert (lax.status, lax.states) == (0, [7])
    assert accounted(strict.report)
    first, second, *_ = target.rejects()
    assert {first["code"], second["code"]} == {"INVALID_EMAIL", "MISSING_KEY"}
    assert {first["line"], second["line"]} == {5, 6}
    assert first["record"]["city"] == "Ulm"
    assert stat.S_IMODE(os.stat(target.rejected).st_mode) == 0o600  # noqa: PTH116
    assert "bad@" not in strict.log
    assert "Ulm" not in strict.log


def test_the_state_does_not_pass_what_is_on_no_disk(target: Target) -> None:
    run = target(
        CONTACTS, contact("bad@example.con"), state(1), rejected_path=None, max_rejected_records=-1
    )

    assert (run.status, run.states) == (0, [])


def test_all_that_does_not_fit_is_named_before_the_first_write(
    target: Target, portal: Portal
) -> None:
    shape = schema("contacts", ["email"], email="string", nothing="string", hs_object_id="string")

    refused = target(shape, contact("a@example.com", nothing="1"), state(1))
    dropped = target(
        shape, contact("a@example.com", nothing="1"), state(1), unknown_properties="drop"
    )

    assert (refused.code, refused.states) == ("settings_invalid", [])
    assert "`nothing`" in refused.log
    assert "`hs_object_id`" in refused.log
    assert (dropped.status, len(portal.writes)) == (0, 1)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (schema("contacts", [], email="string"), "no key"),
        (schema("companies", ["domain"], domain="string"), "not unique"),
        (schema("deals", ["a", "b"], a="string", b="string"), "several key properties"),
    ],
)
def test_a_stream_without_a_usable_key_is_refused_with_the_remedy(
    target: Target, message: dict[str, Any], said: str
) -> None:
    run = target(message)

    assert run.code == "settings_invalid"
    assert said in run.log


def test_streams_are_mapped_to_objects_keys_and_properties(target: Target, portal: Portal) -> None:
    shape = schema("kunden", ["nr"], nr="integer", ort="string", wann="string", egal="string")
    streams = {
        "kunden": {
            "object": "deals",
            "key": "booking",
            "columns": {"nr": "booking", "ort": "dealname", "wann": "closedate"},
        }
    }
    rows = [record("kunden", nr=n, ort="x", wann="2026-02-01", egal="!") for n in range(3)]

    run = target(shape, *rows, streams=streams, max_rejected_records=-1)

    # A new deal needs a stage, which the mapping does not give.
    assert run.report["streams"]["kunden"]["codes"] == {"MISSING_REQUIRED_PROPERTY": 3}
    shape = schema("kunden", ["nr"], nr="integer", ort="string", wann="string", stufe="string")
    streams["kunden"]["columns"] = {**streams["kunden"]["columns"], "stufe": "dealstage"}  # type: ignore[dict-item]
    rows = [record("kunden", nr=n, ort="x", wann="2026-02-01", stufe="closedwon") for n in range(3)]
    assert target(shape, *rows, streams=streams).status == 0
    found = [each.properties for each in portal.truth().live.values() if each.properties["booking"]]
    assert {each["booking"] for each in found} == {"0", "1", "2"}
    assert {each["closedate"] for each in found} == {"2026-02-01T00:00:00Z"}


def test_ids_as_keys_update_what_is_there(target: Target, portal: Portal) -> None:
    deal = portal.ids()[0]
    shape = schema("deals", ["id"], id="string", dealname="string")

    run = target(
        shape,
        record("deals", id=deal, dealname="new"),
        record("deals", id="1", dealname="x"),
        max_rejected_records=1,
    )

    assert run.report["streams"]["deals"]["codes"] == {"not_found": 1}
    assert portal.truth().live[deal].properties["dealname"] == "new"


def test_records_of_one_key_in_and_across_batches_become_one(
    target: Target, portal: Portal
) -> None:
    rows = [contact(f"{'AB'[n % 2]}@example.com", city=str(n)) for n in range(3000)]

    run = target(CONTACTS, *rows, state(1))

    found = by_email(portal)
    assert (found["a@example.com"]["city"], found["b@example.com"]["city"]) == ("2998", "2999")
    assert accounted(run.report)
    assert [each.action for each in portal.writes].count("created") == 2


@pytest.mark.parametrize("handling", ["keep", "clear"])
def test_nulls_keep_or_clear(target: Target, portal: Portal, handling: str) -> None:
    portal.create("contacts", {"email": "a@example.com", "city": "Ulm"})

    target(CONTACTS, contact("a@example.com", city=None), null_handling=handling)

    assert by_email(portal)["a@example.com"]["city"] == ("Ulm" if handling == "keep" else "")


@pytest.mark.parametrize("deletes", ["ignore", "archive"])
def test_deletes_archive_only_where_asked_for(target: Target, portal: Portal, deletes: str) -> None:
    old = portal.create("contacts", {"email": "a@example.com"})
    gone = contact("a@example.com", _sdc_deleted_at="2026-01-01T00:00:00Z")
    version = {"type": "ACTIVATE_VERSION", "stream": "contacts", "version": 1}

    run = target(CONTACTS, gone, contact("b@example.com"), version, deletes=deletes)

    assert (old in portal.truth("contacts").archived) == (deletes == "archive")
    assert accounted(run.report)
    assert len(portal.truth("contacts").live) > 1


def test_creates_without_a_key_are_never_sent_twice(
    target: Target, hubspot: Simulator, portal: Portal
) -> None:
    hubspot.fail("reset", endpoint="batch_create", carried_out=True, times=1)
    shape = schema("deals", [], dealname="string", dealstage="string")
    deal = record("deals", dealname="only", dealstage="closedwon")

    run = target(shape, deal, state(1), sync_mode="create")

    assert (run.code, run.states) == ("outcome_unknown", [])
    assert [each.action for each in portal.writes] == ["created"]
    assert run.report["streams"]["deals"]["unknown"] == 1


def test_hubspots_own_trouble_moves_no_state(target: Target, hubspot: Simulator) -> None:
    hubspot.fail("expired", endpoint="batch_upsert")

    run = target(CONTACTS, contact("a@example.com"), state(1))

    assert (run.code, run.states) == ("hubspot_unauthorized", [])
    assert run.report["streams"]["contacts"]["unsettled"] == 1


def test_silence_moves_no_state(target: Target, hubspot: Simulator) -> None:
    hubspot.fail("silent", endpoint="batch_upsert")

    run = target(CONTACTS, contact("a@example.com"), state(1), compare=False)

    assert (run.code, run.states) == ("hubspot_inconsistent", [])
    assert run.errors[0]["extra"]["retryable"] is True


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([record("contacts", email="a")], "schema_missing"),
        ([{"type": "RECORD", "stream": "contacts"}], "input_invalid"),
        ([{"stream": "contacts"}], "input_invalid"),
        ([{**CONTACTS, "schema": []}], "input_invalid"),
        ([{**CONTACTS, "schema": {"properties": ["email"]}}], "input_invalid"),
        ([{**CONTACTS, "key_properties": "email"}], "input_invalid"),
        ([{**CONTACTS, "stream": None}], "input_invalid"),
    ],
)
def test_what_is_no_message_is_named_by_its_line(
    target: Target, messages: list[dict[str, Any]], code: str
) -> None:
    run = target(*messages)

    assert run.code == code
    assert "Line 1" in run.log


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"access_token": None}, "`access_token`"),
        ({"client_id": "x"}, "not both"),
        ({"streams": {"x": {"colour": "red"}}}, "streams.x.colour"),
        ({"streams": {"x": {"sync_mode": "delete"}}}, "streams.x.sync_mode"),
        ({"streams": {"x": {"columns": ["a"]}}}, "streams.x.columns"),
        ({"api_version": "2020"}, "api_version"),
        ({"base_url": "hubspot"}, "base_url"),
        ({"batch_size": 101}, "101"),
    ],
)
def test_settings_are_refused_by_name(settings: dict[str, Any], said: str) -> None:
    config = {"access_token": "x", **settings}

    with pytest.raises(ConfigValidationError) as refused:
        TargetHubSpot(config={k: v for k, v in config.items() if v is not None})

    assert any(said in each for each in refused.value.errors)


@pytest.mark.parametrize("name", ["access_token", "client_secret", "refresh_token"])
def test_a_secret_that_is_no_text_is_named_and_not_shown(name: str) -> None:
    with pytest.raises(ConfigValidationError) as refused:
        TargetHubSpot(config={name: 4711})

    assert refused.value.errors == [f"{name} must be a text."]


def test_a_state_goes_out_to_the_last_digit_as_it_came(target: Target) -> None:
    value = b'{"a": 1700000000.250, "b": 123456789012345678901}'
    with target.start() as process:
        sent = lines([CONTACTS]) + b'{"type": "STATE", "value": ' + value + b"}\n"
        out, _ = process.communicate(sent, timeout=120)

    assert out == value + b"\n"


def test_what_no_request_can_hold_is_rejected_alone(target: Target, portal: Portal) -> None:
    run = target(
        CONTACTS,
        contact("a@example.com", city="half \ud83d"),
        contact("half\udc00@example.com", city="Ulm"),
        contact("b@example.com", city="Ulm", _associations=[{"to": "deals", "id": "\ud83d"}]),
        state(1),
        max_rejected_records=3,
    )

    assert (run.status, run.states) == (0, [1])
    assert [(each["line"], each["code"]) for each in target.rejects()] == [
        (2, "INVALID_TEXT"),
        (3, "INVALID_TEXT"),
        (4, "INVALID_LINK"),
    ]
    assert target.rejects()[0]["record"]["city"] == "half \ud83d"
    assert by_email(portal)["b@example.com"]["city"] == "Ulm"


def test_a_schema_before_every_record_asks_hubspot_nothing_new(
    target: Target, hubspot: Simulator
) -> None:
    run = target(*(each for n in range(50) for each in (CONTACTS, contact(f"{n}@example.com"))))

    assert run.report["streams"]["contacts"]["created"] == 50
    assert hubspot.requests.count(endpoint="properties") == 1
    assert hubspot.requests.count(endpoint="batch_upsert") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_full_disk_is_no_fault_of_the_target(target: Target) -> None:
    run = target(CONTACTS, contact("", city="Ulm"), state(1), rejected_path="/dev/full")

    assert (run.code, run.states) == ("file_unwritable", [])


def test_a_file_that_cannot_be_written_ends_the_run_before_it_begins(target: Target) -> None:
    run = target(CONTACTS, rejected_path="/nowhere/file")

    assert run.code == "file_unwritable"
