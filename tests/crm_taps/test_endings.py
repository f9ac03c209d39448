"""Every way the programs of the package end is told once, with a code that programs judge by."""

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
    told,
    wrong,
)
from harness.vendors.callrail import CallRail
from harness.vendors.running import BIN, QUICK
from harness.vendors.settings_table import TAPS, defined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def config() -> Iterator[dict[str, Any]]:
    with CallRail("s3cret-key") as vendor:
        vendor.add_account("ACC", calls=9)
        yield {"tenant_id": "acme", "api_key": vendor.key, "base_url": vendor.url, **QUICK}


def test_every_odd_input_ends_with_one_code(config: dict[str, Any], tmp_path: Path) -> None:
    main = "crm_taps.sources.callrail:TapCallRail.main"
    tap = Plugin("tap-callrail", main, config, "api_key", "calls")
    assert wrong(tap, cases(tap, tmp_path), tmp_path) == {}


@pytest.mark.parametrize("name", sorted(TAPS.keys() - {"tap-callrail"}))
def test_the_settings_of_every_tap_are_judged_alike(name: str, tmp_path: Path) -> None:
    tap_class = TAPS[name]
    main = f"{tap_class.__module__}:{tap_class.__name__}.main"
    secret = next(n for n, s in defined(name).items() if s.get("secret"))
    tap = Plugin(name, main, {}, secret, "odd")
    offline = {
        case: how
        for case, how in cases(tap, tmp_path).items()
        if case in {"else of another word", "maps that are a word", "--state list"}
    }
    assert len(offline) == 3
    assert wrong(tap, offline, tmp_path) == {}


def test_the_mapper_s_command_line_is_judged_as_a_tap_s(tmp_path: Path) -> None:
    mapper = Plugin("map-limits", "crm_taps.limits:MapLimits.main", {}, "start_date", "odd")
    offline = {case: how for case, how in cases(mapper, tmp_path).items() if case.startswith("--")}
    assert len(offline) > 3
    assert wrong(mapper, offline, tmp_path) == {}


@pytest.fixture
def start(config: dict[str, Any], tmp_path: Path) -> Start:
    """Starts the tap with the SDK's structured log."""
    settings, log = tmp_path / "config.json", tmp_path / "logging.yml"
    settings.write_text(json.dumps(config))
    log.write_text(LOGGING)

    def begin(*words: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [BIN / "tap-callrail", "--config", settings, *words],
            stderr=subprocess.PIPE,
            env={**os.environ, "SINGER_SDK_LOG_CONFIG": str(log)},
            **options,
        )

    return begin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_all_is_imported_is_told(start: Start, number: signal.Signals) -> None:
    with start(stdout=subprocess.PIPE) as process:
        interrupt_at_once(process, number)
        out, log = process.communicate(timeout=60)
    assert [end[:2] for end in told(log.decode())] == [("interrupted", True)]
    assert (process.returncode, out) == (128 + number, b"")


@pytest.mark.parametrize("words", [(), ("--discover",)])
@pytest.mark.parametrize("prepare", [full_disk, close_output])
def test_messages_that_cannot_be_written_are_told(
    start: Start, tmp_path: Path, prepare: Callable[[], None], words: tuple[str, ...]
) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        start(*words, stdout=out, preexec_fn=prepare) as process,
    ):
        _, log = process.communicate(timeout=60)
    assert [end[:2] for end in told(log.decode())] == [("target_gone", True)]
    assert process.returncode == 1


def test_a_target_that_went_is_told(start: Start) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(stdout=writing) as process:
        os.close(writing)
        _, log = process.communicate(timeout=60)
    assert [end[:2] for end in told(log.decode())] == [("target_gone", True)]
    assert process.returncode == 1
