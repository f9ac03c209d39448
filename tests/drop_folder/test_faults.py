"""HubSpot stumbles, the mail server is away, runs are killed: the files are in HubSpot once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from harness.booking import HEADER, NAME, person, sheet

if TYPE_CHECKING:
    from harness.mailbox import Mailbox
    from hubspot_simulator import Portal, Simulator

    from .conftest import Drop, Ended

KILLS = int(os.environ.get("DROP_FOLDER_KILLS", "200"))
TOGETHER = 5
"""Kills in a row, each with a file more, before a run may go through."""

MANY = int(os.environ.get("DROP_FOLDER_ROWS", "100000"))
SEED = 14


def assert_once(portal: Portal, people: int) -> None:
    """Everybody of the files is there once, with one deal that is linked once."""
    contacts, deals = portal.truth("contacts").live, portal.truth("deals").live
    wanted = {f"muster{n}@beispiel-verein.de" for n in range(people)}
    assert sorted(each.properties["email"] or "" for each in contacts.values()) == sorted(wanted)
    assert len({each.properties["buchungsnummer"] for each in deals.values()}) == len(deals)
    links = {(each.from_id, each.to_id) for each in portal.true_links()}
    assert {start for start, _ in links} == deals.keys()
    assert {end for _, end in links} == contacts.keys()
    assert len(deals) == len(links) == people
    assert [each.action for each in portal.writes].count("created") == 2 * people


def settle(drop: Drop) -> Ended:
    """Run until the folder is empty; an orphan of a killed run holds the lock for a while."""
    deadline = time.monotonic() + 600
    while True:
        run = drop(seconds=600)
        assert run.status in {0, 75}, run.log
        if not drop.names() and not list((drop.inbox / ".work").glob("*__*")):
            return run
        assert time.monotonic() < deadline, run.log
        time.sleep(0.2)


def test_what_passes_is_waited_for_within_the_run(
    drop: Drop, portal: Portal, hubspot: Simulator
) -> None:
    for fault in (
        {"kind": "html", "status": 502, "endpoint": "batch_upsert"},
        {"kind": "reset", "endpoint": "batch_upsert", "carried_out": True},
        {"kind": "ten_secondly", "endpoint": "batch_read", "retry_after": 0.1},
        {"kind": "status", "status": 423, "endpoint": "batch_upsert", "retry_after": 0.1},
        {"kind": "silent", "endpoint": "batch_upsert"},
        {"kind": "silent", "endpoint": "link"},
    ):
        hubspot.fail(times=1, **fault)
    drop.put(sheet(*(person(n) for n in range(120))))

    run = drop()

    assert (run.status, drop.names()) == (0, [])
    assert_once(portal, 120)


def test_the_older_version_of_the_api_takes_the_same_file(drop: Drop, portal: Portal) -> None:
    drop.mapping["hubspot"] = {**drop.mapping["hubspot"], "api_version": "v3"}
    drop.put(sheet(person(0), person(1)))

    assert drop().status == 0
    assert_once(portal, 2)


def test_the_same_name_with_other_content_is_another_file(drop: Drop, portal: Portal) -> None:
    for n in range(2):
        drop.put(sheet(person(n)))
        assert drop().status == 0

    assert_once(portal, 2)
    assert len(drop.names("processed")) == 2


def test_an_old_file_dropped_late_fills_and_adds_and_overwrites_nothing(
    drop: Drop, portal: Portal
) -> None:
    columns = drop.mapping["contacts"]["columns"]
    newer = {**columns["letzte_buchung"], "only_newer": True}
    drop.mapping["contacts"] = {"columns": {**columns, "letzte_buchung": newer}}
    day = "Datum der letzten Buchung"
    drop.put(sheet(person(1, Ort="Ulm", PLZ="", **{day: "03.11.2026"})))
    drop()
    old = person(1, Ort="Bonn", PLZ="53111", **{day: "01.02.2026"})
    drop.put(sheet(old), "export-ulm_2026_02_01.csv")
    # Within a file, too, the newest booking counts and not the last row.
    days = {"Ulm": "03.11.2026", "Bonn": "02.11.2026"}
    rows = [person(2, Ort=town, **{day: when}) for town, when in days.items()]
    drop.put(sheet(*rows), "export-schorndorf_2026_11_29.csv")

    run = drop()

    assert run.status == 0, run.log
    found = {
        each.properties["email"]: each.properties for each in portal.truth("contacts").live.values()
    }
    first, second = (found[f"muster{n}@beispiel-verein.de"] for n in (1, 2))
    assert (first["city"], first["zip"], first["letzte_buchung"]) == ("Ulm", "53111", "2026-11-03")
    sites = (first["kontaktkategorie"] or "").split(";")
    assert set(sites) == {"McArena schorndorf", "McArena ulm"}
    assert (second["city"], second["letzte_buchung"]) == ("Ulm", "2026-11-03")
    assert len(portal.truth("deals").live) == 4


@pytest.mark.parametrize("trouble", ["refusing", pytest.param("slow", marks=pytest.mark.heavy)])
def test_a_mail_server_with_trouble_changes_no_verdict(
    drop: Drop, box: Mailbox, trouble: str
) -> None:
    box.refuses, box.seconds = trouble == "refusing", 12 * (trouble == "slow")
    drop.put(sheet(person(1)))

    first = drop()
    box.refuses, box.seconds = False, 0
    second = drop()

    assert (first.status, second.status) == (0, 0)
    assert "could not be sent" in first.log
    assert len(drop.names("processed")) == 1
    assert box.mails[-1]["Subject"] == "[HubSpot-Import] 1 Datei: 1 Zeilen, 0 abgelehnt"
    assert box.senders[-1] == "import@example.com"


def test_no_address_is_in_a_log_a_mail_a_report_or_a_process_list(
    drop: Drop, hubspot: Simulator, box: Mailbox
) -> None:
    columns = drop.mapping["contacts"]["columns"]
    # HubSpot's own answers repeat what they refuse.
    drop.mapping["contacts"] = {"columns": {**columns, "hubspot_owner_id": {"column": "Login"}}}
    rows = [
        person(1, Login="", **{"E-Mail": "muster1@beispiel-verein.de, zwei@beispiel-verein.de"}),
        person(2, Login="", Kontaktkategorie="muster2@beispiel-verein.de"),
        person(3, Login="", **{"E-Mail": "muster3_beispiel-verein.de"}),
        person(4, Login="", **{"E-Mail": "muster4@beispiel-verein.con"}),
        person(5, Login="muster5@beispiel-verein.de"),
        person(6, Login="", Vorname="Ada"),
        person(6, Login=""),
    ]
    drop.put(sheet(*rows))
    drop.put(sheet(person(4)) + 'a;"b', "export-ulm_2026_11_28.csv")
    for fault in (
        {"kind": "html", "status": 502, "endpoint": "batch_upsert"},
        {"kind": "reset", "endpoint": "batch_upsert", "carried_out": True},
        {"kind": "silent", "endpoint": "batch_upsert"},
        {"kind": "truncated", "endpoint": "batch_read"},
    ):
        hubspot.fail(times=1, **fault)
    seen: list[str] = []
    files: list[str] = []

    def look(_: object) -> None:
        seen.extend(_processes())
        # What the target puts aside holds rows, and is readable to its owner only; names are not.
        files.extend(str(path) for path in drop.inbox.rglob("*"))

    hubspot.answer_hooks.append(look)

    first = drop()
    hubspot.fail(kind="expired")
    drop.put(sheet(person(7, Login="")), "export-ulm_2026_11_29.csv")
    second = drop()
    hubspot.heal()

    assert (first.status, second.status) == (2, 78), first.log
    listed = "\n".join(seen)
    assert "target_hubspot" in listed
    told = [listed, *files, *(mail.as_string() for mail in box.mails)]
    told += [text for run in (first, second) for text in (run.log, run.out)]
    told += [path.read_text() for path in drop.inbox.rglob("*.txt")]
    told += [path.read_text() for path in (drop.inbox / ".work").rglob("*") if path.is_file()]
    mails = "".join(mail.get_content() for mail in box.mails)
    for code in ("INVALID_EMAIL", "INVALID_OPTION", "two names", "keine E-Mail-Adresse"):
        assert code in mails
    for secret in ("muster", "beispiel-verein", "Björn", drop.environment["HUBSPOT_ACCESS_TOKEN"]):
        assert [text for text in told if secret in text] == []


def test_a_file_at_which_the_target_dies_three_times_is_put_aside(
    drop: Drop, hubspot: Simulator, portal: Portal
) -> None:
    def kill(_: object) -> None:
        for each in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "target_hubspot" in each.cmdline():
                    each.kill()

    hubspot.answer_hooks.append(kill)
    drop.put(sheet(person(1)))
    drop.put(sheet(person(2)), "export-ulm_2026_11_28.csv")

    runs = [drop() for _ in range(3)]

    assert [run.status for run in runs] == [75, 75, 75]
    assert drop.names() == ["export-ulm_2026_11_28.csv"]
    report, original = sorted(drop.names("errorprocessed"), key=lambda name: name.endswith("csv"))
    assert original.startswith("export-schorndorf")
    assert report.endswith(".bericht.txt")
    told = (drop.inbox / "errorprocessed" / report).read_text("utf-8")
    assert "The program broke off" in told
    assert drop.names("processed") == []
    # The other one was met by the same death, and is tried again.
    hubspot.answer_hooks.clear()
    assert settle(drop).status == 0
    assert [each.properties["email"] for each in portal.truth("contacts").live.values()] == [
        "muster2@beispiel-verein.de"
    ]


def _processes() -> list[str]:
    """The command lines that anybody on this machine can read."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            found.append(" ".join(each.cmdline()))
    return found


def test_reports_of_a_run_are_readable_to_their_owner_only(drop: Drop, hubspot: Simulator) -> None:
    modes: set[tuple[str, int]] = set()

    def look(_: object) -> None:
        work = drop.inbox / ".work"
        for path in (work, *work.glob("*.rejected")):
            modes.add((path.suffix or path.name, path.stat().st_mode & 0o077))

    hubspot.answer_hooks.append(look)
    drop.put(sheet(person(1, Kontaktkategorie="McArena nirgends"), person(2)))

    assert drop().status == 1
    assert (".work", 0) in modes
    assert {mode for _, mode in modes} == {0}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=pytest.mark.heavy)])
def test_killed_at_random_moments_everything_is_there_once(
    drop: Drop, portal: Portal, kills: int
) -> None:
    moments = random.Random(SEED)
    began = time.monotonic()
    drop.put(sheet(person(0), person(1)))
    settle(drop)
    length = time.monotonic() - began

    for kill in range(1, kills + 1):
        drop.put(sheet(person(2 * kill), person(2 * kill + 1)), f"export-schorndorf_{kill}.csv")
        with drop.start() as process:
            time.sleep(moments.uniform(0, length))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=120)
        if kill % TOGETHER == 0:
            settle(drop)
            assert_once(portal, 2 * kill + 2)
    settle(drop)

    assert_once(portal, 2 * kills + 2)
    assert len(drop.names("processed")) == kills + 1
    assert drop.names("errorprocessed") == []


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_rows_go_through_in_flat_memory(
    drop: Drop, portal: Portal, box: Mailbox
) -> None:
    drop.mapping["limits"] = {"max_rows": MANY}
    path = Path(drop.inbox / NAME)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{HEADER}\n")
        file.writelines(f"{person(n)}\n" for n in range(MANY))
    peaks: list[float] = []
    began = time.monotonic()
    with drop.start() as process:
        while process.poll() is None:
            tree = [psutil.Process(process.pid)]
            tree += tree[0].children(recursive=True)
            peaks += [each.memory_info().rss / 1e6 for each in tree if each.is_running()]
            time.sleep(0.5)
        log = process.communicate()[1]
    print(f"\n{MANY:,} rows in {time.monotonic() - began:.0f} s, peak {max(peaks):.0f} MB")

    assert process.returncode == 0, log
    assert_once(portal, MANY)
    assert f"{MANY} Zeilen, 0 abgelehnt" in box.mails[0]["Subject"]
    assert max(peaks) < 200
