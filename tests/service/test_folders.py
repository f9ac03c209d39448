"""The run directory: what is swept away, and what is never touched."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from scan_service.pipeline.folders import (
    RunDirectoryError,
    prepare,
    private_folder,
    wipe_abandoned,
)

if TYPE_CHECKING:
    from pathlib import Path

LONG_AGO = time.time() - 3600
NAME = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "runs"
    prepare(found)
    return found


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def abandon(directory: Path) -> Path:
    """A folder as a killed worker leaves it."""
    with private_folder(directory) as folder:
        kept = folder.parent / folder.name
        aside = directory.parent / folder.name
        (folder / "run.log").write_text("secret")
        folder.rename(aside)
    aside.rename(kept)
    for path in kept.glob("*.lock"):
        path.chmod(0o600)
    age(kept)
    return kept


def test_what_a_killed_worker_left_is_removed(directory: Path) -> None:
    folder = abandon(directory)

    assert wipe_abandoned(directory) == 1
    assert not folder.exists()


def test_a_folder_in_use_or_just_made_stays(directory: Path) -> None:
    with private_folder(directory) as used, private_folder(directory) as young:
        age(used)

        assert wipe_abandoned(directory) == 0
        assert used.is_dir()
        assert young.is_dir()
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("name", ["documents", ".ssh", NAME])
def test_folders_of_others_are_never_swept_away(directory: Path, name: str) -> None:
    other = directory / name
    other.mkdir()
    (other / "thesis.txt").write_text("ten years of work")
    age(other)

    assert wipe_abandoned(directory) == 0
    assert (other / "thesis.txt").read_text() == "ten years of work"


def test_a_link_with_the_name_of_a_run_is_not_followed(directory: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "scan-service-run").touch()
    (home / "thesis.txt").write_text("ten years of work")
    link = directory / NAME
    link.symlink_to(home)
    age(link, home)

    assert wipe_abandoned(directory) == 0
    assert (home / "thesis.txt").exists()


def test_a_run_directory_with_other_things_in_it_is_refused(directory: Path) -> None:
    (directory / "documents").mkdir()

    with pytest.raises(RunDirectoryError, match="holds 1 other things"):
        prepare(directory)


def test_a_run_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    with pytest.raises(RunDirectoryError, match="can be entered by other users"):
        prepare(tmp_path)


def test_a_planted_link_is_no_run_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    link = tmp_path / "runs"
    link.symlink_to(home)

    with pytest.raises(RunDirectoryError, match="is a link"):
        prepare(link)


def test_a_killed_worker_is_no_reason_to_refuse_the_next_one(directory: Path) -> None:
    abandon(directory)
    (directory / NAME).mkdir()  # killed before it could write anything

    prepare(directory)


def test_a_worker_may_begin_while_folders_are_removed(directory: Path) -> None:
    over = threading.Event()

    def run() -> None:
        for _ in range(40):
            with private_folder(directory) as folder:
                for number in range(50):
                    (folder / f"{number}").touch()
        over.set()

    other = threading.Thread(target=run)
    other.start()
    try:
        while not over.is_set():
            prepare(directory)
    finally:
        other.join()
