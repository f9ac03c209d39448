"""The target as a process of its own, fed by a test line by line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading

PROPERTIES = {"_tenant_id": "string", "id": "integer", "v": "string", "n": "number"}
KEYS = ["_tenant_id", "id"]


class Process:
    """A target of its own process, fed by the test."""

    def __init__(self, url: str, **settings: Any) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(
                {"database_url": url, "batch_size_rows": 500, "batch_seconds": 0.2, **settings},
                file,
            )
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - read at the end
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - read at the end
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "target_deals_postgres", "--config", file.name],
            stdin=subprocess.PIPE,
            stdout=self.output,
            stderr=self.errors,
        )

    def send(self, *messages: Any) -> None:
        assert self.popen.stdin is not None
        for message in messages:
            self.popen.stdin.write(json.dumps(message).encode() + b"\n")
        self.popen.stdin.flush()

    def send_rows(
        self,
        count: int,
        *,
        tenant: str = "a",
        start: int = 0,
        v: str = "x",
        stop: threading.Event | None = None,
    ) -> None:
        """Send a SCHEMA and rows, with a STATE that counts them after every hundredth."""
        try:
            self.send(schema("t", PROPERTIES, KEYS))
            for at in range(start, start + count):
                self.send(record(tenant, at, v))
                if at % 100 == 99:
                    self.send({"type": "STATE", "value": at + 1})
                    if stop is not None and stop.is_set():
                        return
        except BrokenPipeError:
            pass

    def end(self, timeout: float = 60) -> int:
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        return self.popen.wait(timeout)

    def states(self) -> list[Any]:
        self.output.seek(0)
        return [json.loads(line) for line in self.output.read().splitlines()]

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        self.errors.close()
        self.output.close()

    def log(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode()


Start = Callable[..., Process]
"""Starts a target on a URL, with settings."""


def schema(stream: str, properties: dict[str, str], keys: list[str]) -> dict[str, Any]:
    """A SCHEMA message; every property may be null."""
    full = {name: {"type": [type_, "null"]} for name, type_ in properties.items()}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"properties": full},
        "key_properties": keys,
    }


def record(tenant: str, at: int, v: str = "x") -> dict[str, Any]:
    return {
        "type": "RECORD",
        "stream": "t",
        "record": {"_tenant_id": tenant, "id": at, "v": v, "n": at / 4},
    }


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
