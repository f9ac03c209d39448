"""The account is checked before the first row, and made fit by `setup`, never during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness.booking import NAME, TOKEN, person, sheet
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from harness.mailbox import Mailbox
    from hubspot_simulator import Simulator

    from .conftest import Drop


@pytest.fixture
def bare() -> Portal:
    """An account as HubSpot makes it."""
    return Portal(token=TOKEN, portal_id=146_000_778)


@pytest.fixture
def portal(bare: Portal) -> Portal:
    return bare


def test_setup_makes_what_the_mapping_names_and_a_run_makes_nothing(
    drop: Drop, portal: Portal
) -> None:
    columns = drop.mapping["contacts"]["columns"]
    category = {**columns["kontaktkategorie"], "options": ["McArena schorndorf", "McArena ulm"]}
    drop.mapping["contacts"] = {"columns": {**columns, "kontaktkategorie": category}}
    drop.put(sheet(person(1)))

    before = drop()
    made = drop("setup")
    again = drop("setup")
    after = drop()

    assert [each.status for each in (before, made, again, after)] == [78, 0, 0, 0], after.log
    assert (
        "`buchungsnummer` of deals does not exist" in before.out + before.log or drop.names() == []
    )
    defined = {each.object_id for each in portal.writes if each.action == "defined"}
    assert defined == {"kontaktkategorie", "letzte_buchung", "wert", "buchungsnummer"}
    assert [each.action for each in portal.writes].count("defined") == 4
    (contact,) = portal.truth("contacts").live.values()
    assert contact.properties["kontaktkategorie"] == "McArena schorndorf"


def test_setup_adds_the_options_that_waiting_files_hold(drop: Drop, portal: Portal) -> None:
    columns = drop.mapping["contacts"]["columns"]
    category = {**columns["kontaktkategorie"], "options": ["McArena aalen"]}
    drop.mapping["contacts"] = {"columns": {**columns, "kontaktkategorie": category}}
    drop("setup")
    drop.put(sheet(person(1), person(2, Kontaktkategorie="McArena ulm"), "zu;kurz"))
    refused = drop("--options")
    lacking = drop()  # nobody asked for it: the rows are rejected
    (bad,) = (drop.inbox / "errorprocessed").glob("*.fehler.csv")

    added = drop("setup", "--options", "--file", str(bad))
    bad.rename(drop.inbox / "export-schorndorf_again.csv")
    after = drop()

    assert [each.status for each in (refused, lacking, added, after)] == [64, 1, 0, 1], added.log
    assert "Added options to contacts.kontaktkategorie (2)" in added.log
    options = portal.definitions("contacts")["kontaktkategorie"].options
    assert options == ("McArena aalen", "McArena schorndorf", "McArena ulm")
    assert len(portal.truth("contacts").live) == 2


def test_what_the_account_lacks_is_named_at_once_and_the_file_stays(
    drop: Drop, portal: Portal, box: Mailbox
) -> None:
    portal.add_property("contacts", "kontaktkategorie")
    portal.add_property("contacts", "wert", "number")
    portal.add_property("deals", "buchungsnummer")
    deals = {**drop.mapping["deals"], "dealstage": "won"}
    drop.mapping["deals"] = deals
    drop.put(sheet(person(1)))

    run = drop()

    assert (run.status, drop.names()) == (78, [NAME])
    told = box.mails[0].get_content()
    for part in (
        "`letzte_buchung` of contacts does not exist",
        "`kontaktkategorie` of contacts holds one text",
        "`buchungsnummer` of deals was made without unique values",
        "there is no stage `won`, only appointmentscheduled",
    ):
        assert part in told
    assert portal.writes == []


def test_an_owner_is_named_by_address_and_found_once(
    drop: Drop, hubspot: Simulator, portal: Portal
) -> None:
    drop("setup")
    drop.mapping["contacts"] = {**drop.mapping["contacts"], "owner": "1.owner@example.com"}
    drop.mapping["deals"] = {**drop.mapping["deals"], "owner": "nobody@example.com"}
    drop.put(sheet(person(1), person(2)))
    unknown = drop()
    drop.mapping["deals"] = {**drop.mapping["deals"], "owner": "2.owner@example.com"}

    run = drop()

    assert (unknown.status, run.status) == (78, 0), run.log
    assert "nobody@" not in unknown.log
    assert hubspot.requests.count(endpoint="owners") == 4
    for object_type, place in (("contacts", 1), ("deals", 2)):
        found = {
            each.properties["hubspot_owner_id"] for each in portal.truth(object_type).live.values()
        }
        assert found == {f"{90_000_000 + place * 17}"}


def test_a_check_asks_hubspot_and_the_mail_server(
    drop: Drop, hubspot: Simulator, box: Mailbox
) -> None:
    drop("setup")
    smtp = drop.mapping["mail"]["smtp"]

    good = drop("--check")
    drop.mapping["mail"]["smtp"] = {**smtp, "port": 1}
    unheard = drop("--check")
    drop.mapping["mail"]["smtp"] = smtp
    hubspot.fail(kind="missing_scope", endpoint="batch_read")
    forbidden = drop("--check")

    assert [each.status for each in (good, unheard, forbidden)] == [0, 78, 78], good.log
    assert "mail server 127.0.0.1:1" in unheard.log
    assert "needs" in forbidden.log
    assert box.mails == []


def test_properties_are_listed_by_label_for_who_writes_a_mapping(drop: Drop) -> None:
    listed = drop("properties")

    assert listed.status == 0
    assert "= lastname (string)" in listed.out
    assert "hs_object_id" not in listed.out
