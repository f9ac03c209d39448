"""Trying rejected records again: it takes nothing from what is there, and loses no record."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect
from harness.loading import until
from target_deals_postgres import rejected
from target_deals_postgres.storing import replays

if TYPE_CHECKING:
    from pathlib import Path

    from harness.loading import Start
    from target.conftest import Loader

KEYS = ["_tenant_id", "id"]
AGAIN: dict[str, Any] = {"replay_rejected_records": True, "max_rejected_records": -1}
LONG = "too long"


def one(id_: Any, v: Any, tenant: str = "a") -> dict[str, Any]:
    return {"_tenant_id": tenant, "id": id_, "v": v}


@pytest.fixture
def schema(pg: Loader) -> Any:
    """A stream whose table refuses some values, by a constraint that people may drop."""
    schema = pg.schema("t", {"_tenant_id": "string", "id": "integer", "v": "string"}, KEYS)
    pg.load(schema)
    refuse(pg, "length(v) < 5")
    return schema


def refuse(pg: Loader, unless: str) -> None:
    pg.rows("ALTER TABLE hubspot.t DROP CONSTRAINT IF EXISTS odd")
    pg.rows(f"ALTER TABLE hubspot.t ADD CONSTRAINT odd CHECK ({unless})")


def listed(pg: Loader) -> list[Any]:
    return pg.rows(
        "SELECT payload::jsonb->>'v', overtaken FROM hubspot._rejected_records ORDER BY id"
    )


def rows(pg: Loader) -> list[Any]:
    return pg.rows("SELECT _tenant_id, id, v FROM hubspot.t ORDER BY 1, 2")


def waiting(pg: Loader) -> int:
    [(count,)] = pg.rows(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return int(count)


def test_rows_of_tenants_that_the_run_does_not_read_stay(pg: Loader, schema: Any) -> None:
    for tenant in "ab":
        pg.load(schema, pg.records("t", one(1, "x", tenant), version=1), pg.activate("t", 1))
    pg.load(schema, pg.records("t", one(2, LONG, "b"), version=1), max_rejected_records=-1)
    refuse(pg, "true")

    second = pg.records("t", one(1, "y"), version=2)
    pg.load(schema, second, pg.activate("t", 2), hard_delete=True, **AGAIN)

    assert rows(pg) == [("a", 1, "y"), ("b", 1, "x"), ("b", 2, LONG)]


def test_a_version_that_leads_its_records_deletes_nothing_because_of_older_ones(
    pg: Loader, schema: Any
) -> None:
    pg.load(schema, pg.records("t", one(1, "x"), version=1), pg.activate("t", 1))
    pg.load(schema, pg.records("t", one(2, LONG), version=2), max_rejected_records=-1)
    refuse(pg, "true")

    pg.load(schema, pg.activate("t", 2), hard_delete=True, **AGAIN)  # and the tap is killed

    assert rows(pg) == [("a", 1, "x"), ("a", 2, LONG)]


def test_a_record_without_a_version_keeps_no_version_from_being_active(
    pg: Loader, schema: Any
) -> None:
    pg.load(schema, pg.records("t", one(1, "x"), one(2, LONG)), max_rejected_records=-1)

    again = pg.records("t", one(3, "y"), version=2)
    pg.load(schema, again, pg.activate("t", 2), hard_delete=True, **AGAIN)

    assert rows(pg) == [("a", 3, "y")]


def test_a_full_read_overtakes_what_was_rejected_before_it(pg: Loader, schema: Any) -> None:
    for tenant in "ab":
        pg.load(schema, pg.records("t", one(1, LONG, tenant), version=1), max_rejected_records=-1)
    pg.load(schema, pg.records("t", one(2, f"{LONG}!"), version=2), max_rejected_records=-1)
    pg.load(schema, pg.records("t", one(3, "x"), version=2), pg.activate("t", 2))
    assert [was for _, was in listed(pg)] == [None] * 3  # not all of the version is there

    pg.load(schema, pg.records("t", one(3, "x"), version=3), pg.activate("t", 3))
    refuse(pg, "true")
    pg.load(schema, **AGAIN)

    assert rows(pg) == [("a", 3, "x"), ("b", 1, LONG)]  # of a the source has no others
    assert listed(pg) == [(LONG, True), (f"{LONG}!", True)]


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(("page", "batch"), [(1, 1000), (1000, 1)])
def test_what_is_tried_in_vain_keeps_its_place_and_its_age(
    pg: Loader,
    schema: Any,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    batch: int,
    *,
    lenient: bool,
) -> None:
    monkeypatch.setattr(replays, "PAGE", page)
    # PostgreSQL refuses some, the target others.
    bad = [one(1, LONG), one("x", "?"), one(2, {"a": 1}), one(3, LONG)]
    pg.load(schema, pg.records("t", *bad), max_rejected_records=-1)
    pg.rows("UPDATE hubspot._rejected_records SET rejected_at = now() - interval '9 days'")
    before = pg.rows("SELECT id, payload, rejected_at FROM hubspot._rejected_records ORDER BY id")

    pg.load(schema, lenient_values=lenient, batch_size_rows=batch, **AGAIN)

    now = pg.rows("SELECT id, payload, rejected_at FROM hubspot._rejected_records ORDER BY id")
    assert now == before
    nulled = pg.rows("SELECT nulled FROM hubspot._rejected_records WHERE nulled IS NOT NULL")
    assert nulled == ([(["v"],)] if lenient else [])
    pg.load(schema, rejected_records_days=8)
    assert listed(pg) == []


@pytest.mark.parametrize(("page", "batch"), [(1, 1000), (1000, 1), (1000, 1000)])
def test_of_two_rejected_versions_of_a_key_the_newer_one_wins_whenever_it_fits(
    pg: Loader, schema: Any, monkeypatch: pytest.MonkeyPatch, page: int, batch: int
) -> None:
    monkeypatch.setattr(replays, "PAGE", page)
    refuse(pg, "length(v) < 2")
    old, new = ("old", "newer"), ("newer", "old")
    bad = [one(id_, v) for id_, both in enumerate((old, new)) for v in both]
    pg.load(schema, pg.records("t", *bad), max_rejected_records=-1)

    refuse(pg, "length(v) < 4")  # `newer` must wait
    pg.load(schema, batch_size_rows=batch, **AGAIN)
    assert rows(pg) == [("a", 0, "old"), ("a", 1, "old")]
    assert [v for v, was in listed(pg) if was is None] == ["newer"]

    refuse(pg, "true")
    pg.load(schema, batch_size_rows=batch, **AGAIN)
    assert rows(pg) == [("a", 0, "newer"), ("a", 1, "old")]


def test_a_replay_waits_for_whoever_stores_a_later_record(
    pg: Loader, schema: Any, start: Start
) -> None:
    pg.load(schema, pg.records("t", one(1, "x"), one(1, LONG)), max_rejected_records=-1)
    refuse(pg, "true")

    with connect(pg.url) as opened, opened.cursor() as cursor:
        opened.autocommit = False
        cursor.execute("SELECT FROM hubspot.t FOR UPDATE")
        later = start(pg.url, lock_timeout_seconds=300)
        later.send(schema, *pg.records("t", one(1, "last")))
        until(lambda: waiting(pg) == 1)
        again = start(pg.url, lock_timeout_seconds=300, **AGAIN)
        again.send(schema)
        until(lambda: waiting(pg) == 2)
        opened.rollback()
        assert (later.end(), again.end()) == (0, 0)

    assert rows(pg) == [("a", 1, "last")]
    assert listed(pg) == [(LONG, True)]


def test_a_payload_that_somebody_spoilt_is_told(pg: Loader, schema: Any) -> None:
    pg.load(schema, pg.records("t", one(1, LONG)), max_rejected_records=-1)
    pg.rows("UPDATE hubspot._rejected_records SET payload = '{'")

    pg.load(schema, **AGAIN)

    assert pg.rows("SELECT reason FROM hubspot._rejected_records") == [("the payload is no JSON",)]


def command(folder: Path, config: dict[str, Any], *arguments: str) -> tuple[int, str]:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    program = [sys.executable, "-m", "target_deals_postgres.rejected", "--config", str(file)]
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_command_reads_a_catalog_as_taps_of_databases_write_it(
    pg: Loader, tmp_path: Path
) -> None:
    properties = {"id": "integer", "v": "integer"}
    for stream in ("public-users", "gone"):
        schema = pg.schema(stream, properties, ["id"])
        pg.load(schema, pg.records(stream, {"id": 1, "v": "text"}), max_rejected_records=-1)
    spec = {"type": ["null", "string"]}
    entry = {
        "tap_stream_id": "crm-public-users",
        "stream": "users",
        "schema": {"properties": {"id": {"type": "integer"}, "v": spec, "left_out": spec}},
        "metadata": [
            {
                "breadcrumb": [],
                "metadata": {"schema-name": "public", "table-key-properties": ["id"]},
            },
            {"breadcrumb": ["properties", "left_out"], "metadata": {"selected": False}},
        ],
    }
    other = {**entry, "tap_stream_id": "crm-public-other", "stream": "other"}
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps({"streams": [entry, other]}))

    code, said = command(tmp_path, {"database_url": pg.url}, "replay", "--catalog", str(file))

    assert code == 0
    assert "gone: 1 are not tried again: the catalog has no such stream" in said
    assert "1 rejected records were tried again; 0 stay on the list" in said
    assert pg.rows('SELECT * FROM hubspot."public-users"') == [(1, None, "text")]
    assert pg.rows("SELECT stream FROM hubspot._rejected_records") == [("gone",)]
    tables = pg.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%other%'")
    assert tables == []


@pytest.mark.parametrize(
    ("config", "catalog", "sentence"),
    [
        ({}, "{", "catalog.json cannot be read as JSON"),
        ({}, "[]", "catalog.json holds no JSON object"),
        ({}, "{}", "catalog.json is no catalog"),
        ({}, '{"streams": [{"stream": "t"}]}', "catalog.json is no catalog"),
        ({"port": 5}, "{}", "database_url and port: set one or the other"),
        (
            {"stream_maps": {"t": {}}},
            '{"streams": []}',
            "hubspot._rejected_records has nothing to try again",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    pg: Loader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: dict[str, Any],
    catalog: str,
    sentence: str,
) -> None:
    files = {"config.json": json.dumps({"database_url": pg.url, **config}), "catalog.json": catalog}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    words = ["--config", "config.json", "replay", "--catalog", "catalog.json"]
    monkeypatch.setattr(sys, "argv", ["target-deals-postgres-rejected", *words])
    try:
        rejected.main()
    except SystemExit as ended:
        said = str(ended)
    else:
        said = capsys.readouterr().out
    assert sentence in said


def test_nothing_is_forgotten_in_a_dry_run(pg: Loader, schema: Any, tmp_path: Path) -> None:
    pg.load(schema, pg.records("t", one(1, LONG)), max_rejected_records=-1)
    config = {"database_url": pg.url, "dry_run": True}

    code, said = command(tmp_path, config, "forget", "--tenant", "a")

    assert (code, said) == (0, "1 rejected records would be off the list\n")
    assert len(listed(pg)) == 1


@pytest.mark.parametrize("action", [["forget", "--tenant", "a"], ["replay", "--catalog"]])
def test_a_signal_ends_a_command_that_waits_for_a_lock(
    pg: Loader, schema: Any, tmp_path: Path, action: list[str]
) -> None:
    pg.load(schema, pg.records("t", one(1, LONG)), max_rejected_records=-1)
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps({"database_url": pg.url, "lock_timeout_seconds": 300}))
    catalog.write_text('{"streams": []}')
    if action[-1] == "--catalog":
        action = [*action, str(catalog)]
    program = [sys.executable, "-m", "target_deals_postgres.rejected", "--config", str(config)]
    with connect(pg.url) as opened, opened.cursor() as cursor:
        opened.autocommit = False
        cursor.execute("LOCK TABLE hubspot._rejected_records IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen([*program, *action], stderr=subprocess.PIPE, text=True) as process:
            until(lambda: waiting(pg) == 1)
            process.terminate()
            _, said = process.communicate()
    assert process.returncode == 143
    assert "nothing is changed" in said
