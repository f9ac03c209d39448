"""Odd files: other people's, with odd names, still being written. None keeps another away."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from drop_folder.folder import Folder
from drop_folder.job import Job
from drop_folder.mapping import Mapping
from drop_folder.pipeline import Pipeline
from drop_folder.rows import BadFileError
from drop_folder.sheets import open_sheet
from harness.booking import MAPPING, NAME, person, sheet

if TYPE_CHECKING:
    from pathlib import Path

    from harness.mailbox import Mailbox
    from hubspot_simulator import Portal, Simulator

    from .conftest import Drop

NOBODY = 65534
WITHOUT_POWERS = "--bounding-set=-fowner,-dac_override,-dac_read_search"
"""Makes of root a user like any other; only such a one meets the rules for other people's files."""

UMLAUT = os.fsdecode("export-ulm_Müller.csv".encode("cp1252"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_other_peoples_files_and_odd_names_go_their_way_and_what_cannot_stays(
    drop: Drop, portal: Portal, box: Mailbox
) -> None:
    theirs = drop.put(sheet(person(1)), "export-ulm_1.csv")
    secret = drop.put(sheet(person(2)), "export-ulm_2.csv")
    long = drop.put(sheet(person(3)), f"export-ulm_{'x' * 225}.csv")
    drop.put(sheet(person(4), person(5, **{"E-Mail": ""})), UMLAUT)
    os.chown(theirs, NOBODY, NOBODY)
    theirs.chmod(0o644)
    os.chown(secret, NOBODY, NOBODY)
    secret.chmod(0o600)
    drop.before = ("setpriv", WITHOUT_POWERS, "--")

    run = drop()

    assert run.status == 74
    assert drop.names() == sorted([secret.name, long.name])
    assert "export-ulm_2.csv stays: this user may not read it" in run.log
    assert f"{long.name} stays: its name is too long" in run.log
    assert len(portal.truth("contacts").live) == 2
    assert [name.partition(".")[0] for name in drop.names("processed")] == [
        "export-ulm_1",
        UMLAUT.removesuffix(".csv"),
    ]
    assert "export-ulm_Müller.csv: verarbeitet" in box.mails[0].get_content()
    (bad,) = drop.names("errorprocessed")
    assert bad.endswith(".fehler.csv")


def test_a_file_that_grows_while_it_is_read_comes_again_whole(
    drop: Drop, portal: Portal, hubspot: Simulator
) -> None:
    """A writer that kept its file open goes on in it, wherever the file was moved."""
    path = drop.put(sheet(person(0)))

    def write_more(_: object) -> None:
        if not writer.closed:
            writer.write(person(1) + "\n")
            writer.close()

    with path.open("a") as writer:
        hubspot.answer_hooks.append(write_more)
        first = drop()
    assert (first.status, drop.names()) == (75, [NAME])

    again = drop()

    assert (again.status, drop.names()) == (0, [])
    assert len(portal.truth("contacts").live) == 2


def test_a_fault_of_our_own_at_one_file_puts_it_aside_and_keeps_no_other_away(
    tmp_path: Path,
) -> None:
    mapping = Mapping.model_validate({**MAPPING, "folder": str(tmp_path)})
    assert mapping.deals is not None
    mapping.deals.columns["dealname"].template = "{nobody}"  # the check of the mapping is passed by
    folder = Folder(mapping)
    job = Job(mapping, folder, Pipeline(mapping, tmp_path / "mapping.yml", folder.work))
    path = tmp_path / NAME
    path.write_text(sheet(person(1)), "utf-8")

    reports = []
    for _ in range(3):
        claim = folder.claim(path)
        assert claim is not None
        reports.append(job.carry_out(claim))

    assert [each.verdict for each in reports] == ["returned", "returned", "refused"]
    assert "KeyError" in reports[2].text()
    assert list(folder.work.glob("*__*")) == list(folder.work.glob(".tries*")) == []


def test_a_file_with_a_time_to_come_is_judged_by_when_it_was_changed_here(tmp_path: Path) -> None:
    changes = {"folder": str(tmp_path), "settle_seconds": 0.2}
    folder = Folder(Mapping.model_validate({**MAPPING, **changes}))
    path = tmp_path / NAME
    path.write_text("x")
    ahead = time.time() + 7200
    os.utime(path, (ahead, ahead))
    deadline = time.monotonic() + 60

    while not (found := folder.ready()):
        assert time.monotonic() < deadline

    assert found == [path]


def test_rows_that_were_mended_again_and_again_keep_their_name(tmp_path: Path) -> None:
    folder = Folder(Mapping.model_validate({**MAPPING, "folder": str(tmp_path)}))
    name = NAME
    for _ in range(8):
        (tmp_path / name).write_text(sheet(person(1)), "utf-8")
        claim = folder.claim(tmp_path / name)
        assert claim is not None
        folder.keep(claim, folder.fingerprint(claim))
        name = folder.beside(claim, "fehler.csv").name

    assert len(name) == len(NAME) + len(".20261128T133420210621Z.fehler")
    assert len(list(folder.processed.iterdir())) == 8


def test_two_contents_with_one_short_hash_are_two_files(tmp_path: Path) -> None:
    folder = Folder(Mapping.model_validate({**MAPPING, "folder": str(tmp_path)}))
    (tmp_path / NAME).write_text("new")
    claim = folder.claim(tmp_path / NAME)
    assert claim is not None
    short = folder.fingerprint(claim)
    (folder.processed / f"other.{short}.csv").write_text("old")
    assert not folder.was_processed(claim, short)
    (folder.processed / f"same.{short}.CSV").write_text("new")

    assert folder.was_processed(claim, short)


def test_the_environment_changes_no_verdict(drop: Drop, portal: Portal) -> None:
    """Neither do settings of another target, nor a password that no mail server takes."""
    drop.environment["TARGET_HUBSPOT_DRY_RUN"] = "true"
    drop.environment["DROP_FOLDER_SMTP_PASSWORD"] = "geheim-ü"
    drop.mapping["mail"]["smtp"]["user"] = "import"
    drop.put(sheet(person(1)))

    run = drop()

    assert (run.status, drop.names()) == (0, [])
    assert len(portal.truth("contacts").live) == 1
    assert "could not be sent" in run.log


@pytest.mark.parametrize("name", ["nobody.csv", ""])
def test_a_dry_run_of_what_is_no_file_says_so(drop: Drop, name: str) -> None:
    run = drop("--dry-run", "--file", str(drop.inbox / name))

    assert run.status == 74
    assert "A file cannot be read" in run.log
    assert "Traceback" not in run.log


@pytest.mark.parametrize(
    ("value", "written", "stands"),
    [
        (3.3000000000000003, "0.0", "3.3"),
        (12345678901234, "0", "12345678901234"),
        (1e9, "dd.mm.yyyy", "1000000000"),
    ],
)
def test_numbers_of_excel_are_those_that_it_shows(
    tmp_path: Path, value: float, written: str, stands: str
) -> None:
    path, mapping = workbook(tmp_path, value, written)

    (row,) = open_sheet(path, mapping).rows()

    assert str(row.cells[1]) == stands


def test_a_duration_that_nobody_can_have_refuses_its_file(tmp_path: Path) -> None:
    path, mapping = workbook(tmp_path, 1e9, "[h]:mm:ss")

    with pytest.raises(BadFileError, match="Dauer"):
        list(open_sheet(path, mapping).rows())


def workbook(folder: Path, value: float, written: str) -> tuple[Path, Mapping]:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["E-Mail", "Wert"])
    book.active.append(["a@example.com", value])
    book.active.cell(2, 2).number_format = written
    path = folder / "export-ulm_1.xlsx"
    book.save(path)
    return path, Mapping.model_validate({**MAPPING, "folder": str(folder)})


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("site", {"pattern": "(?P<site>["}, "no regular expression"),
        ("csv", {"encoding": "latin-99"}, "no encoding latin-99"),
        ("deals", {"columns": {"dealname": {"template": "{nobody}"}}}, "the template"),
        ("deals", {"columns": {"dealname": {"template": "{email.lower}"}}}, "the template"),
        ("deals", {"columns": {"dealname": {"template": "{city:%d}"}}}, "the template"),
        ("deals", {"columns": {"dealname": {"template": "{"}}}, "the template"),
        ("deals", {"value": {"column": "Nr", "otherwise": "hsh(email)"}}, "hash\\(a, b\\)"),
        (
            "contacts",
            {"columns": {"email": {"column": "E-Mail", "formats": ["%Q"]}}},
            "no days like %Q",
        ),
        (
            "contacts",
            {"columns": {"email": {"column": "E-Mail"}, "city": {"required": True}}},
            "required goes with a column",
        ),
    ],
)
def test_what_would_fail_at_a_row_is_refused_with_the_mapping(
    part: str, changes: dict[str, Any], said: str
) -> None:
    content = {**MAPPING, "folder": "x", part: {**MAPPING.get(part, {}), **changes}}

    with pytest.raises(ValueError, match=said):
        Mapping.model_validate(content)
