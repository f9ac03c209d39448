"""Tables of other targets are taken over: by their own definitions, and heavy, by themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from harness.beside import installed
from harness.meltano import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader, Message

PEERS = {
    "meltanolabs": "meltanolabs-target-postgres==0.8.1",
    "pipelinewise": "pipelinewise-target-postgres==2.1.2",
}
# As the two made them for PROPERTIES, with one row.
DEFINITIONS = {
    "meltanolabs": """
        CREATE SCHEMA hubspot; CREATE TABLE hubspot.deals (
            id bigint PRIMARY KEY, name text, amount numeric, at timestamp, day date, t time,
            ok boolean, o jsonb, l text[], _sdc_extracted_at timestamp, _sdc_received_at timestamp,
            _sdc_batched_at timestamp, _sdc_deleted_at timestamp, _sdc_sequence bigint,
            _sdc_table_version bigint, _sdc_sync_started_at bigint);
        INSERT INTO hubspot.deals (id, name, amount, at, day, t, ok, o, l, _sdc_table_version)
        SELECT id, 'first', 1.5, '2026-01-01', '2026-01-31', '08:00:15', true, '{"x": "y"}',
            '{a,b}', 1 FROM generate_series(1, 3) AS id""",
    "pipelinewise": """
        CREATE SCHEMA hubspot; CREATE TABLE hubspot.deals (
            _sdc_batched_at timestamp, _sdc_deleted_at varchar, _sdc_extracted_at timestamp,
            amount double precision, at timestamp, day varchar, id numeric PRIMARY KEY, l jsonb,
            name varchar, o jsonb, ok boolean, t time);
        INSERT INTO hubspot.deals (id, name, amount, at, day, t, ok, o, l)
        SELECT id, 'first', 1.5, '2026-01-01', '2026-01-31', '08:00:15', true, '{"x": "y"}',
            '["a", "b"]' FROM generate_series(1, 3) AS id""",
}
PROPERTIES: dict[str, Any] = {
    "id": {"type": ["integer"]},
    "name": {"type": ["string", "null"]},
    "amount": {"type": ["number", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "day": {"type": ["string", "null"], "format": "date"},
    "t": {"type": ["string", "null"], "format": "time"},
    "ok": {"type": ["boolean", "null"]},
    "o": {"type": ["object", "null"], "properties": {"x": {"type": "string"}}},
    "l": {"type": ["array", "null"], "items": {"type": "string"}},
}
VALUES = {
    "amount": 1.5,
    "at": "2026-01-01T00:00:00Z",
    "day": "2026-01-31",
    "t": "08:00:15",
    "ok": True,
    "o": {"x": "y"},
    "l": ["a", "b"],
}


def messages(pg: Loader, version: int, *rows: tuple[int, str]) -> list[Message]:
    records = [{"id": id_, "name": name, **VALUES} for id_, name in rows]
    return [
        pg.schema("deals", PROPERTIES, ["id"]),
        *pg.records("deals", *records, version=version),
        pg.activate("deals", version),
    ]


def lines(given: list[Message]) -> bytes:
    return "".join(f"{json.dumps(one)}\n" for one in given).encode()


def parts_of(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return {
        "host": query.get("host", [parts.hostname])[0],
        "port": int(query.get("port", [parts.port or 5432])[0]),
        "user": "postgres",
        "password": "x",
        "dbname": parts.path[1:],
    }


def take_over(pg: Loader, folder: Path) -> None:
    """Do what the page says, and look at the rows."""
    page = (ROOT / "docs/migrating.md").read_text()
    [given] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    [command] = re.findall(r"```shell\n(.*?)```", page, re.DOTALL)
    program, *arguments = command.split("<")[0].split()
    settings = {**json.loads(given), **parts_of(pg.url)}
    before = pg.rows("SELECT to_jsonb(d)::text FROM hubspot.deals AS d ORDER BY id")
    changed = messages(pg, 2, (1, "second"), (2, "second"))
    (folder / "deals.singer").write_bytes(lines(changed))
    for dry in (True, False):
        (folder / "target.json").write_text(json.dumps({**settings, "dry_run": dry}))
        with (folder / "deals.singer").open("rb") as given_lines:
            done = subprocess.run(
                [f"{sys.exec_prefix}/bin/{program}", *arguments],
                stdin=given_lines,
                capture_output=True,
                cwd=folder,
                check=False,
            )
        assert done.returncode == 0, done.stderr.decode()
        if dry:
            now = pg.rows("SELECT to_jsonb(d)::text FROM hubspot.deals AS d ORDER BY id")
            assert now == before
    assert pg.rows(
        "SELECT id::int, name, amount, at, day::text, t::text, ok, o, to_jsonb(l) "
        "FROM hubspot.deals WHERE _sdc_deleted_at IS NULL ORDER BY id"
    ) == pg.rows(
        "SELECT id, 'second', 1.5, timestamptz '2026-01-01Z', '2026-01-31', '08:00:15', true, "
        """jsonb '{"x": "y"}', jsonb '["a", "b"]' FROM generate_series(1, 2) AS id"""
    )
    assert pg.rows("SELECT id::int, name FROM hubspot.deals WHERE _sdc_deleted_at IS NOT NULL") == [
        (3, "first")
    ]
    found = {name.partition("__")[0] for name in pg.types("deals")}
    assert found == set(pg.types("deals")), "a property got a second column"
    pg.load(messages(pg, 3, (1, "third")), hard_delete=True)
    assert pg.rows("SELECT id::int, name FROM hubspot.deals") == [(1, "third")]


@pytest.mark.every_version
@pytest.mark.parametrize("peer", PEERS)
def test_tables_of_other_targets_are_taken_over(pg: Loader, tmp_path: Path, peer: str) -> None:
    pg.rows(DEFINITIONS[peer])
    take_over(pg, tmp_path)


@pytest.mark.parametrize("peer", PEERS)
def test_a_table_that_is_called_without_the_prefix_is_found_by_its_alias(
    pg: Loader, peer: str
) -> None:
    pg.rows(DEFINITIONS[peer].replace("hubspot.deals", "hubspot.users"))
    page = (ROOT / "docs/migrating.md").read_text()
    [maps] = re.findall(r'"stream_maps": (\{.*?\}\})`', page)
    sent = [json.loads(line) for line in lines(messages(pg, 2, (1, "second"))).splitlines()]

    pg.load(*({**one, "stream": "public-users"} for one in sent), stream_maps=json.loads(maps))

    found = pg.rows("SELECT id::int, name FROM hubspot.users WHERE _sdc_deleted_at IS NULL")
    assert found == [(1, "second")]
    assert pg.rows("SELECT to_regclass('hubspot.\"public-users\"')") == [(None,)]


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("peer", PEERS)
def test_tables_that_the_peers_made_now_are_taken_over(
    pg: Loader, tmp_path: Path, peer: str
) -> None:
    program = installed(tmp_path, PEERS[peer]) / "target-postgres"
    config = parts_of(pg.url) | {"default_target_schema": "hubspot"}
    if peer == "meltanolabs":
        parts = urlsplit(pg.url)
        config["sqlalchemy_url"] = f"postgresql+psycopg://{parts.netloc}{parts.path}?{parts.query}"
    else:
        config["add_metadata_columns"] = True
    (tmp_path / "peer.json").write_text(json.dumps(config))
    done = subprocess.run(
        [program, "--config", tmp_path / "peer.json"],
        input=lines(messages(pg, 1, (1, "first"), (2, "first"), (3, "first"))),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    take_over(pg, tmp_path)


@pytest.mark.parametrize("type_", ["text[]", "json", "point"])
def test_a_column_of_a_type_that_cannot_be_compared_is_emptied_by_a_value_beside_it(
    pg: Loader, type_: str
) -> None:
    value = {"json": "{}", "point": "(1,2)", "text[]": "{a}"}[type_]
    pg.rows(f"CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id bigint PRIMARY KEY, v {type_})")
    pg.rows(f"INSERT INTO hubspot.t SELECT id, '{value}' FROM generate_series(1, 2) AS id")
    pg.rows("CREATE VIEW hubspot.seen AS SELECT v FROM hubspot.t")  # the type cannot change
    schema = pg.schema("t", {"id": "integer", "v": "boolean"}, ["id"])
    for size in (1, 1000):  # merged alone, and together with another one
        pg.load(
            schema,
            pg.records("t", {"id": 1, "v": True}, {"id": 2}),
            pg.records("t", {"id": 3, "v": False}),
            batch_size_rows=size,
        )
        assert pg.rows("SELECT id, v::text, v__boolean FROM hubspot.t ORDER BY id") == [
            (1, None, True),
            (2, value, None),
            (3, None, False),
        ]
    assert "1 unchanged" in pg.log
