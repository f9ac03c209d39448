"""A source's tap as tests run it: in this process, or as a process before the target."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.database import connect
from harness.singer import Output, parse, signals_kept

if TYPE_CHECKING:
    from crm_taps.tap import SourceTap

    from harness.vendors.server import Vendor

TENANT = "acme"
BIN = Path(sys.executable).parent
QUICK = {"retry_wait_seconds": 0.001, "timeout_seconds": 20}


def read(
    tap_class: type[SourceTap],
    config: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    deselect: tuple[str, ...] = (),
) -> Output:
    """Run a tap in this process; its errors come out as exceptions, with `.output` before them."""
    written = io.BytesIO()
    given = {"tenant_id": TENANT, **QUICK, **config}
    with signals_kept(), contextlib.redirect_stdout(io.TextIOWrapper(written)) as out:
        try:
            tap = tap_class(config=given, state=json.loads(json.dumps(state)) if state else None)
            for name in deselect:
                tap.streams[name].selected = False
            tap.run()
        except Exception as exc:
            exc.output = _output(out, written)  # type: ignore[attr-defined]
            raise
        return _output(out, written)


def _output(out: io.TextIOWrapper, written: io.BytesIO) -> Output:
    out.flush()
    return Output([parse(line) for line in written.getvalue().splitlines()])


@dataclass
class Loaded:
    """What a run of tap and target left: exit codes, logs and the last state."""

    codes: tuple[int, int]
    log: str
    state: dict[str, Any] | None

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The tap's log records of level error."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["level"] in {"error", "critical"}]


def load(
    folder: Path,
    tap: str,
    config: dict[str, Any],
    url: str,
    *,
    state: dict[str, Any] | None = None,
    schema: str = "crm",
    vendor: Vendor | None = None,
    **target_settings: Any,
) -> Loaded:
    """Run a tap and the target as processes with a pipe between them; a vendor may kill the tap."""

    def file(name: str, content: Any) -> str:
        path = folder / f"{tap}-{name}.json"
        path.write_text(json.dumps(content))
        return str(path)

    reading = [str(BIN / tap), "--config", file("config", {"tenant_id": TENANT, **QUICK, **config})]
    if state is not None:
        reading += ["--state", file("state", state)]
    target = {
        "database_url": url,
        "default_target_schema": schema,
        "batch_seconds": 1,
        **target_settings,
    }
    writing = [str(BIN / "target-deals-postgres"), "--config", file("target", target)]
    logging = {"SINGER_SDK_LOG_CONFIG": _structured(folder)}
    with (
        (folder / "tap.log").open("wb") as log,
        (folder / "target.log").open("wb") as target_log,
        (folder / "states").open("wb") as states,
    ):
        first = subprocess.Popen(
            reading,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"PATH": "/usr/bin:/bin", "TAP_LOG": "", **logging},
        )
        if vendor is not None:
            vendor.client = first
        second = subprocess.Popen(writing, stdin=first.stdout, stdout=states, stderr=target_log)
        assert first.stdout is not None
        first.stdout.close()
        codes = (first.wait(120), second.wait(120))
    lines = (folder / "states").read_bytes().splitlines()
    text = (folder / "tap.log").read_text() + (folder / "target.log").read_text()
    return Loaded(codes, text, json.loads(lines[-1]) if lines else state)


def _structured(folder: Path) -> str:
    path = folder / "logging.yml"
    path.write_text(
        "version: 1\ndisable_existing_loggers: false\n"
        "formatters: {json: {(): singer_sdk.logging.StructuredFormatter}}\n"
        "handlers: {err: {class: logging.StreamHandler, formatter: json, stream: ext://sys.stderr}}\n"
        "root: {level: INFO, handlers: [err]}\n"
    )
    return str(path)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """A query's rows."""
    with connect(url) as opened, opened.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def until(condition: Any, seconds: float = 30) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
