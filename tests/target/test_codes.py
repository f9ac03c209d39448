"""Each way to end other than well is told once, with a code that programs judge by."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from harness.database import connect
from harness.loading import KEYS, PROPERTIES, record, schema

if TYPE_CHECKING:
    from pathlib import Path

LOGGING = """
version: 1
disable_existing_loggers: false
formatters: {structured: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {console: {class: logging.StreamHandler, formatter: structured, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [console]}
"""
SCHEMA = schema("t", PROPERTIES, KEYS)
NO_NUMBER = {**record("a", 1), "record": {"_tenant_id": "a", "id": "x"}}
STATE = {"type": "STATE", "value": 1}


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Any:
    """Starts the target with the SDK's structured log."""

    def begin(**settings: Any) -> subprocess.Popen[bytes]:
        config, log = tmp_path / "config.json", tmp_path / "logging.yml"
        config.write_text(json.dumps({"database_url": database_url, **settings}))
        log.write_text(LOGGING)
        return subprocess.Popen(
            [sys.executable, "-m", "target_deals_postgres.target", "--config", str(config)],
            env={**os.environ, "SINGER_SDK_LOG_CONFIG": str(log)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return begin


def endings(process: subprocess.Popen[bytes], *messages: Any) -> list[tuple[str, bool]]:
    lines = "".join(f"{json.dumps(one)}\n" for one in messages).encode()
    _, log = process.communicate(lines, timeout=60)
    assert process.returncode != 0
    told = [json.loads(line) for line in log.splitlines()]
    errors = [one for one in told if one["level"] == "error"]
    return [(one["extra"]["code"], one["extra"]["retryable"]) for one in errors]


@pytest.mark.parametrize(
    ("settings", "messages", "code"),
    [
        ({"batch_size_rows": 0, "load_method": "x"}, [], "settings_invalid"),
        ({"load_method": "replace"}, [], "settings_invalid"),
        ({"database_url": "postgresql://a:50%@h/d"}, [], "settings_invalid"),
        ({}, [{"type": "NONSENSE"}], "input_invalid"),
        ({}, [record("a", 1)], "schema_missing"),
        ({"stream_maps": {"t": {"v": "=="}}}, [SCHEMA], "stream_map_failed"),
        ({"default_target_schema": "pg_mine"}, [SCHEMA], "database_refused"),
        ({}, [SCHEMA, {**record("a", 1), "record": {"_tenant_id": "a"}}], "key_missing"),
        (
            {},
            [SCHEMA, {**record("a", 1), "record": {"_tenant_id": "a", "id": "x"}}, record("a", 2)],
            "records_rejected",
        ),
    ],
)
def test_an_end_that_will_come_again(
    start: Any, settings: dict[str, Any], messages: list[Any], code: str
) -> None:
    assert endings(start(**settings), *messages) == [(code, False)]


def test_a_database_that_cannot_be_reached_may_be_there_later(
    start: Any, database_url: str
) -> None:
    nowhere = "postgresql://a@127.0.0.1:9/d"
    assert endings(start(database_url=nowhere)) == [("database_unreachable", True)]
    missing = urlunsplit(urlsplit(database_url)._replace(path="/missing"))
    assert endings(start(database_url=missing)) == [("database_refused", False)]


def test_a_signal_says_that_the_run_may_go_on(start: Any) -> None:
    process = start(batch_seconds=0.1)
    process.stdin.write("".join(f"{json.dumps(one)}\n" for one in (SCHEMA, STATE)).encode())
    process.stdin.flush()
    assert process.stdout.readline() == b"1\n"
    process.send_signal(signal.SIGTERM)
    assert endings(process) == [("interrupted", True)]
    assert process.returncode == 128 + signal.SIGTERM


def test_states_that_nobody_reads_end_the_run(start: Any, database_url: str) -> None:
    process = start(batch_seconds=0.1)
    process.stdout.close()
    process.stdout = None
    assert endings(process, SCHEMA, record("a", 1), STATE) == [("state_unread", True)]
    with connect(database_url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT id FROM hubspot.t")
        assert cursor.fetchall() == [(1,)]


def test_a_config_file_that_is_no_json_is_a_sentence(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{")
    ended = subprocess.run(
        [sys.executable, "-m", "target_deals_postgres.target", "--config", str(config)],
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert b"the file of --config cannot be read" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_rejected_records_are_told_in_fields_with_each_batch(start: Any) -> None:
    messages = [SCHEMA, NO_NUMBER, NO_NUMBER, record("a", 1)]
    lines = "".join(f"{json.dumps(one)}\n" for one in messages).encode()

    _, log = start(max_rejected_records=5).communicate(lines, timeout=60)

    extras = [json.loads(line).get("extra") or {} for line in log.splitlines()]
    told = [extra for extra in extras if "rejected_records" in extra]
    assert sum(extra["rejected_records"] for extra in told) == 2
    assert {extra["rejected_stream"] for extra in told} == {"t"}
    assert all(extra["rejected_reason"] and '"x"' not in str(extra) for extra in told)
