"""A STATE comes out after the rows before it are committed, exactly as it went in, and soon."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import DatabaseError, InputError
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from target.conftest import Loader

AB = {"id": "integer", "a": "string"}


def test_the_newest_state_comes_out_as_it_was(pg: Loader) -> None:
    state = {"bookmarks": {"é": {"at": "2026-01-01T00:00:00Z", "n": 1.10, "nested": [None, {}]}}}
    assert pg.load(pg.state({"old": 1}), pg.state(state)) == [state]
    assert pg.load() == []
    assert pg.load(pg.schema("t", AB)) == []


def test_states_move_with_every_commit(pg: Loader) -> None:
    messages: list[Any] = [pg.schema("t", AB, ["id"])]
    for at in range(100):
        messages += [pg.records("t", {"id": at}), pg.state(at)]
    states = pg.load(*messages, batch_size_rows=10)
    assert states[-1] == 99
    assert len(states) >= 9
    assert states == sorted(states)


def test_a_state_never_speaks_of_rows_that_are_not_there(
    pg: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    class Watched:
        def write(self, text: str) -> int:
            state = json.loads(text)
            [(count,)] = pg.rows("SELECT count(*) FROM hubspot.t")
            seen.append((state, count))
            return len(text)

        def flush(self) -> None:
            pass

    messages: list[Any] = [pg.schema("t", AB, ["id"])]
    for at in range(1, 60):
        messages += [pg.records("t", {"id": at}), pg.state(at)]
    monkeypatch.setattr(sys, "stdout", Watched())
    lines = [
        json.dumps(one) + "\n"
        for message in messages
        for one in (message if isinstance(message, list) else [message])
    ]
    target = TargetDealsPostgres(config={"database_url": pg.url, "batch_size_rows": 7})
    target.process_lines(iter(lines))  # type: ignore[arg-type]
    target.process_endofpipe()
    assert seen[-1] == (59, 59)
    assert all(count >= state for state, count in seen)


def test_rows_of_all_streams_of_one_moment_appear_together(pg: Loader) -> None:
    pg.load(pg.schema("a", AB, ["id"]), pg.schema("b", AB, ["id"]))
    both = [
        pg.records("a", *({"id": at} for at in range(500))),
        pg.records("b", *({"id": at} for at in range(500))),
    ]
    pg.load(pg.schema("a", AB, ["id"]), pg.schema("b", AB, ["id"]), *both)
    assert pg.rows("SELECT xmin::text FROM hubspot.a UNION SELECT xmin::text FROM hubspot.b") != []
    # Each is written in a subtransaction of its own; one commit makes both visible.
    assert pg.rows("SELECT count(*) FROM hubspot.a, hubspot.b WHERE a.id = b.id") == [(500,)]


def test_a_failed_commit_emits_no_state(pg: Loader) -> None:
    pg.load(pg.schema("t", AB, ["id"]))
    pg.rows(
        "CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'boom' USING ERRCODE = '53100'; END $$"
    )
    pg.rows("CREATE TRIGGER boom BEFORE INSERT ON hubspot.t EXECUTE FUNCTION boom()")
    with pytest.raises(DatabaseError, match="boom"):
        pg.load(pg.schema("t", AB, ["id"]), pg.records("t", {"id": 1}), pg.state(1))
    assert pg.states == []
    assert pg.rows("SELECT * FROM hubspot.t") == []


def test_what_came_before_a_broken_line_is_committed_with_its_state(pg: Loader) -> None:
    schema = pg.schema("t", AB, ["id"])
    for broken in (
        '{"type": "RECORD", "stream": "t", "rec',
        "no json",
        "[]",
        '{"type": "NONSENSE"}',
        '{"a": 1}',
    ):
        with pytest.raises(InputError):
            pg.load(schema, pg.records("t", {"id": 1}), pg.state(1), broken, pg.state(2))
        assert pg.states == [1]
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]


def start(url: str, **settings: Any) -> subprocess.Popen[bytes]:
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as config:
        json.dump({"database_url": url, **settings}, config)
    return subprocess.Popen(
        [sys.executable, "-m", "target_deals_postgres", "--config", config.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_states_come_out_while_the_tap_is_silent(pg: Loader) -> None:
    process = start(pg.url, batch_seconds=0.3)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for message in (pg.schema("t", AB, ["id"]), *pg.records("t", {"id": 1}), pg.state(1)):
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"1\n"
        assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]
    finally:
        _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_memory_is_bounded_by_bytes(pg: Loader) -> None:
    process = start(pg.url)
    assert process.stdin is not None
    schema = pg.schema("t", AB, ["id"])
    process.stdin.write(json.dumps(schema).encode() + b"\n")
    text = "x" * 100_000
    peak = 0
    for at in range(1500):  # 150 MB in rows far fewer than a batch may have
        process.stdin.write(json.dumps(pg.records("t", {"id": at, "a": text})[0]).encode() + b"\n")
        if at % 100 == 99:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]))
    process.communicate()
    assert process.returncode == 0
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(1500,)]
    assert peak < 150_000, f"{peak} kB"
