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
from harness.endings import (
    LOGGING,
    Plugin,
    cases,
    close_output,
    full_disk,
    interrupt_at_once,
    told,
    wrong,
)
from harness.loading import KEYS, PROPERTIES, record, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = schema("t", PROPERTIES, KEYS)
NO_NUMBER = {**record("a", 1), "record": {"_tenant_id": "a", "id": "x"}}
STATE = {"type": "STATE", "value": 1}


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Any:
    """Starts the target with the SDK's structured log."""

    def begin(
        *,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        preexec_fn: Callable[[], None] | None = None,
        **settings: Any,
    ) -> subprocess.Popen[bytes]:
        config, log = tmp_path / "config.json", tmp_path / "logging.yml"
        config.write_text(json.dumps({"database_url": database_url, **settings}))
        log.write_text(LOGGING)
        return subprocess.Popen(
            [sys.executable, "-m", "target_deals_postgres", "--config", str(config)],
            env={**os.environ, "SINGER_SDK_LOG_CONFIG": str(log)},
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=preexec_fn,  # noqa: PLW1509 - no threads run here
        )

    return begin


def endings(process: subprocess.Popen[bytes], *messages: Any) -> list[tuple[str, bool]]:
    lines = "".join(f"{json.dumps(one)}\n" for one in messages).encode()
    _, log = process.communicate(lines, timeout=60)
    assert process.returncode != 0
    return [(code, again) for code, again, _ in told(log.decode())]


@pytest.mark.parametrize(
    ("settings", "messages", "code"),
    [
        ({"batch_size_rows": 0, "load_method": "x"}, [], "settings_invalid"),
        ({"load_method": "replace"}, [], "settings_invalid"),
        ({"database_url": "postgresql://a:50%@h/d"}, [], "settings_invalid"),
        ({}, [{"type": "NONSENSE"}], "input_invalid"),
        ({}, [record("a", 1)], "schema_missing"),
        ({"readers": ["nobody_here"]}, [SCHEMA], "database_refused"),
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


def test_every_odd_input_ends_with_one_code(database_url: str, tmp_path: Path) -> None:
    target = Plugin(
        "target-deals-postgres",
        "target_deals_postgres.__main__:main",
        {"database_url": database_url},
        "password",
        "t",
        content="".join(f"{json.dumps(one)}\n" for one in (SCHEMA, record("a", 1))).encode(),
        failing="records_rejected",
    )
    assert wrong(target, cases(target, tmp_path), tmp_path) == {}


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_all_is_imported_is_told(start: Any, number: signal.Signals) -> None:
    process = start()
    interrupt_at_once(process, number)
    assert endings(process) == [("interrupted", True)]
    assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("prepare", "code", "retryable"),
    [
        (full_disk, "state_unread", True),
        (close_output, "state_unread", True),
        (lambda: os.close(0), "input_invalid", False),
    ],
)
def test_pipes_that_are_closed_or_full_are_told(
    start: Any,
    tmp_path: Path,
    prepare: Callable[[], None],
    code: str,
    retryable: bool,  # noqa: FBT001 - a column of the table
) -> None:
    state = {"type": "STATE", "value": "x" * 200}
    with (tmp_path / "out").open("wb") as out:
        process = start(stdout=out, preexec_fn=prepare)
        assert endings(process, SCHEMA, state) == [(code, retryable)]


def test_a_log_that_cannot_be_written_fails_no_run(start: Any, tmp_path: Path) -> None:
    for messages, status in (([SCHEMA, STATE], 0), ([SCHEMA, STATE, "nonsense"], 1)):
        with (tmp_path / "log").open("wb") as log:
            process = start(stderr=log, preexec_fn=full_disk)
            lines = "".join(f"{json.dumps(one)}\n" for one in messages).encode()
            states, _ = process.communicate(lines, timeout=60)
        assert (process.returncode, states) == (status, b"1\n")


def test_rejected_records_are_told_in_fields_with_each_batch(start: Any) -> None:
    messages = [SCHEMA, NO_NUMBER, NO_NUMBER, record("a", 1)]
    lines = "".join(f"{json.dumps(one)}\n" for one in messages).encode()

    _, log = start(max_rejected_records=5).communicate(lines, timeout=60)

    extras = [json.loads(line).get("extra") or {} for line in log.splitlines()]
    rejected = [extra for extra in extras if "rejected_records" in extra]
    assert sum(extra["rejected_records"] for extra in rejected) == 2
    assert {extra["rejected_stream"] for extra in rejected} == {"t"}
    assert all(extra["rejected_reason"] and '"x"' not in str(extra) for extra in rejected)
