"""Rejected records: tried again when the cause is gone, forgotten by age and with their tenant."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

KEYS = ["_tenant_id", "id"]
AGAIN: dict[str, Any] = {"replay_rejected_records": True, "max_rejected_records": -1}


def one(id_: Any, v: str, tenant: str = "a") -> dict[str, Any]:
    return {"_tenant_id": tenant, "id": id_, "v": v}


@pytest.fixture
def schema(pg: Loader) -> Any:
    """A stream whose table refuses some values, by a constraint that people may drop."""
    schema = pg.schema("t", {"_tenant_id": "string", "id": "integer", "v": "string"}, KEYS)
    pg.load(schema)
    pg.rows("ALTER TABLE hubspot.t ADD CONSTRAINT short CHECK (length(v) < 5)")
    return schema


def listed(pg: Loader) -> list[Any]:
    return pg.rows("SELECT record_key, overtaken FROM hubspot._rejected_records ORDER BY id")


def rows(pg: Loader) -> list[Any]:
    return pg.rows("SELECT id, v FROM hubspot.t ORDER BY 1")


@pytest.mark.parametrize("batch", [1, 100])
def test_rejected_records_are_tried_again_where_no_later_one_was_stored(
    pg: Loader, schema: Any, batch: int
) -> None:
    long = [one(1, "too long"), one(2, "too long"), one("x", "?"), one(3, "too long")]
    pg.load(schema, pg.records("t", *long), max_rejected_records=-1, batch_size_rows=batch)
    pg.load(schema, pg.records("t", one(2, "new")))
    pg.load(schema, **AGAIN)  # the cause is still there
    assert rows(pg) == [(2, "new")]
    assert len(listed(pg)) == 4
    pg.rows("ALTER TABLE hubspot.t DROP CONSTRAINT short")
    pg.load(schema, pg.records("t", one(3, "last")), batch_size_rows=batch, **AGAIN)
    assert rows(pg) == [(1, "too long"), (2, "new"), (3, "last")]
    assert {json.loads(key)["id"]: was for key, was in listed(pg)} == {"2": True, "x": None}
    pg.load(schema, **AGAIN)
    assert rows(pg) == [(1, "too long"), (2, "new"), (3, "last")]


def test_keys_of_listed_records_are_the_same_where_postgresql_says_so(pg: Loader) -> None:
    moment, time, uuid = (
        {"type": "string", "format": one} for one in ("date-time", "time", "uuid")
    )
    number, text = {"type": "number"}, {"type": "string"}
    same: list[tuple[Any, Any, Any]] = [
        (moment, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"),
        (time, "8:00:15", "08:00:15.000"),
        (uuid, "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (number, 1.0, 1),
        ({"type": "object"}, {"a": 1, "b": [1.0]}, {"b": [1], "a": 1.0}),
        ({"type": ["string", "integer"]}, 1, "1"),
        ({"type": "boolean"}, True, True),
    ]
    others: list[tuple[Any, Any, Any]] = [
        (number, 10**30 + 1, 10**30 + 2),
        ({"type": "array"}, ["1"], [1]),
        (text, "abc", "ABC"),
        (text, "1", "1.0"),
    ]
    streams = {f"t{at}": one for at, one in enumerate([*same, *others])}

    def load(type_: str, which: int, n: Any, **settings: Any) -> None:
        pg.load(
            *[
                message
                for name, one in streams.items()
                for message in (
                    pg.schema(name, {"id": one[0], "n": type_}, ["id"]),
                    pg.records(name, *[{"id": one[which], "n": n}] if which else []),
                )
            ],
            **settings,
        )

    load("integer", 1, "text", max_rejected_records=-1)
    load("integer", 2, 2)
    load("string", 0, None, **AGAIN)
    for at, name in enumerate(streams):
        found = pg.rows(f"SELECT n, n__text FROM hubspot.{name} ORDER BY n")
        assert found == [(2, None), (None, "text")][: 1 + (at >= len(same))], streams[name]
    assert [was for _, was in listed(pg)] == [True] * len(same)


def test_a_tenant_is_forgotten_where_nothing_was_ever_loaded(pg: Loader, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"database_url": pg.url}))
    command = [sys.executable, "-m", "target_deals_postgres.rejected", "--config", str(config)]
    done = subprocess.run(
        [*command, "forget", "--tenant", "a"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 rejected records are off the list\n"


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_record_that_comes_last_is_tried_again_whatever_was_stored_before(
    pg: Loader, batch: int, *, lenient: bool
) -> None:
    # The target finds 5, PostgreSQL the last day of February.
    date, bad = {"type": ["string", "null"], "format": "date"}, ("2026-02-30", 5)
    stream: list[Any] = []
    for kind, keys in (("integer", [1, 1]), ("number", [1, 1.0])):
        name = kind[0]
        stream.append(pg.schema(name, {"id": kind, "d": date, "v": "string"}, ["id"]))
        for at, wrong in enumerate(bad):
            first, second = (10 * at + one for one in keys)
            good: dict[str, Any] = {"id": first, "d": "2026-01-01"}
            last: dict[str, Any] = {"id": second, "d": wrong, "v": "last"}
            stream += pg.records(name, good, last)
            stream += pg.records(name, *({**one, "id": one["id"] + 1} for one in (last, good)))
    pg.load(*stream, batch_size_rows=batch, max_rejected_records=-1, lenient_values=lenient)
    loose = {"d": {"type": ["string", "integer"]}, "v": "string"}
    again = [pg.schema(kind[0], {"id": kind, **loose}, ["id"]) for kind in ("integer", "number")]
    pg.load(*again, **AGAIN)
    for name in "in":
        assert pg.rows(f"SELECT id, d::text, d__text FROM hubspot.{name} ORDER BY id") == [
            (1, None, "2026-02-30"),
            (2, "2026-01-01", None),
            (11, None, "5"),
            (12, "2026-01-01", None),
        ]


def test_all_listed_spellings_of_a_key_are_overtaken(pg: Loader, schema: Any) -> None:
    # The target lists the key as it came, PostgreSQL's refusals have its text.
    wrong = {**one(1, "x"), "v": 5}
    pg.load(schema, pg.records("t", wrong, one(1, "too long")), max_rejected_records=-1)
    pg.load(schema, pg.records("t", one(1, "new")))
    assert [was for _, was in listed(pg)] == [True, True]


def test_a_number_that_is_none_is_tried_again_as_it_came(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "n": "number", "v": "integer"}, ["id"]),
        '{"type": "RECORD", "stream": "t", "record": {"id": 1, "n": NaN, "v": "text"}}',
        max_rejected_records=-1,
    )
    pg.load(pg.schema("t", {"id": "integer", "n": "number", "v": "string"}, ["id"]), **AGAIN)
    assert pg.rows("SELECT n::text, v__text FROM hubspot.t") == [("NaN", "text")]


def test_a_command_tries_again_without_the_source(pg: Loader, schema: Any, tmp_path: Path) -> None:
    pg.load(
        schema,
        pg.records("t", one(1, "too long"), one(2, "too long", "b"), one(3, "x")),
        max_rejected_records=-1,
    )
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps({"database_url": pg.url}))
    entry = {"tap_stream_id": "t", "schema": schema["schema"], "key_properties": KEYS}
    catalog.write_text(json.dumps({"streams": [entry]}))

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "target_deals_postgres.rejected", "--config", str(config)]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    assert command("forget", "--tenant", "b").stdout == "1 rejected records are off the list\n"
    refused = command("replay", "--catalog", str(catalog))
    assert refused.returncode == 1
    assert "1 records were rejected" in refused.stderr
    pg.rows("ALTER TABLE hubspot.t DROP CONSTRAINT short")
    assert command("replay", "--catalog", str(catalog)).returncode == 0
    assert rows(pg) == [(1, "too long"), (3, "x")]
    assert listed(pg) == []


def test_rejected_records_age_out_where_that_is_wanted(pg: Loader, schema: Any) -> None:
    pg.load(schema, pg.records("t", one(1, "too long")), max_rejected_records=-1)
    pg.rows("UPDATE hubspot._rejected_records SET rejected_at = now() - interval '9 days'")
    pg.load(schema, rejected_records_days=10)
    assert len(listed(pg)) == 1
    pg.load(schema, rejected_records_days=8)
    assert listed(pg) == []


def test_a_list_of_an_older_version_is_extended(pg: Loader, schema: Any) -> None:
    pg.rows(
        "ALTER TABLE hubspot._rejected_records DROP COLUMN version, DROP COLUMN overtaken, "
        "DROP COLUMN id"
    )
    pg.load(schema, pg.records("t", one(1, "too long")), max_rejected_records=-1)
    pg.rows("ALTER TABLE hubspot.t DROP CONSTRAINT short")
    pg.load(schema, **AGAIN)
    assert rows(pg) == [(1, "too long")]


def test_a_record_that_postgresql_refused_is_tried_again_with_all_it_had(pg: Loader) -> None:
    date = {"type": ["string", "null"], "format": "date"}
    pg.load(pg.schema("t", {"id": "integer", "d": date, "n": "string"}, ["id"]))
    record = {"id": 1, "d": "2026-02-30", "n": 1.50, "x": {"y": "ü\n"}, "z": None}
    ways: list[dict[str, Any]] = [{}, {"stream_maps": {"t": {}}}]
    for more in ways:
        pg.load(
            pg.schema("t", {"id": "integer", "d": date, "n": "number"}, ["id"]),
            pg.records("t", record),
            max_rejected_records=-1,
            **more,
        )
    for (payload,) in pg.rows("SELECT payload FROM hubspot._rejected_records"):
        assert json.loads(payload) == record
    pg.load(pg.schema("t", {"id": "integer", "d": "string", "n": "number"}, ["id"]), **AGAIN)
    assert pg.rows("SELECT id, d__text, n, _extra FROM hubspot.t") == [
        (1, "2026-02-30", "1.5", {"x": {"y": "ü\n"}, "z": None})
    ]


def test_records_that_were_mapped_are_not_tried_again(pg: Loader) -> None:
    with pytest.raises(ConfigValidationError, match="cannot be tried again with stream_maps"):
        pg.load(stream_maps={"t": {}}, **AGAIN)
