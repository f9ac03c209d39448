"""Asked to end, the tap ends soon, with its state out and an exit code that says so."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, finished, output_of, start
from hubspot_simulator import Portal

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

SOON = 8.0
"""Generous: the tap promises about two seconds, the machine may be busy."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("nth", [2, 70])
def test_a_signal_in_mid_run_leaves_whole_lines_and_a_state(
    serve: Serve, tmp_path: Path, number: signal.Signals, code: int, nth: int
) -> None:
    hubspot = serve(Portal.generate(2000, custom_properties=1), latency_ms=5)
    mirroring = Mirroring(hubspot)
    processes: list[subprocess.Popen[bytes]] = []
    hubspot.after(nth, lambda: processes[0].send_signal(number))
    processes.append(start(tmp_path, config_for(hubspot, page_size=20)))
    content, log = processes[0].communicate(timeout=60)
    assert processes[0].returncode == code
    assert content.endswith(b"\n")
    assert b"Traceback" not in log
    output = output_of(content)
    assert output.messages[-1]["type"] == "STATE"
    mirroring.mirror.take(output)
    hubspot.answer_hooks.clear()
    mirroring.run(page_size=20)
    assert mirroring.differences() == []


def seconds_to_end(process: subprocess.Popen[bytes]) -> float:
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    return time.monotonic() - started


def waiting_for(hubspot: Simulator, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(hubspot.requests)


def test_a_full_pipe_does_not_hold_the_tap(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(2000, custom_properties=1))
    process = start(tmp_path, config_for(hubspot))
    waiting_for(hubspot, lambda: hubspot.requests.count(endpoint="associations") >= 2)
    time.sleep(1.5)  # the pipe holds 64 kB, the first page of records has 200
    assert process.poll() is None
    assert seconds_to_end(process) < SOON
    assert finished(process).code == 143


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_emptied_in_time_ends_with_a_state(
    serve: Serve, tmp_path: Path, unbuffered: str
) -> None:
    hubspot = serve(Portal.generate(2000, custom_properties=1))
    environment = {"PYTHONUNBUFFERED": unbuffered}
    process = start(tmp_path, config_for(hubspot), environment=environment)
    waiting_for(hubspot, lambda: hubspot.requests.count(endpoint="associations") >= 2)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    content, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert content.endswith(b"\n")
    assert output_of(content).messages[-1]["type"] == "STATE"


@pytest.mark.parametrize(
    ("kind", "options"),
    [("ten_secondly", {"retry_after": 60}), ("hang", {}), ("status", {"retry_after": 60})],
)
@pytest.mark.parametrize(
    "endpoint", ["properties", "list", pytest.param("associations", marks=pytest.mark.heavy)]
)
def test_waiting_does_not_hold_the_tap(
    serve: Serve, tmp_path: Path, kind: Any, options: dict[str, Any], endpoint: str
) -> None:
    hubspot = serve(Portal.generate(300))
    # The first two association requests only ask whether the token may read these links.
    later = {"nth": list(range(3, 50))} if endpoint == "associations" else {}
    fault = hubspot.fail(kind, endpoint=endpoint, **options, **later)
    process = start(tmp_path, config_for(hubspot))
    watch = threading.Timer(60, process.kill)
    watch.start()
    waiting_for(hubspot, lambda: fault.struck > 0)
    time.sleep(0.3)
    took = seconds_to_end(process)
    watch.cancel()
    output = finished(process)
    assert output.code == 143
    assert took < SOON
    if endpoint != "properties":
        assert output.messages[-1]["type"] == "STATE"


def test_a_target_that_ended_is_told_in_a_sentence(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(2000, custom_properties=1))
    process = start(tmp_path, config_for(hubspot))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    log = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert "The target ended before the tap." in log
    assert "Traceback" not in log
