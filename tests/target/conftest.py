"""What the target's tests share: a loader that runs the target in this process, and SQL."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import binaries, connect, default_version
from harness.loading import Process
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.loading import Start

Message = dict[str, Any] | str


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_version: runs on each PostgreSQL of the machine")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What PostgreSQL does itself is asked of its oldest version here too."""
    marked = any(metafunc.definition.iter_markers("every_version"))
    if not marked or "postgres_server" not in metafunc.fixturenames:
        return
    if {"DATABASE_URL", "POSTGRES_BIN"} & os.environ.keys():
        return
    default, *others = sorted(binaries(), key=lambda version: version != default_version())
    none = pytest.param("", marks=pytest.mark.skip("only one PostgreSQL is installed here"))
    metafunc.parametrize(
        "postgres_server", [default, *others] if others else [default, none], indirect=True
    )


class Loader:
    """Runs the target in this process on given messages, and asks its database."""

    def __init__(
        self, url: str, captured: pytest.CaptureFixture[str], log: pytest.LogCaptureFixture
    ) -> None:
        self.url = url
        self._captured = captured
        self._log = log

    @staticmethod
    def schema(
        stream: str, properties: dict[str, Any], keys: list[str] | None = None, **more: Any
    ) -> Message:
        """A SCHEMA message; a type name alone stands for a nullable property of that type."""
        full = {
            name: {"type": [spec, "null"]} if isinstance(spec, str) else spec
            for name, spec in properties.items()
        }
        schema = {"type": "object", "properties": full, **more}
        return {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": keys or []}

    @staticmethod
    def records(stream: str, *records: dict[str, Any], **more: Any) -> list[Message]:
        return [{"type": "RECORD", "stream": stream, "record": one, **more} for one in records]

    @staticmethod
    def state(value: Any) -> Message:
        return {"type": "STATE", "value": value}

    @staticmethod
    def activate(stream: str, version: int) -> Message:
        return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}

    def load(self, *messages: Message | list[Message], **settings: Any) -> list[Any]:
        """Load messages; return the states that came out."""
        lines = [
            one if isinstance(one, str) else json.dumps(one)
            for message in messages
            for one in (message if isinstance(message, list) else [message])
        ]
        target = TargetDealsPostgres(config={"database_url": self.url, **settings})
        self._captured.readouterr()
        try:
            target.listen(io.StringIO("\n".join(lines) + "\n"))
        finally:
            self.states = [
                json.loads(line) for line in self._captured.readouterr().out.splitlines()
            ]
        return self.states

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with connect(self.url) as opened, opened.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'")
            cursor.execute(query, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def types(self, table: str) -> dict[str, str]:
        return dict(
            self.rows(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'hubspot' AND table_name = %s ORDER BY ordinal_position",
                table,
            )
        )

    @property
    def log(self) -> str:
        return self._log.text


@pytest.fixture
def pg(
    database_url: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Loader]:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    caplog.set_level(logging.INFO)
    yield Loader(database_url, capsys, caplog)
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts targets, and ends those that a test leaves."""
    started: list[Process] = []

    def begin(url: str, **settings: Any) -> Process:
        started.append(Process(url, **settings))
        return started[-1]

    yield begin
    for process in started:
        process.close()
