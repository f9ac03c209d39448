"""Every way the tap ends is told once: a sentence for people, a code for programs."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import TAP, Output, config_for, discover, finished, run, start
from hubspot_simulator import Portal
from singer_sdk.exceptions import StreamMapConfigError
from tap_hubspot_deals.ending import SettingsError, StateError, ending_of
from tap_hubspot_deals.inputs import read_catalog, read_config, read_state
from tap_hubspot_deals.stream_maps import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

LOGGING = """
version: 1
disable_existing_loggers: false
formatters: {json: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {err: {class: logging.StreamHandler, formatter: json, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [err]}
"""


@pytest.fixture(name="structured")
def _structured(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "logging.yaml"
    path.write_text(LOGGING)
    return {"SINGER_SDK_LOG_CONFIG": str(path)}


def told(output: Output) -> tuple[str, bool, str]:
    """The only error of a run: its code, whether to try again, and the sentence."""
    assert "Traceback" not in output.log
    events = [json.loads(line) for line in output.log.splitlines() if line.startswith("{")]
    [error] = [e for e in events if e["level"].upper() in {"ERROR", "CRITICAL"}]
    return error["extra"]["code"], error["extra"]["retryable"], error["message"]


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
        (
            {"stream_maps": {"deals": {"name": "nonsense("}}},
            {},
            "stream_map_failed",
            False,
        ),
        ({"stream_maps": {"__else__": "odd"}}, {}, "stream_map_failed", False),
        ({"stream_maps": {"deals": {"__alias__": "1 / 0"}}}, {}, "stream_map_failed", False),
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


@pytest.mark.parametrize("changes", [{"access_token": 4711}, {"client_secret": ["4711"]}])
def test_a_secret_that_is_no_text_is_named_and_not_shown(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str], changes: dict[str, Any]
) -> None:
    output = run(tmp_path, config_for(hubspot, **changes), environment=structured)

    [name] = changes
    assert told(output) == ("settings_invalid", False, f"{name} must be a text.")
    assert "4711" not in output.log


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


@pytest.mark.parametrize(
    ("option", "content", "code", "status"),
    [
        ("config", b"[1, 2]", "settings_invalid", 1),
        ("catalog", b"{", "settings_invalid", 1),
        ("state", b"[]", "state_invalid", 1),
        ("state", None, "state_invalid", 2),
        ("nonsense", None, "settings_invalid", 2),
    ],
)
def test_a_file_or_option_that_cannot_be_used_is_told(
    hubspot: Simulator,
    tmp_path: Path,
    structured: dict[str, str],
    option: str,
    content: bytes | None,
    code: str,
    status: int,
) -> None:
    file = written(tmp_path, content)

    output = run(tmp_path, config_for(hubspot), f"--{option}", str(file), environment=structured)

    assert output.code == status
    assert told(output)[:2] == (code, False)


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


def holds_signals(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has begun to let signals wait."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
    return bool(blocked >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_all_is_imported_is_told(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str], signum: signal.Signals
) -> None:
    process = start(tmp_path, config_for(hubspot), environment=structured)
    while not holds_signals(process):
        assert process.poll() is None
    process.send_signal(signum)

    output = finished(process)

    assert output.code == 128 + signum
    assert output.messages == []
    assert told(output)[:2] == ("interrupted", True)


def test_messages_that_cannot_be_written_are_told(
    hubspot: Simulator, tmp_path: Path, structured: dict[str, str]
) -> None:
    config, out = tmp_path / "config", tmp_path / "out"
    config.write_text(json.dumps(config_for(hubspot)))

    def fill_up() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    def close() -> None:
        os.close(1)

    for prepare in (fill_up, close):
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

    def fill_up() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    with log.open("wb") as written:
        ended = subprocess.run(
            [TAP, "--config", config],
            stdout=subprocess.PIPE,
            stderr=written,
            preexec_fn=fill_up,
            check=False,
        )

    assert ended.returncode == 0
    assert b'"type":"STATE"' in ended.stdout.splitlines()[-1]
    assert log.stat().st_size == 100
