"""The SDK's options: metadata, stream maps, flattening, BATCH files, validation."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigValidationError
from target_deals_postgres.errors import InputError, RejectedRecordsError
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

AB = {"id": "integer", "a": "string"}


def test_metadata_says_when_a_row_last_changed(pg: Loader) -> None:
    messages = [
        pg.schema("t", AB, ["id"]),
        pg.records("t", {"id": 1, "a": "x"}, time_extracted="2026-01-01T00:00:00Z", version=7),
    ]
    pg.load(*messages, add_record_metadata=True)
    columns = list(pg.types("t"))
    assert columns == [
        "_sdc_extracted_at",
        "_sdc_received_at",
        "_sdc_batched_at",
        "_sdc_deleted_at",
        "_sdc_sequence",
        "_sdc_table_version",
        "_sdc_sync_started_at",
        "id",
        "a",
    ]
    [row] = pg.rows(
        "SELECT _sdc_extracted_at::text, _sdc_table_version, _sdc_sequence > 1e12, "
        "_sdc_received_at > now() - interval '1 minute' FROM hubspot.t"
    )
    assert row == ("2026-01-01 00:00:00+00", 7, True, True)
    before = pg.rows("SELECT xmin::text FROM hubspot.t")
    pg.load(*messages, add_record_metadata=True)
    assert pg.rows("SELECT xmin::text FROM hubspot.t") == before


def test_stream_maps_rename_filter_compute_and_drop(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {**AB, "n": "number", "o": "object"}, ["id"]),
        pg.schema("gone", AB, ["id"]),
        pg.records("t", {"id": 1, "a": "x", "n": 1.10, "o": {"k": [1]}}, {"id": 2, "a": "skip"}),
        pg.records("t", {"id": 3, "a": "z", "n": 12345678901234567890}),
        pg.records("gone", {"id": 1}),
        pg.state({"s": 1}),
        stream_maps={
            "t": {
                "__alias__": "mapped",
                "__filter__": "a != 'skip'",
                "a": None,
                "upper": "a.upper()",
                "copy": "n",
                "hash": "md5(a)",
            },
            "gone": None,
        },
    )
    assert pg.rows("SELECT id, n::text, upper, copy::text FROM hubspot.mapped ORDER BY id") == [
        (1, "1.1", "X", "1.1"),
        (3, "12345678901234567890", "Z", "12345678901234567890"),
    ]
    assert [row[0] for row in pg.rows("SELECT id FROM hubspot.mapped ORDER BY id")] == [1, 3]
    assert pg.rows("SELECT upper, o FROM hubspot.mapped ORDER BY id") == [
        ("X", {"k": [1]}),
        ("Z", None),
    ]
    assert pg.rows("SELECT count(*) FROM pg_class WHERE relname = 'gone'") == [(0,)]
    assert pg.states == [{"s": 1}]


@pytest.mark.parametrize(
    "settings",
    [
        {"stream_maps": {"t": {"copy": "id"}, "gone": None}},
        {"flattening_enabled": True, "flattening_max_depth": 1},
        {"validate_records": True},
        {},
    ],
)
def test_a_record_that_is_no_object_is_listed(pg: Loader, settings: dict[str, Any]) -> None:
    bad: list[Any] = [
        f'{{"type": "RECORD", "stream": "t", "record": {one}}}' for one in ("null", "[1]", '"x"')
    ]
    pg.load(
        pg.schema("t", AB, ["id"]),
        pg.schema("gone", AB, ["id"]),
        bad,
        bad[0].replace('"t"', '"gone"'),
        pg.records("t", {"id": 1}),
        max_rejected_records=4,
        **settings,
    )
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]
    assert pg.rows(
        "SELECT payload FROM hubspot._rejected_records WHERE stream = 't' ORDER BY 1"
    ) == [('"x"',), ("[1]",), ("null",)]


def test_flattening(pg: Loader) -> None:
    nested = {
        "type": "object",
        "properties": {
            "x": {"type": "integer"},
            "deep": {"type": "object", "properties": {"y": {"type": "string"}}},
        },
    }
    pg.load(
        pg.schema("t", {"id": "integer", "o": nested}, ["id"]),
        pg.records("t", {"id": 1, "o": {"x": 5, "deep": {"y": "z"}}}),
        flattening_enabled=True,
        flattening_max_depth=1,
    )
    assert pg.rows("SELECT id, o__x, o__deep::text FROM hubspot.t") == [(1, 5, '{"y":"z"}')]


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_batch_files(pg: Loader, tmp_path: Path, compression: str) -> None:
    lines = "".join(json.dumps({"id": at, "a": "text\n"}) + "\n" for at in range(300)).encode()
    file = tmp_path / "batch.jsonl"
    file.write_bytes(gzip.compress(lines) if compression == "gzip" else lines)
    message = {
        "type": "BATCH",
        "stream": "t",
        "encoding": {"format": "jsonl", "compression": compression},
        "manifest": [f"file://{file}"],
    }
    states = pg.load(pg.schema("t", AB, ["id"]), message, pg.state(1))
    assert states == [1]
    assert pg.rows("SELECT count(*), min(a) FROM hubspot.t") == [(300, "text\n")]
    with pytest.raises(InputError, match="a file of a BATCH of stream t"):
        pg.load(pg.schema("t", AB, ["id"]), {**message, "manifest": [f"file://{tmp_path}/missing"]})
    file.write_bytes(gzip.compress(lines[:-5]) if compression == "gzip" else lines[:-5])
    with pytest.raises(InputError, match="a line of its BATCH is no JSON"):
        pg.load(pg.schema("t", AB, ["id"]), message)
    with pytest.raises(InputError, match="not in format jsonl"):
        pg.load(pg.schema("t", AB, ["id"]), {**message, "encoding": {"format": "parquet"}})


def test_validation_judges_the_whole_schema(pg: Loader) -> None:
    spec: dict[str, Any] = {
        "a": {"type": "string", "enum": ["x"]},
        "o": {"type": "object", "required": ["k"]},
    }
    messages = [
        pg.schema("t", {"id": "integer", **spec}, ["id"]),
        pg.records(
            "t", {"id": 1, "a": "x", "o": {"k": 1.5}}, {"id": 2, "a": "secret"}, {"id": 3, "o": {}}
        ),
    ]
    with pytest.raises(RejectedRecordsError, match="2 records"):
        pg.load(*messages, validate_records=True)
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]
    pg.load(*messages)
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(3,)]


def test_a_schema_that_cannot_judge_is_told(pg: Loader) -> None:
    nowhere = {"$ref": "#/definitions/none"}
    messages = [
        pg.schema("t", {"id": "integer", "a": nowhere}),
        pg.records("t", {"id": 1, "a": "x"}),
    ]
    with pytest.raises(InputError, match="the SCHEMA of stream t cannot judge records"):
        pg.load(*messages, pg.state(1), validate_records=True)
    assert pg.states == []
    pg.load(*messages)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"load_method": "replace"}, "load_method"),
        ({"overwrite": "t"}, "overwrite"),
        ({"load_method": "merge"}, "load_method"),
        ({"max_rejected_records": -2}, "max_rejected_records"),
        ({"batch_size_rows": 0}, "batch_size_rows"),
        ({"batch_seconds": 0}, "batch_seconds"),
        ({"hard_delete": "yes"}, "hard_delete"),
        ({"default_target_schema": ""}, "default_target_schema"),
        ({"default_target_schema": "pg_x"}, "default_target_schema: PostgreSQL keeps"),
        ({"default_target_schema": "ä" * 32}, "default_target_schema: more than 63 bytes"),
        ({"database_url": 5}, "database_url"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_happens(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        TargetDealsPostgres(config=settings)
    assert any(words in error for error in raised.value.errors)


def test_a_setting_that_there_is_not_is_told(caplog: pytest.LogCaptureFixture) -> None:
    TargetDealsPostgres(config={"databse_url": "postgresql://h/s3cr3t", "sqlalchemy_url": "s3cr3t"})
    assert "no setting databse_url: it has no effect. Is database_url meant?" in caplog.text
    assert "no setting sqlalchemy_url: it has no effect." in caplog.text
    assert "s3cr3t" not in caplog.text
