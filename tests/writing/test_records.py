"""Records reach HubSpot once each, and every row is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hubspot_client.errors import (
    AuthenticationError,
    DailyLimitError,
    MissingScopeError,
    TransientError,
)
from hubspot_client.writing.outcomes import Sums
from hubspot_client.writing.plan import PlanError

from .conftest import conversation, make_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_client.client import Client
    from hubspot_client.writing.records import RecordWriter
    from hubspot_simulator import Portal, Simulator

    MakeWriter = Callable[..., RecordWriter]

WRITING = ("batch_create", "batch_update", "batch_upsert", "create", "update", "link")


def writing_calls(hubspot: Simulator) -> int:
    return sum(hubspot.requests.count(endpoint=each) for each in WRITING)


def by_email(portal: Portal) -> dict[str | None, Any]:
    records = portal.truth("contacts").live.values()
    assert len({each.properties["email"] for each in records}) == len(records)
    return {each.properties["email"]: each.properties for each in records}


def rows(count: int, **properties: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(f"row{each}@example.com", properties) for each in range(count)]


@pytest.mark.parametrize("compare", [True, False])
def test_rows_become_records_and_say_so(
    portal: Portal, writer_of: MakeWriter, *, compare: bool
) -> None:
    portal.create("contacts", {"email": "row0@example.com", "city": "Bonn"})

    outcomes = writer_of(compare=compare).write(rows(250, city="Ulm"))

    assert [each.kind for each in outcomes] == ["updated"] + ["created"] * 249
    found = by_email(portal)
    assert all(found[email]["city"] == "Ulm" for email, _ in rows(250))
    assert [found[f"row{n}@example.com"]["hs_object_id"] for n in range(250)] == [
        each.id for each in outcomes
    ]


def test_what_is_there_is_not_written_again(portal: Portal, writer_of: MakeWriter) -> None:
    values = {"custom_2": 1.50, "custom_5": True, "custom_6": "2026-02-01", "custom_4": ["B", "A"]}
    writer = writer_of()
    writer.write(rows(3, **values))
    before = len(portal.writes)

    again = {**values, "custom_2": "1.5", "custom_4": "A;B", "custom_6": "2026-02-01T00:00:00Z"}
    outcomes = writer.write(rows(3, **again))

    assert {each.kind for each in outcomes} == {"unchanged"}
    assert len(portal.writes) == before


def test_a_dry_run_tells_and_writes_nothing(
    hubspot: Simulator, portal: Portal, writer_of: MakeWriter
) -> None:
    portal.create("contacts", {"email": "row0@example.com", "city": "Ulm"})
    portal.create("contacts", {"email": "row1@example.com", "city": "Bonn"})

    outcomes = writer_of(dry_run=True).write(rows(3, city="Ulm"))

    assert [each.kind for each in outcomes] == ["unchanged", "updated", "created"]
    assert writing_calls(hubspot) == 0


def test_rows_of_one_key_are_one_record_and_later_values_win(
    portal: Portal, writer_of: MakeWriter
) -> None:
    outcomes = writer_of().write(
        [
            ("Ada@Example.com", {"city": "Ulm", "zip": "01067", "custom_4": ";A"}),
            (" ada@example.com\u00a0", {"city": "Bonn", "custom_4": ";B"}),
        ]
    )

    assert [each.kind for each in outcomes] == ["created", "created"]
    values = by_email(portal)["ada@example.com"]
    assert (values["city"], values["zip"], values["custom_4"]) == ("Bonn", "01067", "A;B")
    assert len(portal.writes) == 1


def test_two_addresses_of_one_contact_are_written_one_after_the_other(
    portal: Portal, writer_of: MakeWriter
) -> None:
    contact = portal.create(
        "contacts", {"email": "first@example.com", "hs_additional_emails": "second@example.com"}
    )
    pair = [("first@example.com", {"city": "Ulm"}), ("second@example.com", {"zip": "1"})]

    compared = writer_of().write(pair)
    blind = writer_of(compare=False, run="blind").write(
        [(key, {"city": key[:3]}) for key, _ in pair]
    )

    assert {each.id for each in (*compared, *blind)} == {contact}
    values = portal.truth("contacts").live[contact].properties
    assert (values["email"], values["city"], values["zip"]) == ("first@example.com", "sec", "1")


def test_bad_rows_are_rejected_with_their_property_and_the_rest_is_written(
    writer_of: MakeWriter,
) -> None:
    outcomes = writer_of().write(
        [
            ("", {"city": "Ulm"}),
            ("a@example.con", {"city": "Ulm"}),
            ("b@example.com", {"custom_6": "31.12.2026"}),
            ("c@example.com", {"custom_3": "pink"}),
            ("d@example.com", {"hubspot_owner_id": "5"}),
            ("e@example.com", {"city": "Ulm"}),
        ]
    )

    assert [(each.code, each.property) for each in outcomes[:5]] == [
        ("MISSING_KEY", "email"),
        ("INVALID_EMAIL", "email"),
        ("INVALID_DATE", "custom_6"),
        ("INVALID_OPTION", "custom_3"),
        ("INVALID_OWNER_ID", "hubspot_owner_id"),
    ]
    assert outcomes[5].kind == "created"
    sums = Sums()
    sums.add(outcomes)
    assert str(sums) == "1 created, 0 updated, 0 unchanged, 5 rejected, 0 unknown"


def test_a_bad_row_does_not_take_its_namesake_with_it(
    portal: Portal, writer_of: MakeWriter
) -> None:
    pair = [
        ("a@example.com", {"city": "Ulm"}),
        ("a@example.com", {"hubspot_owner_id": "5"}),
    ]

    outcomes = writer_of().write(pair)

    assert [each.kind for each in outcomes] == ["created", "rejected"]
    assert by_email(portal)["a@example.com"]["city"] == "Ulm"


def test_a_call_refused_as_a_whole_is_halved_until_the_culprit_stands_alone(
    hubspot: Simulator, portal: Portal, writer_of: MakeWriter
) -> None:
    bad = b'"row37@example.com"'
    hubspot.fail("status", status=400, endpoint="batch_upsert", when=lambda each: bad in each.body)

    outcomes = writer_of(compare=False).write(rows(100, city="Ulm"))

    assert [place for place, each in enumerate(outcomes) if each.kind != "created"] == [37]
    assert hubspot.requests.count(endpoint="batch_upsert") <= 16
    assert len(portal.writes) == 99


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("version", ["v3", "2026-09"])
def test_answers_are_matched_with_and_without_trace_ids(
    hubspot: Simulator, portal: Portal, version: str, *, echo: bool
) -> None:
    portal.behaviour.echo_trace_ids = echo
    with conversation(hubspot, api_version=version) as client:
        writer = make_writer(client, "deals", "booking", compare=False)
        values = {"dealname": "x", "dealstage": "closedwon"}
        outcomes = writer.write([*((f"B{n}", values) for n in range(150)), ("B150", {})])
        writer.close()

    assert [each.kind for each in outcomes] == ["created"] * 150 + ["rejected"]
    deals = portal.truth().live
    assert [deals[each.id or ""].properties["booking"] for each in outcomes[:150]] == [
        f"B{n}" for n in range(150)
    ]


@pytest.mark.parametrize("kind", ["reset", "html", "status"])
def test_a_write_that_was_never_answered_is_not_made_twice(
    hubspot: Simulator, portal: Portal, writer_of: MakeWriter, kind: Any
) -> None:
    writer = writer_of(compare=False)
    hubspot.fail(kind, status=502, endpoint="batch_upsert", carried_out=True, times=1)

    outcomes = writer.write(rows(5, city="Ulm"))

    assert {each.kind for each in outcomes} == {"updated"}
    assert [each.action for each in portal.writes].count("created") == 5
    assert by_email(portal)["row4@example.com"]["city"] == "Ulm"


def test_a_create_without_a_key_is_sent_once_and_unclear_when_unanswered(
    hubspot: Simulator, portal: Portal, writer_of: MakeWriter
) -> None:
    writer = writer_of("deals", None, plan={"mode": "create"})
    deal = (None, {"dealname": "x", "dealstage": "closedwon"})
    hubspot.fail("reset", endpoint="batch_create", carried_out=True, times=1)

    first, second = writer.write([deal]), writer.write([deal])

    assert (first[0].kind, first[0].code) == ("unknown", "no_answer")
    assert second[0].kind == "created"
    assert [each.action for each in portal.writes] == ["created", "created"]


def test_a_silent_answer_is_no_success(hubspot: Simulator, writer_of: MakeWriter) -> None:
    writer = writer_of(compare=False)
    hubspot.fail("silent", endpoint="batch_upsert", times=1)
    once = writer.write(rows(2, city="Ulm"))
    hubspot.fail("silent", endpoint="batch_upsert")
    always = writer.write(rows(4, city="Bonn"))

    assert {each.kind for each in once} == {"created"}
    assert {(each.kind, each.code) for each in always} == {("unknown", "no_answer")}


def test_an_account_that_takes_no_address_as_a_key_is_written_by_id(
    portal: Portal, writer_of: MakeWriter
) -> None:
    portal.behaviour.unique_emails = False
    old = portal.create("contacts", {"email": "row0@example.com"})

    outcomes = writer_of(compare=False).write(rows(3, city="Ulm"))

    assert [each.kind for each in outcomes] == ["updated", "created", "created"]
    assert outcomes[0].id == old
    assert by_email(portal)["row2@example.com"]["city"] == "Ulm"


def test_update_leaves_out_what_is_not_there_and_create_what_is(
    portal: Portal, writer_of: MakeWriter
) -> None:
    portal.create("contacts", {"email": "row0@example.com", "city": "Bonn"})

    updated = writer_of(plan={"mode": "update"}).write(rows(2, city="Ulm"))
    created = writer_of(plan={"mode": "create"}, run="c").write(rows(2, city="Kiel"))

    assert [(each.kind, each.code) for each in updated] == [
        ("updated", ""),
        ("rejected", "not_found"),
    ]
    assert [(each.kind, each.code) for each in created] == [
        ("unchanged", "exists"),
        ("created", ""),
    ]
    assert by_email(portal)["row0@example.com"]["city"] == "Ulm"


def test_records_are_updated_by_their_id(portal: Portal, writer_of: MakeWriter) -> None:
    first, second = portal.ids()[:2]
    rows = [(int(first), {"dealname": "a"}), (second, {"dealname": "b"}), ("1", {}), ("x", {})]

    outcomes = writer_of("deals", "hs_object_id", plan={"mode": "update"}).write(rows)

    assert [each.code for each in outcomes] == ["", "", "not_found", "INVALID_KEY"]
    live = portal.truth().live
    assert [live[each].properties["dealname"] for each in (first, second)] == ["a", "b"]


@pytest.mark.parametrize(("resets", "stage"), [(False, "customer"), (True, "lead")])
def test_a_lifecycle_stage_goes_back_only_where_that_was_asked_for(
    portal: Portal, writer_of: MakeWriter, stage: str, *, resets: bool
) -> None:
    portal.create("contacts", {"email": "a@example.com", "lifecyclestage": "customer"})
    writer = writer_of(plan={"resets_lifecycle": resets})

    (outcome,) = writer.write([("a@example.com", {"lifecyclestage": "lead"})])

    assert outcome.kind == ("updated" if resets else "unchanged")
    assert by_email(portal)["a@example.com"]["lifecyclestage"] == stage


@pytest.mark.parametrize(("clears", "city"), [(False, "Ulm"), (True, "")])
def test_an_empty_value_clears_only_where_that_was_asked_for(
    portal: Portal, writer_of: MakeWriter, city: str, *, clears: bool
) -> None:
    portal.create("contacts", {"email": "a@example.com", "city": "Ulm"})

    writer_of(plan={"clears": clears}).write([("a@example.com", {"city": None})])

    assert by_email(portal)["a@example.com"]["city"] == city


def test_all_that_does_not_fit_is_named_before_the_first_write(
    hubspot: Simulator, client: Client
) -> None:
    with pytest.raises(PlanError, match=r"`nothing`.*`createdate_x`") as unfit:
        make_writer(client, "companies", "domain", names=("nothing", "createdate_x"))

    assert "`domain` of companies cannot be a key" in str(unfit.value)
    assert writing_calls(hubspot) == 0


def test_a_property_that_hubspot_keeps_is_named(client: Client) -> None:
    with pytest.raises(PlanError, match="`hs_object_id` of deals is kept by HubSpot"):
        make_writer(client, "deals", "booking", names=("hs_object_id",))


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("expired", AuthenticationError, "while writing contacts"),
        (
            "missing_scope",
            MissingScopeError,
            r"may not write contacts \(upsert\).*in HubSpot\. \(corr",
        ),
        ("daily", DailyLimitError, "writing contacts"),
    ],
)
def test_what_concerns_the_token_ends_the_run(
    hubspot: Simulator, writer_of: MakeWriter, kind: Any, error: type[Exception], said: str
) -> None:
    writer = writer_of()
    hubspot.fail(kind, endpoint="batch_upsert")

    with pytest.raises(error, match=said):
        writer.write(rows(250, city="Ulm"))


def test_a_look_up_that_says_nothing_is_not_believed(
    hubspot: Simulator, portal: Portal, writer_of: MakeWriter
) -> None:
    writer = writer_of(plan={"mode": "update"})
    portal.create("contacts", {"email": "row0@example.com"})
    hubspot.fail("silent", endpoint="batch_read", times=1)
    once = writer.write(rows(1, city="Ulm"))
    hubspot.fail("silent", endpoint="batch_read")

    assert once[0].kind == "updated"
    with pytest.raises(TransientError, match="does not say"):
        writer.write(rows(1, city="Bonn"))


def test_long_texts_make_small_batches(hubspot: Simulator, writer_of: MakeWriter) -> None:
    writer_of(compare=False).write(rows(40, custom_1="x" * 60_000))

    sizes = [each.body_bytes for each in hubspot.requests.all(endpoint="batch_upsert")]
    assert max(sizes) < 1_100_000
    assert len(sizes) == 10
