"""Every way the tap ends is told once: a sentence for people, a code for programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from harness.endings import (
    LOGGING,
    Plugin,
    cases,
    close_output,
    full_disk,
    interrupt_at_once,
    wrong,
)
from harness.endings import told as told_in
from harness.singer import TAP, Output, config_for, discover, finished, run, start
from hubspot_simulator import Portal
from singer_sdk.exceptions import StreamMapConfigError
from tap_hubspot_deals.ending import SettingsError, StateError, ending_of
from tap_hubspot_deals.inputs import read_catalog, read_config, read_state
from tap_hubspot_deals.stream_maps import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]


@pytest.fixture(name="structured")
def _structured(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "logging.yaml"
    path.write_text(LOGGING)
    return {"SINGER_SDK_LOG_CONFIG": str(path)}


def told(output: Output) -> tuple[str, bool, str]:
    """The only error of a run: its code, whether to try again, and the sentence."""
    assert "Traceback" not in output.log
    [error] = told_in(output.log)
    return error


@pytest.mark.parametrize(
    ("changes", "fault", "code", "retryable"),
    [
        ({"page_size": 0, "start_date": "soon"}, {}, "settings_invalid", False),
        ({"properties": ["nonsense"]}, {}, "settings_invalid", False),
        ({"access_token": "pat-na1-wrong"}, {}, "hubspot_unauthorized", False),
        ({}, {"kind": "expired", "nth": 2}, "hubspot_unauthorized", False),
        ({}, {"kind": "missing_scope", "nth": 2}, "hubspot_missing_scope", False),
        ({}, {"kind": "daily", "nth": 2}, "hubspot_daily_limit", False),
        ({}, {"kind": "status", "status": 477, "nth": 2}, "hubspot_account_moving", False),
        ({}, {"kind": "status", "status": 404, "nth": 2}, "hubspot_refused", False),
        ({"base_url": "http://127.0.0.1:9"}, {}, "hubspot_unavailable", True),
    ],
)
def test_an_end_has_one_code(
    hubspot: Simulator,
    tmp_path: Path,
    structured: dict[str, str],
    changes: dict[str, Any],
    fault: dict[str, Any],
    code: str,
    retryable: bool,  # noqa: FBT001 - a column of the table
) -> None:
    if fault:
        hubspot.fail(fault.pop("kind"), endpoint="list", **fault)
    config = {**config_for(hubspot, page_size=50), **changes}

    output = run(tmp_path, config, environment=structured)

    assert output.code == 1
    assert told(output)[:2] == (code, retryable)


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        ({"__else__": "odd"}, '__else__ must be null or "__NULL__"'),
        ({"__else__": {}}, "__else__ must be null"),
        ({"deals": {"__else__": ["a"]}}, "__else__ of deals must be null"),
        ({"deals": 1}, 'deals must be null or "__NULL__", or an object'),
        ({"deals": {"name": 1}}, "name of deals must be null .* or an expression"),
        ({"deals": {"name": " "}}, "name of deals must be"),
        ({"deals": {"__key_properties__": "id"}}, "__key_properties__ of deals .* a list of names"),
    ],
)
def test_a_stream_map_of_another_shape_is_named(maps: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StreamMapConfigError, match=sentence) as refused:
        judge({"stream_maps": maps})
    assert ending_of(refused.value).code == "stream_map_failed"


def test_every_odd_input_ends_with_one_code(hubspot: Simulator, tmp_path: Path) -> None:
    config = config_for(hubspot)
    tap = Plugin(
        "tap-hubspot-deals", "tap_hubspot_deals.__main__:main", config, "access_token", "deals"
    )
    assert wrong(tap, cases(tap, tmp_path), tmp_path) == {}


def test_stream_maps_may_be_null() -> None:
    config: dict[str, Any] = {"stream_maps": None, "tenant_id": "acme"}
    judge(config)
    assert config == {"tenant_id": "acme"}
    judge({"stream_maps": {"a": None, "b": {"__else__": None, "id": "id"}, "__else__": "__NULL__"}})


def test_a_state_that_no_run_wrote_is_told(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str]
) -> None:
    partition = {"context": {"_tenant_id": "acme"}, "replication_key_value": "yesterday"}
    state = {"bookmarks": {"deals": {"partitions": [partition]}}}

    output = run(tmp_path, config_for(hubspot), environment=structured, state=state)

    assert output.code == 1
    assert told(output)[:2] == ("state_invalid", False)


def test_a_signal_and_a_target_that_went_are_told(
    serve: Serve, tmp_path: Path, structured: dict[str, str]
) -> None:
    hubspot = serve(Portal.generate(2000, custom_properties=1), latency_ms=5)
    process = start(tmp_path, config_for(hubspot, page_size=20), environment=structured)
    hubspot.after(30, lambda: process.send_signal(signal.SIGTERM))
    output = finished(process)
    assert output.code == 143
    assert told(output)[:2] == ("interrupted", True)

    process = start(tmp_path, config_for(hubspot), environment=structured)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    log = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert told(Output([], log, 1))[:2] == ("target_gone", True)


def test_what_nobody_expected_is_told_without_values() -> None:
    try:
        {"key": 1}["of a person"]
    except KeyError as exc:
        ending = ending_of(exc)
    assert (ending.code, ending.retryable, ending.status) == ("unexpected", False, 1)
    assert "KeyError" in ending.sentence
    assert "test_endings.py" in ending.sentence
    assert "of a person" not in ending.sentence


def test_discovery_ends_with_a_code_too(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str]
) -> None:
    assert discover(config_for(hubspot))
    config = config_for(hubspot, access_token="pat-na1-wrong")
    output = run(tmp_path, config, "--discover", environment=structured)
    assert told(output)[0] == "hubspot_unauthorized"


def written(folder: Path, content: bytes | None) -> Path:
    """A file; None: one that is not there."""
    file = folder / "odd"
    if content is not None:
        file.write_bytes(content)
    return file


@pytest.mark.parametrize("content", [b'{"tenant_id":', b'{"tenant_id": "\xe9"}', b'"x"', None])
def test_a_config_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    with pytest.raises(SettingsError, match="A file of --config cannot be read"):
        read_config([str(written(tmp_path, content))])


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"\xff", b"{}", b'{"streams": "x"}', b'{"streams": [{"schema": {}}]}'],
)
def test_a_catalog_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)
    with file.open(encoding="utf-8") as opened, pytest.raises(SettingsError, match="--catalog"):
        read_catalog(opened)


@pytest.mark.parametrize("content", [b"", b"5", b"null", b"{", b"\xff"])
def test_a_state_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)
    with file.open(encoding="utf-8") as opened, pytest.raises(StateError, match="--state"):
        read_state(opened)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_all_is_imported_is_told(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str], signum: signal.Signals
) -> None:
    process = start(tmp_path, config_for(hubspot), environment=structured)
    interrupt_at_once(process, signum)

    output = finished(process)

    assert output.code == 128 + signum
    assert output.messages == []
    assert told(output)[:2] == ("interrupted", True)


def test_messages_that_cannot_be_written_are_told(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str]
) -> None:
    config, out = tmp_path / "config", tmp_path / "out"
    config.write_text(json.dumps(config_for(hubspot)))

    for prepare in (full_disk, close_output):
        with out.open("wb") as written:
            ended = subprocess.run(
                [TAP, "--config", config],
                stdout=written,
                stderr=subprocess.PIPE,
                env={**os.environ, **structured},
                preexec_fn=prepare,
                check=False,
            )
        assert ended.returncode == 1
        assert told(Output([], ended.stderr.decode(), 1))[:2] == ("target_gone", True)


def test_a_log_that_cannot_be_written_fails_no_run(hubspot: Simulator, tmp_path: Path) -> None:
    config, log = tmp_path / "config", tmp_path / "log"
    config.write_text(json.dumps(config_for(hubspot)))

    with log.open("wb") as written:
        ended = subprocess.run(
            [TAP, "--config", config],
            stdout=subprocess.PIPE,
            stderr=written,
            preexec_fn=full_disk,
            check=False,
        )

    assert ended.returncode == 0
    assert b'"type":"STATE"' in ended.stdout.splitlines()[-1]
    assert log.stat().st_size == 100
