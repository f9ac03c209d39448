"""The Singer files of the peers' own suites load, where they are meant to."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from singer_sdk.exceptions import RecordsWithoutSchemaException
from target_deals_postgres.errors import InputError, RejectedRecordsError

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

PEERS = ("meltanolabs-target-postgres==0.8.1",)  # the sdist of pipelinewise's has no files
# What the files are about, where they are not meant to load without a complaint.
REFUSED: dict[str, type[Exception]] = {
    "invalid_schema.singer": InputError,
    "record_before_schema.singer": RecordsWithoutSchemaException,
    "record_missing_key_property.singer": RejectedRecordsError,
    "record_missing_required_property.singer": RejectedRecordsError,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("peers")
    for peer in PEERS:
        sdist = ["--no-binary", peer.split("==")[0], "--dest", str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", *sdist, peer],
            capture_output=True,
            check=False,
            timeout=120,
        )
        if done.returncode and not list(folder.glob("*.tar.gz")):
            pytest.skip(f"no registry gives {peer}: {done.stderr.decode()[-200:]}")
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    return sorted(
        path
        for path in folder.rglob("*")
        if "tests" in path.parts and path.suffix in {".singer", ".json"} and path.is_file()
    )


@pytest.mark.heavy
def test_files_load_where_they_are_meant_to(pg: Loader, files: list[Path]) -> None:
    assert files
    loaded = 0
    for file in files:
        text = file.read_text(encoding="utf-8")
        if '"RECORD"' not in text and '"SCHEMA"' not in text:
            continue  # a configuration
        pg.rows("DROP SCHEMA IF EXISTS hubspot CASCADE")
        expected = REFUSED.get(file.name)
        if expected is not None:
            with pytest.raises(expected):
                pg.load(text.rstrip("\n"))
            continue
        pg.load(text.rstrip("\n"))
        loaded += 1
    assert loaded > 10
