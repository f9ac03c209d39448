"""A scan, of which no state tells what it should have, is compared with HubSpot by its times."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.singer import config_for, signals_kept
from hubspot_simulator.instants import iso
from hubspot_verify.command import main

from .conftest import World, load
from .test_underneath import Life

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "scans"
Verify = Callable[..., tuple[Any, dict[str, Any]]]
Named = set[tuple[str, str, str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def scan(world: World) -> Iterator[tuple[World, str]]:
    """A scan of the portal in a schema of its own, and when it began; rows are never committed."""
    settings = {**world.settings, "scan_id": "one", "nest_properties": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TARGET_DEALS_POSTGRES_DEFAULT_TARGET_SCHEMA", SCHEMA)
        one = World(world.hubspot, world.url, world.db, settings)
        began = iso(world.portal.clock.now_ms())
        load(world.url, one.read())
    yield one, began
    with world.db.cursor() as cur:
        cur.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
    world.db.commit()
    world.run()


@pytest.fixture
def verify(
    scan: tuple[World, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Verify]:
    """Runs the command in this process; gives its exit code and its report."""
    world, began = scan

    def run(*arguments: str, since: str | None = began, **tap: Any) -> tuple[Any, dict[str, Any]]:
        config = config_for(world.hubspot, **{**world.settings, **tap})
        contents = {
            "tap-config": config,
            "target-config": {"database_url": world.url, "default_target_schema": SCHEMA},
            "state": {},
        }
        found = ["hubspot-verify", "--report", str(tmp_path / "report.json")]
        for name, content in contents.items():
            (tmp_path / name).write_text(json.dumps(content))
            found += [f"--{name}", str(tmp_path / name)]
        found += ["--since", since] if since else []
        monkeypatch.setattr(sys, "argv", [*found, *arguments])
        with signals_kept(), pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, json.loads((tmp_path / "report.json").read_text())

    yield run
    world.db.rollback()


def named(report: dict[str, Any]) -> Named:
    """The differences: in what, of which kind, of which record, in which properties."""
    return {
        (part["name"], one["kind"], one["id"], tuple(sorted(one.get("properties", ()))))
        for part in report["findings"]
        for one in part["named"]
    }


def test_a_whole_scan_is_equal(verify: Verify) -> None:
    code, report = verify()

    assert (code, named(report)) == (0, set())
    for part in report["findings"]:
        assert part["in_hubspot"] == part["in_tables"] > 0
        assert part["digest_hubspot"] == part["digest_tables"]
        assert (part["verdict"], part["behind"]) == ("equal", 0)
    pairs = {part["name"]: part["pair"] for part in report["findings"]}
    assert (pairs["deals"], pairs["deals_contacts"]) == (None, ["deals", "contacts"])


def test_what_the_scan_lacks_and_what_was_changed_in_it_is_named(
    scan: tuple[World, str], verify: Verify
) -> None:
    url = scan[0].url
    with psycopg2.connect(url) as db, db.cursor() as cur:
        cur.execute(
            f"SELECT id FROM {SCHEMA}.deals WHERE updated_at < now() - interval '1 hour' "
            "AND associations -> 'contacts' -> 0 IS NOT NULL ORDER BY id"
        )
        lost, changed, old, linked = [i for (i,) in cur.fetchall()][:4]
        cur.execute(f"CREATE TABLE {SCHEMA}.kept AS SELECT * FROM {SCHEMA}.deals")
        cur.execute(f"CREATE TABLE {SCHEMA}.links AS SELECT * FROM {SCHEMA}.associations")
        cur.execute(f"DELETE FROM {SCHEMA}.deals WHERE id = %s", (lost,))
        value = "jsonb_set(properties, '{dealname}', '\"other\"')"
        cur.execute(f"UPDATE {SCHEMA}.deals SET properties = {value} WHERE id = %s", (changed,))
        value = "jsonb_set(properties, '{hs_lastmodifieddate}', '\"2020-01-01T00:00:00Z\"')"
        cur.execute(
            f"UPDATE {SCHEMA}.deals SET updated_at = '2020-01-01', properties = {value} "
            "WHERE id = %s",
            (old,),
        )
        cur.execute(
            f"INSERT INTO {SCHEMA}.deals (_tenant_id, _scan_id, id, read_at) "
            "VALUES ('acme', 'one', 'no-id', now())"
        )
        cur.execute(
            f"DELETE FROM {SCHEMA}.associations WHERE from_id = %s AND to_object_type = 'contacts'",
            (linked,),
        )
        unlinked = cur.rowcount
    code, report = verify()
    with psycopg2.connect(url) as db, db.cursor() as cur:
        for table, kept in (("deals", "kept"), ("associations", "links")):
            cur.execute(f"TRUNCATE {SCHEMA}.{table}")
            cur.execute(f"INSERT INTO {SCHEMA}.{table} SELECT * FROM {SCHEMA}.{kept}")
            cur.execute(f"DROP TABLE {SCHEMA}.{kept}")

    assert code == 1
    assert named(report) == {
        ("deals", "missing", lost, ()),
        ("deals", "altered", changed, ("dealname",)),
        ("deals", "stale", old, ("hs_lastmodifieddate", "updated_at")),
        ("deals", "extra", "no-id", ()),
        ("deals_contacts", "missing", linked, ()),
    }
    pairs = {part["name"]: part for part in report["findings"]}
    assert pairs["deals_contacts"]["missing"] == unlinked


def test_a_scan_is_neither_repaired_nor_compared_without_its_beginning(verify: Verify) -> None:
    for code, report in (verify("--repair"), verify(since=None), verify(scan_id=None)):
        assert code == 3
        assert (report["code"], report["retryable"]) == ("settings_invalid", False)


def test_what_happens_in_hubspot_afterwards_is_behind(
    scan: tuple[World, str], verify: Verify
) -> None:
    life = Life(scan[0].portal, Random(5))
    for happen in (
        life.change, life.create, life.archive, life.delete, life.merge, life.link, life.unlink,
        life.change_contact,
    ):  # fmt: skip
        happen()
    code, report = verify()

    assert (code, named(report)) == (0, set())
    behind = {part["name"]: part["behind"] for part in report["findings"]}
    # Two were merged, and their successor is new; one each was changed, made, archived, deleted.
    assert behind["deals"] >= 7
    assert behind["contacts"] == 1
    assert behind["deals_contacts"] >= 2
