"""Migrations: applied once, and never in another form than this version's files have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from scan_service.commands import cli
from scan_service.ledger.migrations import migrate, pending
from service_base.migrations import MigrationChangedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.kit import Ledger

ONE = "0011_retention.sql"


@pytest.fixture
def changed(ledger: Ledger) -> Iterator[SecretStr]:
    """A database that was migrated with another text of one file."""
    ((checksum,),) = ledger.run("select checksum from migration where name = %s", ONE)
    ledger.run("update migration set checksum = 'another' where name = %s", ONE)
    yield SecretStr(ledger.url)
    ledger.run("update migration set checksum = %s where name = %s", checksum, ONE)


def test_a_migration_that_differs_from_what_was_applied_is_refused_by_name(
    changed: SecretStr,
) -> None:
    for act in (migrate, pending):
        with pytest.raises(MigrationChangedError, match=f"^{ONE}: "):
            asyncio.run(act(changed))


@pytest.mark.parametrize("command", ["migrate", "serve", "work", "check"])
def test_each_command_says_so(
    command: str,
    changed: SecretStr,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in ("boot", "work"):
        monkeypatch.setattr(f"scan_service.commands.{module}.keep_private", lambda: None)
    monkeypatch.setenv("DATABASE_URL", changed.get_secret_value())
    monkeypatch.setenv("SCAN_SERVICE_SECRET_KEYS", "M" * 43 + "=")
    monkeypatch.setenv("SCAN_SERVICE_HUBSPOT_BASE_URL", "http://127.0.0.1:1")

    with pytest.raises(SystemExit) as ended:
        cli.main([command])

    assert ended.value.code == 1
    told = capsys.readouterr()
    assert f"{ONE}: the database was migrated with other contents" in told.out + told.err


def test_what_was_applied_before_there_were_checksums_gets_one(ledger: Ledger) -> None:
    url = SecretStr(ledger.url)
    before = ledger.run("select name, checksum from migration order by name")
    ledger.run("alter table migration drop column checksum")

    assert asyncio.run(pending(url)) == []
    assert asyncio.run(migrate(url)) == []
    assert ledger.run("select name, checksum from migration order by name") == before
    own = [name for name, checksum in before if checksum is not None]
    assert own == [name for name, _ in before if name.endswith(".sql") and "/" not in name]
