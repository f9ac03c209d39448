"""Which files are taken, by whom, and how long they are kept."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from drop_folder.folder import STAMPED, Folder, FolderError
from drop_folder.mapping import Mapping
from harness.booking import MAPPING, NAME, person, sheet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Portal, Simulator

    from .conftest import Drop


def folder(inbox: Path, **changes: Any) -> Folder:
    inbox.mkdir(exist_ok=True)
    return Folder(Mapping.model_validate({**MAPPING, "folder": str(inbox), **changes}))


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """A file that somebody writes to, with the old date that some programs give it."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.05):
            with path.open("a") as file:
                file.write("x" * 10)
            os.utime(path, (0, 0))

    path.write_text("x")
    os.utime(path, (0, 0))
    writer = threading.Thread(target=write)
    writer.start()
    yield
    done.set()
    writer.join()


def test_a_file_that_grows_is_left_until_it_stands_still(tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", settle_seconds=600)
    path = inbox.inbox / NAME
    with growing(path):
        while_it_grows = inbox.ready()
    os.utime(path, (0, 0))

    assert (while_it_grows, inbox.ready()) == ([], [path])
    os.utime(path)
    assert inbox.ready() == []  # changed less than ten minutes ago


def test_only_finished_files_of_the_pattern_are_taken(tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox")
    good = [f"export-b_{n}.csv" for n in (1, 2)]
    others = ["other.csv", ".export-a.csv", "~$export-a.csv", "export-a.csv.part", "export-a.tmp"]
    for name in [*good, *others]:
        (inbox.inbox / name).write_text("x")
    (inbox.inbox / "export-link.csv").symlink_to(inbox.inbox / good[0])
    (inbox.inbox / "export-folder.csv").mkdir()
    (inbox.processed / "export-c.csv").write_text("x")

    assert [path.name for path in inbox.ready()] == good


def test_with_a_marker_a_file_waits_for_it(tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", marker=".ok", settle_seconds=60)
    path, marker = inbox.inbox / NAME, inbox.inbox / f"{NAME}.ok"
    path.write_text("x")
    before = inbox.ready()
    marker.touch()
    ready = inbox.ready()

    claim = inbox.claim(path)

    assert (before, ready, marker.exists()) == ([], [path], False)
    assert claim is not None
    inbox.give_back(claim)
    assert inbox.ready() == [path]


def test_a_file_is_claimed_by_one(tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox")
    path = inbox.inbox / NAME
    path.write_text("x")

    assert inbox.claim(path) is not None
    assert inbox.claim(path) is None


def test_what_a_killed_run_left_is_found_whatever_its_name_ends_in(tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", pattern="export*")
    for name in ("export.txt", "export__a.CSV", "export"):
        (inbox.inbox / name).write_text(name)
        assert inbox.claim(inbox.inbox / name) is not None

    found = {claim.name: claim for claim in inbox.claimed()}

    assert found.keys() == {"export.txt", "export__a.CSV", "export"}
    inbox.keep(found["export.txt"], inbox.fingerprint(found["export.txt"]))
    (kept,) = inbox.processed.iterdir()
    assert (kept.name[:7], kept.suffix) == ("export.", ".txt")


def test_only_our_own_files_are_deleted_and_only_by_their_stamp(tmp_path: Path) -> None:
    inbox = folder(tmp_path / "inbox", keep_days=30)
    now = datetime.now(UTC)
    old, new = (f"{now - timedelta(days=days):{STAMPED}}" for days in (31, 29))
    gone = [
        inbox.processed / f"export-a.{old}.0123abcd.csv",
        inbox.processed / f"export-a.{old}.0123abcd.duplicate.csv",
        inbox.errors / f"export-a.{old}.fehler.csv",
        inbox.errors / f"export-a.{old}.bericht.txt",
    ]
    kept = [
        inbox.processed / f"export-a.{new}.0123abcd.csv",
        inbox.processed / f"export-a.{old}.csv",
        inbox.errors / "contract.csv",
        inbox.inbox / f"export-a.{old}.0123abcd.csv",
    ]
    for path in [*gone, *kept]:
        path.write_text("x")
        os.utime(path, (0, 0))

    assert inbox.age_out() == len(gone)
    assert [path.exists() for path in [*gone, *kept]] == [False] * len(gone) + [True] * len(kept)
    assert folder(tmp_path / "inbox").age_out() == 0


@contextmanager
def as_nobody() -> Iterator[None]:
    """As somebody whom the rights of files bind; root they do not."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and str(path).startswith(str(tmp_path.parents[2])):
            path.chmod(path.stat().st_mode | 0o055)
    inbox.chmod(0o555)

    with as_nobody(), pytest.raises(FolderError, match="Permission denied"):
        folder(inbox)


def test_folders_on_several_file_systems_are_refused(tmp_path: Path, drop: Drop) -> None:
    others = [path for path in map(Path, ("/dev/shm", "/run")) if _is_away(path, tmp_path)]  # noqa: S108
    if not others:
        pytest.skip("there is one file system only")
    (drop.inbox / "processed").symlink_to(others[0])

    run = drop()

    assert run.status == 74
    assert "several file systems" in run.log


def _is_away(path: Path, home: Path) -> bool:
    return os.access(path, os.W_OK) and path.stat().st_dev != home.stat().st_dev


def test_two_runs_at_once_send_a_file_once(drop: Drop, portal: Portal, hubspot: Simulator) -> None:
    drop.put(sheet(*(person(n) for n in range(5))))
    asked, released = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        asked.set()
        released.wait(60)

    hubspot.answer_hooks.append(hold)
    with drop.start() as first:
        assert asked.wait(60)
        second = drop()
        released.set()
        first.communicate(timeout=120)

    assert (first.returncode, second.status) == (0, 0)
    assert "Another run is at it" in second.log
    assert len(drop.names("processed")) == 1
    assert [each.action for each in portal.writes].count("created") == 10


def test_a_file_that_waits_too_long_is_told_of_once_more(
    drop: Drop, hubspot: Simulator, box: Any
) -> None:
    path = drop.put(sheet(person(1)))
    hubspot.fail(kind="daily", endpoint="properties")
    drop()
    drop()
    old = time.time() - 25 * 3600
    os.utime(path, (old, old))

    run = drop()
    drop()

    assert (run.status, drop.names()) == (75, [NAME])
    assert abs(path.stat().st_mtime - old) < 1
    assert len(box.mails) == 2
    assert "has waited for a very long time" in box.mails[1].get_content()
