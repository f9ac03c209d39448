"""Files that appear become contacts and deals; each one ends where it belongs, and is told of."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from harness.booking import HEADER, NAME, person, sheet

if TYPE_CHECKING:
    import subprocess

    from harness.mailbox import Mailbox
    from hubspot_simulator import Portal, Simulator

    from .conftest import Drop


def contacts(portal: Portal) -> dict[str | None, dict[str, str | None]]:
    found = portal.truth("contacts").live.values()
    assert len({each.properties["email"] for each in found}) == len(found)
    return {each.properties["email"]: each.properties for each in found}


def deals(portal: Portal) -> list[tuple[str | None, ...]]:
    names = ("dealname", "amount", "closedate", "dealstage")
    found = portal.truth().live.values()
    assert len({each.properties["buchungsnummer"] for each in found}) == len(found)
    return sorted(tuple(each.properties[name] for name in names) for each in found)


def test_a_file_becomes_contacts_and_deals_and_a_mail(
    drop: Drop, portal: Portal, box: Mailbox
) -> None:
    family = person(1, Vorname="Ada", **{"Datum der letzten Buchung": "04-11-2026"})
    drop.put(sheet(person(1), family, person(2, Geburtstag="..", **{"E-Mail": "NEU@Beispiel.de "})))

    run = drop()

    assert run.status == 0, run.log
    found = contacts(portal)
    assert found.keys() == {"muster1@beispiel-verein.de", "neu@beispiel.de"}
    values = found["muster1@beispiel-verein.de"]
    assert [values[n] for n in ("firstname", "zip", "city", "date_of_birth", "wert")] == [
        "Ada",
        "01067",
        "Köln",
        "1959-12-24",
        "1234.50",
    ]
    assert values["kontaktkategorie"] == "McArena schorndorf"
    assert found["neu@beispiel.de"]["date_of_birth"] in {None, ""}
    assert deals(portal) == [
        ("McArena schorndorf 03.11.2026", "1234.50", "2026-11-03T00:00:00Z", "closedwon"),
        ("McArena schorndorf 03.11.2026", "1234.50", "2026-11-03T00:00:00Z", "closedwon"),
        ("McArena schorndorf 04.11.2026", "1234.50", "2026-11-04T00:00:00Z", "closedwon"),
    ]
    assert len(portal.true_links()) == 3
    assert (drop.names(), drop.names("errorprocessed")) == ([], [])
    (kept,) = drop.names("processed")
    assert kept.startswith("export-schorndorf_2026_11_28.")
    (mail,) = box.mails
    assert mail["Subject"] == "[HubSpot-Import] 1 Datei: 3 Zeilen, 0 abgelehnt"
    assert "Kontaktzeilen / contact rows: 3 neu" in mail.get_content()
    assert mail["Auto-Submitted"] == "auto-generated"
    assert not any("beispiel" in text for text in (mail.get_content(), run.log))


def test_bad_rows_come_back_alone_and_can_be_dropped_again(
    drop: Drop, portal: Portal, box: Mailbox
) -> None:
    rows = [person(n) for n in range(3)]
    bad = [
        person(3, **{"E-Mail": ""}),
        person(4, **{"Datum der letzten Buchung": "31.02.2026"}),
        person(5, **{"Wert der letzten Buchung (bezahlter Betrag)": "12.34"}),
        "zu;kurz",
        person(6, Kontaktkategorie="McArena nirgends"),
    ]
    drop.put(sheet(*rows, *bad))

    run = drop()

    assert run.status == 1
    assert len(contacts(portal)) == 3
    assert len(deals(portal)) == 3
    (mended,) = drop.names("errorprocessed")
    text = (drop.inbox / "errorprocessed" / mended).read_text("utf-8-sig")
    lines = text.splitlines()
    assert lines[0] == f"{HEADER};_zeile;_grund"
    assert [line.rsplit(";", 2)[1] for line in lines[1:]] == ["5", "6", "7", "8", "9"]
    assert "Spalte E-Mail: leer" in lines[1]
    assert "Spalte Kontaktkategorie: INVALID_OPTION" in lines[5]
    (mail,) = box.mails
    assert "5 abgelehnt" in mail["Subject"]
    assert "Zeile 6, Spalte Datum der letzten Buchung: kein Datum" in mail.get_content()
    assert "muster" not in mail.get_content()
    # Mended and dropped back in: the two columns more are passed over.
    good = [lines[0], *(line for line in lines[1:] if "Muster6" in line)]
    drop.put("\n".join(good).replace("McArena nirgends", "McArena ulm"), "export-ulm_fehler.csv")
    assert drop().status == 0
    assert len(contacts(portal)) == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "leer"),
        ("Vorname;Ort\nAda;Ulm\n", "Spalten fehlen: E-Mail"),
        (f"{HEADER};Ort\n", "doppelt: ort"),
        (b"\x81\x8d" + sheet(person(1)).encode("cp1252"), "nicht als"),
        (sheet(*(person(n, **{"E-Mail": "-"}) for n in range(21))), "21 von 21 Zeilen"),
    ],
)
def test_a_bad_file_is_put_aside_and_nothing_is_sent(
    drop: Drop, hubspot: Simulator, content: str | bytes, said: str
) -> None:
    drop.put(content)

    run = drop()

    assert run.status == 2
    assert len(hubspot.requests) == 0
    (report,) = (name for name in drop.names("errorprocessed") if name.endswith("bericht.txt"))
    (original,) = (name for name in drop.names("errorprocessed") if name.endswith(".csv"))
    assert original.startswith("export-schorndorf")
    assert said in (drop.inbox / "errorprocessed" / report).read_text("utf-8")


def test_what_is_doubtful_is_told_and_sent(drop: Drop, portal: Portal, box: Mailbox) -> None:
    two = '"muster2@beispiel-verein.de; zwei@beispiel-verein.de"'
    rows = [
        person(1),
        person(1, Vorname="Ada"),
        person(2, **{"E-Mail": two}),
        person(3, Ort="KÃ¶ln"),
        person(4, **{"E-Mail": "muster\u20134@beispiel-verein.de"}),
    ]
    drop.put(sheet(*rows))

    run = drop()

    assert run.status == 0, run.log
    assert len(contacts(portal)) == 4
    told = box.mails[0].get_content()
    for part in (
        "two names with one address: 1 (2 + 3)",
        "the first counts: 1 (4)",
        "encoded twice: 1 (5)",
        "unusual signs in an address: 1 (6)",
        "columns that nobody reads: 17 (Login, Mitglied-Status, ",
        "Zeilen / rows: 5, ",
    ):
        assert part in told
    assert "@" not in told


def test_of_a_file_that_hubspot_refuses_for_the_most_part_no_more_is_sent(
    drop: Drop, portal: Portal
) -> None:
    bad = [person(n, Kontaktkategorie="McArena nirgends") for n in range(21)]
    drop.put(sheet(*bad, *(person(n) for n in range(21, 40))))

    run = drop()

    assert run.status == 2
    assert (len(contacts(portal)), deals(portal)) == (19, [])
    (report,) = (drop.inbox / "errorprocessed").glob("*.bericht.txt")
    assert "21 von 40 Zeilen sind fehlerhaft" in report.read_text("utf-8")


def test_an_excel_file_ends_where_a_text_would(drop: Drop, portal: Portal) -> None:
    drop.mapping["pattern"] = ["export-*.csv", "export-*.xlsx"]
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in sheet(person(1), person(2, **{"E-Mail": "x"})).splitlines():
        book.active.append(row.split(";"))
    for name in ("export-ulm_1.xlsx", "export-ulm_2.xlsx"):
        book.save(drop.inbox / name)

    run = drop()

    assert run.status == 1, run.log
    assert contacts(portal).keys() == {"muster1@beispiel-verein.de"}
    kept = drop.names("processed")
    assert [name.rpartition(".")[2] for name in kept] == ["xlsx", "xlsx"]
    assert [".duplicate." in name for name in kept] == [False, True]
    (bad,) = drop.names("errorprocessed")
    assert bad.endswith(".fehler.csv")


def test_the_same_content_is_sent_once(drop: Drop, hubspot: Simulator) -> None:
    drop.put(sheet(person(1)))
    drop()
    calls = len(hubspot.requests)
    drop.put(sheet(person(1)), "export-schorndorf_2026_11_29.csv")

    run = drop()

    assert (run.status, len(hubspot.requests)) == (0, calls)
    assert [name.endswith("duplicate.csv") for name in drop.names("processed")] == [False, True]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "status", "status": 400, "endpoint": "properties"}, 75),
        ({"kind": "expired", "endpoint": "batch_upsert"}, 78),
        ({"kind": "daily", "endpoint": "batch_read"}, 75),
    ],
)
def test_hubspots_trouble_condemns_no_file(
    drop: Drop, portal: Portal, hubspot: Simulator, box: Mailbox, fault: dict[str, Any], status: int
) -> None:
    drop.put(sheet(person(1)))
    hubspot.fail(**fault)

    first, second = drop(), drop()
    hubspot.heal()
    third = drop()

    assert (first.status, second.status, third.status) == (status, status, 0)
    assert len(contacts(portal)) == 1
    assert drop.names("processed")
    # The same trouble is told once, the success after it again.
    assert len(box.mails) == 2
    assert TOKEN_PART not in first.log


TOKEN_PART = "booking"


def test_a_missing_property_is_named_and_the_file_stays(
    drop: Drop, portal: Portal, box: Mailbox
) -> None:
    portal.archive_property("contacts", "wert")
    drop.put(sheet(person(1)))

    run = drop()

    assert (run.status, drop.names()) == (78, [NAME])
    assert "`wert`" in box.mails[0].get_content()
    assert portal.writes == []


def test_a_dry_run_moves_and_writes_nothing(drop: Drop, portal: Portal, box: Mailbox) -> None:
    drop.put(sheet(person(1), person(2, **{"E-Mail": ""})))

    run = drop("--dry-run")

    assert (run.status, drop.names(), portal.writes, box.mails) == (1, [NAME], [], [])
    assert "Kontaktzeilen / contact rows: 1 neu" in run.out
    assert "Zeile 3, Spalte E-Mail: leer" in run.out


def test_a_mail_that_could_not_be_sent_goes_with_the_next(drop: Drop, box: Mailbox) -> None:
    smtp = drop.mapping["mail"]["smtp"]
    drop.mapping["mail"]["smtp"] = {**smtp, "port": 1}
    drop.put(sheet(person(1)))

    away = drop()
    drop.mapping["mail"]["smtp"] = smtp
    back = drop()

    assert (away.status, back.status, len(box.mails)) == (0, 0, 1)
    assert "could not be sent" in away.log


def test_the_mapping_is_checked_by_name(drop: Drop) -> None:
    columns = drop.mapping["contacts"]["columns"]
    drop.mapping["contacts"] = {"columns": {**columns, "bank": {"column": "IBAN", "typ": "text"}}}

    misspelt = drop("--check")
    drop.mapping["contacts"] = {"columns": {**columns, "bank": {"column": "IBAN"}}}
    bank = drop("--check")
    drop.mapping["contacts"] = {"columns": columns}
    good = drop("--check")

    assert (misspelt.status, bank.status, good.status) == (78, 78, 0)
    assert "contacts.columns.bank.typ" in misspelt.log
    assert "IBAN: account numbers" in bank.log
    assert drop("--nothing").status == 64


def settle(drop: Drop) -> None:
    """Run until the folder is empty; an orphan of a killed run holds the lock for a while."""
    deadline = time.monotonic() + 100
    while True:
        run = drop()
        assert run.status in {0, 75}, run.log
        if not drop.names() and not list((drop.inbox / ".work").glob("*__*")):
            return
        assert time.monotonic() < deadline, run.log
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("nth", "by"),
    [
        (2, signal.SIGKILL),
        (6, signal.SIGKILL),
        (4, signal.SIGTERM),
        *(pytest.param(n, signal.SIGKILL, marks=pytest.mark.heavy) for n in (1, 3, 4, 5, 7, 8, 9)),
    ],
)
def test_killed_at_any_request_it_ends_with_the_file_in_hubspot_once(
    drop: Drop, portal: Portal, hubspot: Simulator, nth: int, by: int
) -> None:
    drop.put(sheet(*(person(n) for n in range(150))))
    with drop.start() as process:
        _end_at(hubspot, process, nth, by)
        process.communicate(timeout=120)
    hubspot.answer_hooks.clear()
    settle(drop)

    assert len(contacts(portal)) == 150
    assert len(deals(portal)) == 150
    assert len(portal.true_links()) == 150
    assert len(drop.names("processed")) == 1
    assert [each.action for each in portal.writes].count("created") == 300


def is_reached(drop: Drop, box: Mailbox, step: str) -> bool:
    """Whether a run has come so far."""
    work = drop.inbox / ".work"
    if step == "claimed":
        return any(work.glob("*__*"))
    if step == "reported, not moved":
        return any((work / "reports").glob("*.json"))
    if step == "moved":
        return any((drop.inbox / "processed").glob("*.csv"))
    return bool(box.mails)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("claimed", marks=pytest.mark.heavy),
        pytest.param("reported, not moved", marks=pytest.mark.heavy),
        "moved",
        pytest.param("mailed", marks=pytest.mark.heavy),
    ],
)
def test_killed_at_each_step_of_a_file_it_is_in_hubspot_once(
    drop: Drop, portal: Portal, box: Mailbox, step: str
) -> None:
    drop.put(sheet(person(1), person(2)))
    with drop.start() as process:
        while not is_reached(drop, box, step):
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=120)
    settle(drop)
    drop()  # what was not mailed is

    assert process.returncode in {-signal.SIGKILL, 0}
    assert (len(contacts(portal)), len(deals(portal)), len(portal.true_links())) == (2, 2, 2)
    assert [each.action for each in portal.writes].count("created") == 4
    assert len(drop.names("processed")) == 1
    assert box.mails[0]["Subject"].startswith("[HubSpot-Import] 1 Datei")


def _end_at(hubspot: Simulator, process: subprocess.Popen[str], nth: int, by: int) -> None:
    seen = 0

    def count(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == nth:
            process.send_signal(by)

    hubspot.answer_hooks.append(count)
