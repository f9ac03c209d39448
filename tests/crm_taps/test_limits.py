"""`map-limits`: a first date and a largest number of records for any tap, and what is not said."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from crm_taps.errors import InputError, SettingsError
from crm_taps.limits import Limits, MapLimits
from crm_taps.settings import LIMITS
from harness.meltano import BIN, ROOT
from harness.vendors.running import until
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from pathlib import Path

TIME = {"type": ["null", "string"], "format": "date-time"}
START = "2026-03-08T02:30:00-05:00"


def schema(stream: str, *bookmarks: str, **columns: Any) -> dict[str, Any]:
    known = {"id": {"type": "integer"}, **columns}
    keys = {"key_properties": ["id"], "bookmark_properties": list(bookmarks)}
    return {"type": "SCHEMA", "stream": stream, "schema": {"properties": known}, **keys}


def record(stream: str, number: int, **values: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": {"id": number, **values}}


def version(stream: str) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": 7}


STATE = {"type": "STATE", "value": {"bookmarks": {}}}


def passed(config: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    limits = Limits(config)
    return [m for m in messages if limits.pass_on(json.dumps(m).encode())]


def test_a_first_date_leaves_out_what_was_before_by_the_replication_key_and_nothing_else() -> None:
    told = schema("leads", "updated_at", updated_at=TIME)
    early = [
        record("leads", 1, updated_at="2026-03-08T07:29:59.999999+00:00"),
        record("leads", 2, updated_at="2026-03-08T07:29:59"),
        record("leads", 3, updated_at="2026-03-08T00:29:59-07:00"),
    ]
    late = [
        record("leads", 4, updated_at="2026-03-08T07:30:00Z"),
        record("leads", 5, updated_at="2026-03-08T03:30:00-04:00"),
        record("leads", 6, updated_at=None),
        record("leads", 7),
        record("leads", 8, updated_at="soon"),
        record("leads", 2**70, updated_at="9999-12-31T00:00:00Z"),
    ]

    assert passed({"start_date": START}, told, *early, *late, STATE) == [told, *late, STATE]


@pytest.mark.parametrize(
    "told",
    [
        schema("users"),
        schema("users", "id"),
        schema("users", "code", code={"type": "string"}),
    ],
)
def test_streams_that_are_not_read_by_time_pass_whole(told: dict[str, Any]) -> None:
    rows = [record("users", 1, code="20200101"), version("users"), STATE]

    assert passed({"start_date": START}, told, *rows) == [told, *rows]


def test_a_column_can_be_named_for_a_stream_without_a_replication_key() -> None:
    told = schema("Märkte", Datum={"type": "string"})
    rows = [record("Märkte", 1, Datum="2026-03-07"), record("Märkte", 2, Datum="2026-03-09")]
    config = {"start_date": START, "time_columns": {"Märkte": "Datum"}}

    assert passed(config, told, *rows) == [told, rows[1]]
    with pytest.raises(SettingsError, match="Märkte has no column Day"):
        passed({**config, "time_columns": {"Märkte": "Day"}}, told)


def test_only_a_whole_stream_has_its_version_activated() -> None:
    told = [schema("a", "at", at=TIME), schema("b", "at", at=TIME)]
    rows = [record("a", 1, at="2020-01-01"), record("b", 1, at="2027-01-01")]
    sent = passed({"start_date": START}, *told, *rows, version("a"), version("b"))

    assert sent == [*told, rows[1], version("b")]


def test_a_sample_has_the_first_records_of_each_stream_and_promises_nothing() -> None:
    told = [schema("a"), schema("b", "at", at=TIME)]
    a = [record("a", n) for n in range(4)]
    b = [record("b", n, at=f"2026-03-0{n}T00:00:00Z") for n in range(6, 10)]
    sent = [version("a"), told[0], a[0], STATE, *a[1:], told[1], *b, version("a"), STATE]

    assert passed({"max_records": 2}, *sent) == [told[0], *a[:2], told[1], *b[:2]]
    assert passed({"max_records": 2, "start_date": "2026-03-08"}, *sent) == [
        *(told[0], *a[:2]),
        *(told[1], *b[2:]),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "no Singer message"),
        (b"[1]", "no Singer message"),
        (b'{"stream": "a"}', "no Singer message"),
        (b'{"type": "BATCH", "stream": "a"}', "cannot be limited"),
    ],
)
def test_what_cannot_be_limited_ends_the_run(line: bytes, why: str) -> None:
    with pytest.raises(InputError, match=why):
        Limits({"max_records": 2}).pass_on(line)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"start_date": "yesterday"}, "`start_date` is no ISO 8601 date"),
        ({"max_records": 0}, "`max_records` is out of range"),
        ({"max_records": "many"}, "`max_records` must be a whole number"),
        ({"time_columns": {"a": 1}}, "`time_columns.a` must be a text"),
    ],
)
def test_a_bad_setting_is_named(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        MapLimits(config=config)

    assert told in " ".join(raised.value.errors)


def test_a_setting_that_the_tap_lacks_is_no_limit() -> None:
    unset = MapLimits(config={"start_date": "", "max_records": "", "time_columns": ""})

    assert not Limits(unset.config).any


def test_meltano_yml_says_of_each_tap_behind_it_what_our_own_taps_say() -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    limited = {t.split()[0] for j in project["jobs"] for t in j["tasks"] if " limits " in t}
    described = {
        plugin["name"]: {s["name"]: s["description"] for s in plugin["settings"]}
        for plugin in project["plugins"]["extractors"] + project["plugins"]["mappers"]
        if plugin["name"] in {*limited, "map-limits"}
    }

    assert limited == {
        *("tap-genius", "tap-genius-mysql"),
        *("tap-google-sheets", "tap-marketsharp-mssql"),
    }
    for name, settings in described.items():
        assert settings["max_records"] == LIMITS["max_records"]["description"]
        assert "time_columns" in settings
        if name != "tap-google-sheets":  # whose sheets have no time of their own
            assert settings["start_date"] == LIMITS["start_date"]["description"]


def start(folder: Path, config: dict[str, Any]) -> subprocess.Popen[bytes]:
    (folder / "config.json").write_text(json.dumps(config))
    return subprocess.Popen(
        [BIN / "map-limits", "--config", folder / "config.json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_what_passes_is_the_tap_s_to_the_byte_also_after_a_signal(tmp_path: Path) -> None:
    odd = '{ "type":"RECORD","stream" : "a", "record":{"n":1.10e400, "s":"\\u00e9é"}, "x":1 }\n'
    long = json.dumps(record("a", 1, text="ü" * 200_000)) + "\n"
    for config in ({}, {"max_records": 5}):
        with start(tmp_path, config) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(odd.encode())
            process.stdin.flush()
            first = process.stdout.readline()  # it is not held back, and the mapper is up
            process.send_signal(signal.SIGTERM)
            rest, log = process.communicate((long + odd).encode())

        assert first + rest == (odd + long + odd).encode()
        assert (process.returncode, b"error" in log.lower()) == (0, False)


def test_bad_ends_have_a_code(tmp_path: Path) -> None:
    with start(tmp_path, {"max_records": 1, "time_columns": {"ghosts": "at"}}) as process:
        _, log = process.communicate(b"no message\n")
    assert process.returncode == 1
    assert b"no Singer message" in log

    with start(tmp_path, {"max_records": 10**9}) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()

        def gone() -> bool:
            try:
                process.stdin.write(b'{"type":"RECORD","stream":"a","record":{}}\n' * 999)  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
            except BrokenPipeError:
                return True
            return False

        until(gone)
        assert b"The target ended" in process.stderr.read()  # type: ignore[union-attr]
    assert process.returncode == 1
