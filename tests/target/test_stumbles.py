"""One odd record, message or table costs what it must, and not the run."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect
from harness.loading import KEYS, PROPERTIES, record, schema, until
from target_deals_postgres.errors import (
    DatabaseRefusedError,
    InputError,
    RejectedRecordsError,
    SettingsError,
    StreamMapError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from harness.loading import Start
    from target.conftest import Loader


@pytest.mark.parametrize("mapped", [{}, {"stream_maps": {"t": {}}}])
def test_a_record_nested_too_deeply_costs_one_rejected_row(pg: Loader, mapped: Any) -> None:
    deep = '{"a":' * 3000 + '"},:{\\""' + "}" * 3000
    line = '{"type":"RECORD","record":{"id":1,"o":%s},"stream":"t"}'
    pg.load(
        pg.schema("t", {"id": "integer", "o": "object"}, ["id"]),
        pg.records("t", {"id": 2, "o": {}}),
        line % deep,
        pg.records("t", {"id": 3, "o": {}}),
        max_rejected_records=-1,
        **mapped,
    )
    assert pg.rows("SELECT id FROM hubspot.t ORDER BY 1") == [(2,), (3,)]
    [(reason,)] = pg.rows("SELECT reason FROM hubspot._rejected_records")
    assert "nested too deeply" in reason


def test_a_message_that_is_no_record_and_too_deep_is_told(pg: Loader) -> None:
    with pytest.raises(InputError, match="nested too deeply"):
        pg.load('{"type":"STATE","value":' + "[" * 5000 + "]" * 5000 + "}")


def test_a_stream_map_that_fails_costs_one_rejected_row(pg: Loader) -> None:
    maps = {"t": {"half": "int(v) / 2", "__else__": None, "id": "id"}}
    with pytest.raises(RejectedRecordsError):
        pg.load(
            pg.schema("t", {"id": "integer", "v": "string"}, ["id"]),
            pg.records("t", {"id": 1, "v": "4"}, {"id": 2, "v": "secret"}, {"id": 3}),
            stream_maps=maps,
        )
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(1,)]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(2,)]
    assert "secret" not in pg.log


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        ({"__else__": "odd"}, '__else__ must be null or "__NULL__"'),
        ({"__else__": {}}, "__else__ must be null"),
        ({"t": {"__else__": ["a"]}}, "__else__ of t must be null"),
        (
            {"t": 1, "u": {"v": ""}},
            "t must be null .* or an object; .* v of u must be",
        ),
        ({"t": {"__key_properties__": "id"}}, "__key_properties__ of t .* a list of names"),
        ({"t": {"__alias__": "1"}}, "__alias__ of t gives no name"),
        ({"t": {"__alias__": "1 / 0"}}, "ZeroDivisionError in the maps of t"),
        ({"t": {"__source__": None}}, "TypeError in the maps of t"),
    ],
)
def test_a_stream_map_of_another_shape_is_told(
    pg: Loader, maps: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StreamMapError, match=sentence):
        pg.load(pg.schema("t", {"id": "integer"}, ["id"]), stream_maps=maps)


def test_stream_maps_may_be_null(pg: Loader) -> None:
    pg.load(pg.schema("t", {"id": "integer"}), pg.records("t", {"id": 1}), stream_maps=None)
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]


def test_two_streams_with_one_alias_share_a_table_of_both(pg: Loader) -> None:
    maps = {name: {"__alias__": "all"} for name in ("one", "two")}
    pg.load(
        pg.schema("one", {"id": "integer", "a": "string"}, ["id"]),
        pg.records("one", {"id": 1, "a": "x"}),
        pg.schema("two", {"id": "integer", "b": "string"}, ["id"]),
        pg.records("two", {"id": 2, "b": "y"}),
        pg.records("one", {"id": 3, "a": "z"}),
        stream_maps=maps,
    )
    assert pg.rows('SELECT id, a, b FROM hubspot."all" ORDER BY 1') == [
        (1, "x", None),
        (2, None, "y"),
        (3, "z", None),
    ]
    with pytest.raises(InputError, match="mapped to all have different key properties"):
        pg.load(
            pg.schema("one", {"id": "integer"}, ["id"]),
            pg.schema("two", {"id": "integer", "b": "string"}, ["id", "b"]),
            stream_maps=maps,
        )


def test_a_message_cannot_bring_what_the_target_parsed(pg: Loader) -> None:
    message = {"type": "RECORD", "stream": "t", "record": {"id": 1, "v": "x"}}
    pg.load(
        pg.schema("t", {"id": "integer", "v": "string"}, ["id"]),
        {**message, "parsed": {"id": 2, "v": "y"}},
    )
    assert pg.rows("SELECT id, v FROM hubspot.t") == [(1, "x")]


def test_jsonb_holds_any_json_and_json_as_text(pg: Loader) -> None:
    values = [[1], "text", 5, '{"a": 1.50}', "[2]", "5", True, {"b": "ü"}, None, ""]
    properties = {"id": "integer", "o": "object"}
    ways: list[dict[str, Any]] = [{}, {"stream_maps": {"t": {}}}]
    for mapped in ways:
        pg.load(
            pg.schema("t", properties, ["id"]),
            pg.records("t", *({"id": at, "o": value} for at, value in enumerate(values))),
            **mapped,
        )
        found = [value for (value,) in pg.rows("SELECT o::text FROM hubspot.t ORDER BY id")]
        assert found == [
            "[1]",
            '"text"',
            "5",
            '{"a": 1.50}',
            "[2]",
            "5",
            "true",
            '{"b": "ü"}',
            None,
            '""',
        ]
    both = {"id": "integer", "o": {"type": ["object", "string", "null"]}}
    pg.load(pg.schema("u", both, ["id"]), pg.records("u", {"id": 1, "o": '{"a": 1}'}))
    assert pg.rows("SELECT o::text FROM hubspot.u") == [('"{\\"a\\": 1}"',)]  # it says what it is


def test_a_stream_that_lost_its_key_goes_by_the_tables(pg: Loader) -> None:
    properties = {"id": "integer", "v": "string"}
    pg.load(pg.schema("t", properties, ["id"]), pg.records("t", {"id": 1, "v": "x"}))
    pg.load(
        pg.schema("t", properties),
        pg.records("t", {"id": 1, "v": "y"}, {"id": 2, "v": "z"}, {"id": 1, "v": "w"}),
    )
    assert pg.rows("SELECT id, v FROM hubspot.t ORDER BY 1") == [(1, "w"), (2, "z")]
    assert "the primary key of hubspot.t counts (id)" in pg.log
    with pytest.raises(DatabaseRefusedError, match=r"no key properties any more.*\(id\)"):
        pg.load(pg.schema("t", {"v": "string"}), pg.records("t", {"v": "y"}))


def test_times_before_ten_may_have_one_digit(pg: Loader) -> None:
    time = {"type": ["string", "null"], "format": "time"}
    pg.load(
        pg.schema("t", {"id": "integer", "t": time}, ["id"]),
        pg.records("t", {"id": 1, "t": "8:00:15"}),
    )
    assert pg.rows("SELECT t::text FROM hubspot.t") == [("08:00:15",)]


def test_a_url_that_libpq_cannot_read_is_told_with_the_remedy(pg: Loader) -> None:
    for url in ("postgresql://a@h/d?options=-c statement_timeout=5s", "postgresql://a:50%@h/d"):
        with pytest.raises(SettingsError, match=r"percent-encoded there: @ is %40.*= in a"):
            pg.load(database_url=url)
    pg.load(database_url=f"{pg.url}&options=-c%20statement_timeout%3D5s")
    with pytest.raises(Exception, match="percent-encoded") as raised:
        pg.load(database_url="postgresql://a:p@ss@127.0.0.1:9/d")
    assert "ss@" not in str(raised.value)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("filled", [False, True])
def test_a_column_with_a_default_is_filled_alike_in_all_ways(
    pg: Loader, *, partial: bool, mixed: bool, filled: bool
) -> None:
    pg.rows("CREATE SCHEMA hubspot")
    pg.rows(
        "CREATE TABLE hubspot.t (id bigint PRIMARY KEY, v text, "
        "d text NOT NULL DEFAULT 'a%{}' || 1, n text NOT NULL)"
    )
    if filled:
        pg.rows("INSERT INTO hubspot.t VALUES (9, 'x', 'y', 'z')")
    records: list[Any] = [{"id": 1}, {"id": 2}] if partial else [{"id": 1, "v": "x", "d": "own"}]
    records += [{"id": 3, "v": "x", "d": "own"}, {"id": 4, "v": "y"}] if mixed else []
    pg.load(
        pg.schema("t", {"id": "integer", "v": "string", "d": "string"}, ["id"]),
        pg.records("t", *records),
    )
    assert pg.rows("SELECT id, d FROM hubspot.t WHERE id < 9 ORDER BY 1") == [
        (one["id"], one.get("d", "a%{}1")) for one in records
    ]
    assert "NOT NULL goes from n" in pg.log


def test_a_search_path_that_lists_temporary_tables_last_is_taken(pg: Loader) -> None:
    pg.rows("CREATE TABLE public.stage_1 (no int); CREATE TABLE public.stage_2 (no int)")
    schema = pg.schema("t", {"id": "integer", "v": "string"}, ["id"])
    for value in "xy":
        pg.load(
            schema,
            pg.records("t", {"id": 1, "v": value}),
            database_url=f"{pg.url}&options=-c%20search_path%3Dpublic,pg_temp",
        )
    assert pg.rows("SELECT v FROM hubspot.t") == [("y",)]


@pytest.mark.parametrize("streams", [["t"], [f"t{at}" for at in range(30)]])
def test_stages_do_not_pile_up(pg: Loader, streams: list[str]) -> None:
    counts: list[Any] = []
    messages: list[Any] = []
    for at in range(30):
        name = streams[at % len(streams)]
        messages.append(pg.schema(name, {"id": "integer", f"v{at % 2}": "string"}, ["id"]))
        messages += pg.records(name, {"id": 1, "v0": "x"})
    for name in streams:
        pg.load(pg.schema(name, {"id": "integer"}, ["id"]), pg.records(name, {"id": 1}))
    with connect(pg.url) as opened, opened.cursor() as cursor:
        ended = threading.Event()

        def count() -> None:
            while not ended.wait(0.01):
                cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'stage_%'")
                counts.append(cursor.fetchone()[0])  # type: ignore[index]

        watching = threading.Thread(target=count)
        watching.start()
        pg.load(*messages)
        ended.set()
        watching.join()
    assert max(counts) <= 2


def test_a_signal_ends_a_batch_in_its_middle_without_its_state(
    start: Start, database_url: str, tmp_path: Path
) -> None:
    lines = tmp_path / "batch.jsonl"
    with lines.open("w") as file:
        for at in range(300_000):
            file.write(json.dumps(record("a", at)["record"]) + "\n")
    process = start(database_url, batch_size_rows=1000)
    manifest = [f"file://{lines}"]
    batch = {"type": "BATCH", "stream": "t", "encoding": {"format": "jsonl"}, "manifest": manifest}
    process.send(schema("t", PROPERTIES, KEYS), batch, {"type": "STATE", "value": 1})
    with connect(database_url) as opened, opened.cursor() as cursor:

        def stored() -> int:
            cursor.execute("SELECT to_regclass('hubspot.t') IS NOT NULL")
            if cursor.fetchone() == (False,):
                return 0
            cursor.execute("SELECT count(*) FROM hubspot.t")
            return int((cursor.fetchone() or [0])[0])

        until(lambda: stored() > 0, 60)
        process.popen.send_signal(signal.SIGTERM)
        assert process.end() == 143
        assert 0 < stored() < 300_000
    assert process.states() == []


def test_a_connection_that_is_cut_during_copy_is_opened_again_and_tells_no_values(
    start: Start, database_url: str
) -> None:
    process = start(database_url, batch_size_rows=50_000, batch_seconds=60)
    cut = threading.Event()

    def watch() -> None:
        with connect(database_url) as opened, opened.cursor() as cursor:
            while not cut.is_set():
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE query LIKE 'COPY%' AND state = 'active' AND pid <> pg_backend_pid() "
                    "AND datname = current_database()"
                )
                if cursor.rowcount:
                    cut.set()

    watching = threading.Thread(target=watch)
    watching.start()
    process.send_rows(50_000, v="secret" * 20)
    code = process.end(120)
    cut.set()
    watching.join()
    assert code == 0, process.log()
    assert process.states()[-1] == 50_000
    assert "secret" not in process.log(), process.log()[:3000]
    assert "trying again in" in process.log()
    with connect(database_url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM hubspot.t")
        assert cursor.fetchone() == (50_000,)
