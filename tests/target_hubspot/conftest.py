"""The target as a process of its own, against a small account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TOKEN = "pat-na1-target"
TARGET = str(Path(sys.executable).with_name("target-hubspot"))
WRITING = ("batch_create", "batch_update", "batch_upsert", "batch_archive", "link", "unlink")
Message = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A run that ended."""

    status: int
    states: list[Any]
    log: str
    report: dict[str, Any]
    errors: list[dict[str, Any]]

    @property
    def code(self) -> str:
        """The code of the one error record; empty without one."""
        assert len(self.errors) == (self.status != 0), self.log
        return str(self.errors[0]["extra"]["code"]) if self.errors else ""


def schema(stream: str, keys: Sequence[str] = (), **types: Any) -> Message:
    kinds = {name: {"type": [kind, "null"]} for name, kind in types.items()}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": kinds},
        "key_properties": list(keys),
    }


def record(stream: str, **values: Any) -> Message:
    return {"type": "RECORD", "stream": stream, "record": values}


def state(value: Any) -> Message:
    return {"type": "STATE", "value": value}


def lines(messages: Sequence[Message]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in messages)


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "singer_sdk.logging.StructuredFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"level": "INFO", "handlers": ["console"]},
}


class Target:
    """Starts the target with the settings of one test."""

    def __init__(self, hubspot: Simulator, folder: Path) -> None:
        self.hubspot = hubspot
        self.folder = folder
        self.rejected = folder / "rejected.jsonl"
        logs = folder / "logging.json"
        logs.write_text(json.dumps(LOGGING))
        self.environment = {**os.environ, "SINGER_SDK_LOG_CONFIG": str(logs)}

    def start(
        self,
        *,
        stdout: Any = subprocess.PIPE,
        preexec_fn: Callable[[], None] | None = None,
        **settings: Any,
    ) -> subprocess.Popen[bytes]:
        config = self.folder / "config.json"
        own = {
            "access_token": TOKEN,
            "base_url": self.hubspot.url,
            "report_path": str(self.folder / "report.json"),
            "rejected_path": str(self.rejected),
        }
        config.write_text(
            json.dumps({k: v for k, v in {**own, **settings}.items() if v is not None})
        )
        return subprocess.Popen(
            [TARGET, "--config", str(config)],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=self.environment,
            preexec_fn=preexec_fn,  # noqa: PLW1509 - it calls one function of the system
        )

    def __call__(self, *messages: Message, **settings: Any) -> Ended:
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        with self.start(**settings) as process:
            out, log = process.communicate(lines(messages), timeout=120)
        parsed = [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]
        return Ended(
            process.returncode,
            [json.loads(line) for line in out.splitlines()],
            log.decode(),
            json.loads(report.read_text()) if report.exists() else {},
            [each for each in parsed if each["level"] == "error"],
        )

    def rejects(self) -> list[dict[str, Any]]:
        if not self.rejected.exists():
            return []
        return [json.loads(line) for line in self.rejected.read_text().splitlines()]

    def writing_calls(self) -> int:
        return sum(self.hubspot.requests.count(endpoint=each) for each in WRITING)


@pytest.fixture
def portal() -> Portal:
    portal = Portal.generate(4, seed=5, token=TOKEN)
    portal.add_property("deals", "booking", has_unique_value=True)
    return portal


@pytest.fixture
def hubspot(portal: Portal) -> Iterator[Simulator]:
    with Simulator([portal]) as simulator:
        yield simulator


@pytest.fixture
def target(hubspot: Simulator, tmp_path: Path) -> Callable[..., Ended]:
    return Target(hubspot, tmp_path)
