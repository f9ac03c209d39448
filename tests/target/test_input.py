"""Bad input ends in one clear sentence, exit code 1, and everything before it committed."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

SCHEMA = {
    "type": "SCHEMA",
    "stream": "t",
    "key_properties": ["id"],
    "schema": {"properties": {"id": {"type": "integer"}, "v": {"type": ["string", "null"]}}},
}


def encoded(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


GOOD = encoded(
    SCHEMA,
    {"type": "RECORD", "stream": "t", "record": {"id": 1, "v": "x"}},
    {"type": "STATE", "value": 1},
)


def run(pg: Loader, tmp_path: Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"database_url": pg.url}))
    return subprocess.run(
        [sys.executable, "-m", "target_deals_postgres", "--config", str(config)],
        input=data,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (b"no json at all\n", "a line of the input is no JSON: no json at all"),
        (b'{"type": "RECORD", "stream": "t", "record": {"id": 2, "v": "cu', "is no JSON"),
        (b"[1]\n", "has no message type"),
        (b'{"stream": "t"}\n', "has no message type"),
        (b'{"type": "NONSENSE"}\n', "unknown type NONSENSE"),
        (b'{"type": "STATE"}\n', "a STATE message has no value"),
        (
            b'{"type": "RECORD", "stream": "other", "record": {}}\n',
            "a RECORD of stream other came before the stream's SCHEMA",
        ),
        (b'{"type": "RECORD", "stream": 5, "record": {}}\n', "malformed"),
        (b'{"type": "RECORD", "stream": "t"}\n', "a RECORD of stream t has no record"),
        (b'{"type": "RECORD", "stream": "t", "record": {"id": 01}}\n', "is no JSON"),
        (b'{"type": "RECORD", "stream": "t", "record": {"id": 2}, "version": "1"}\n', "malformed"),
        (b'{"type": "record", "stream": "t", "record": {"id": 2}}\n', "unknown type record"),
        (b'{"type": "SCHEMA", "stream": "s"}\n', "no stream or no schema"),
        (
            b'{"type": "SCHEMA", "stream": "s", "schema": {}}\n',
            "the SCHEMA of stream s has no properties",
        ),
        (
            b'{"type":"SCHEMA","stream":"s","schema":{"properties":{}},"key_properties":["k"]}\n',
            "the key property k of stream s is not in its SCHEMA",
        ),
        (b'{"type": "ACTIVATE_VERSION", "stream": "t"}\n', "has no version"),
        (
            b'{"type": "BATCH", "stream": "t", "encoding": {"format": "csv"}, "manifest": []}\n',
            "BATCH of stream t",
        ),
    ],
)
def test_a_bad_line_is_one_sentence(pg: Loader, tmp_path: Path, bad: bytes, sentence: str) -> None:
    done = run(pg, tmp_path, GOOD + bad)
    log = done.stderr.decode()
    assert done.returncode == 1
    assert [line for line in log.splitlines() if "ERROR" in line and sentence in line], log
    assert "Traceback" not in log
    assert done.stdout == b"1\n"
    assert pg.rows("SELECT id, v FROM hubspot.t") == [(1, "x")]


def test_a_batch_that_cannot_be_read_is_one_sentence(pg: Loader, tmp_path: Path) -> None:
    plain, broken = tmp_path / "plain.jsonl", tmp_path / "broken.gz"
    plain.write_text('{"id": 1}\n')
    packed = gzip.compress(b"".join(b'{"id": %d}\n' % at for at in range(9000)))
    broken.write_bytes(packed[:2000] + b"\xff" * 500 + packed[2500:])
    gz = {"format": "jsonl", "compression": "gzip"}
    cases: list[tuple[Any, str, str]] = [
        (None, plain.as_uri(), "is not in format jsonl"),
        ({"compression": "gzip"}, plain.as_uri(), "is not in format jsonl"),
        ({**gz, "compression": "zstd"}, plain.as_uri(), "has the compression zstd"),
        (gz, plain.as_uri(), "Not a gzipped file"),
        (gz, broken.as_uri(), "a file of a BATCH of stream t"),
        ({"format": "jsonl"}, (tmp_path / "none").as_uri(), "No such file"),
        ({"format": "jsonl"}, "s3://bucket/file", "a file of a BATCH of stream t"),
        ({"format": "jsonl"}, "", "a file of a BATCH of stream t"),
    ]
    for encoding, file, sentence in cases:
        batch = {"type": "BATCH", "stream": "t", "encoding": encoding, "manifest": [file]}
        with pytest.raises(InputError, match=sentence):
            pg.load(SCHEMA, batch)
    more = {"format": "jsonl", "compression": "none", "of": "another tap"}
    pg.load(
        SCHEMA, {"type": "BATCH", "stream": "t", "encoding": more, "manifest": [plain.as_uri()]}
    )
    assert (1,) in pg.rows("SELECT id FROM hubspot.t")


def test_input_may_have_any_chunks_blank_lines_carriage_returns_and_odd_bytes(
    pg: Loader, tmp_path: Path
) -> None:
    data = GOOD.replace(b"\n", b"\r\n") + b"\n  \n"
    data += b'{"record":{"v":"a\xffb","id":2},"type":"RECORD","stream":"t"}\r\n'
    data += b'{"type":"RECORD",\t"stream":"t","record":{"id":3,\t"v":"' + b"y" * 300_000 + b'"}}\n'
    data += (
        '{"type":"RECORD","stream":"t","record":{"id":4,"v":"ünï"}}'.encode()
    )  # without a line end
    done = run(pg, tmp_path, data)
    assert done.returncode == 0, done.stderr
    assert pg.rows("SELECT id, left(v, 3) FROM hubspot.t ORDER BY id") == [
        (1, "x"),
        (2, "a\ufffdb"),
        (3, "yyy"),
        (4, "ünï"),
    ]


def test_repeated_names_in_a_record_end_as_json_says(pg: Loader, tmp_path: Path) -> None:
    data = GOOD + b'{"type":"RECORD","stream":"t","record":{"id":7,"id":2,"v":"x","v":"y"}}\n'
    assert run(pg, tmp_path, data).returncode == 0
    assert pg.rows("SELECT id, v FROM hubspot.t ORDER BY id") == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \n"])
def test_no_input_makes_nothing(pg: Loader, tmp_path: Path, data: bytes) -> None:
    done = run(pg, tmp_path, data)
    assert (done.returncode, done.stdout) == (0, b"")
    assert pg.rows("SELECT count(*) FROM pg_namespace WHERE nspname = 'hubspot'") == [(0,)]


def test_rejected_records_fail_the_run_after_all_others(pg: Loader, tmp_path: Path) -> None:
    bad = {"type": "RECORD", "stream": "t", "record": {"id": "secret@example.com", "v": "x"}}
    done = run(pg, tmp_path, GOOD + encoded(bad, {"type": "STATE", "value": 2}))
    log = done.stderr.decode()
    assert done.returncode == 1
    assert "1 records were rejected, more than max_rejected_records (0)" in log
    assert "secret@example.com" not in log
    assert done.stdout.splitlines()[-1] == b"2"


def test_progress_and_a_summary_are_logged_for_each_stream(pg: Loader, tmp_path: Path) -> None:
    done = run(pg, tmp_path, GOOD)
    log = done.stderr.decode()
    metrics = [json.loads(one.split("METRIC: ")[1]) for one in log.splitlines() if "METRIC" in one]
    counts = [one for one in metrics if one["metric"] == "record_count"]
    assert sum(one["value"] for one in counts) == 1
    assert {one["tags"]["stream"] for one in counts} == {"t"}
    assert "t: 1 processed, 1 created, 0 updated, 0 unchanged, 0 superseded, 0 failed" in log
    assert "batch_processing_time" in {one["metric"] for one in metrics}


def test_about_names_every_setting_with_a_description() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "target_deals_postgres", "--about", "--format=json"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    properties = json.loads(done.stdout)["settings"]["properties"]
    assert {"database_url", "row_level_security", "max_rejected_records"} <= set(properties)
    for name, spec in properties.items():
        assert spec.get("description"), name
