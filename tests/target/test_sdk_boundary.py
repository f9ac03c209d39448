"""What the target takes of the SDK's private members is still what the SDK uses."""

from __future__ import annotations

import io
import re
import signal
from collections import Counter
from pathlib import Path
from typing import IO, Any, ClassVar

import pytest
import target_deals_postgres
from singer_sdk import Target
from target_deals_postgres import sdk


class Told(sdk.ByteTarget):
    name = "told"
    config_jsonschema: ClassVar[dict[str, Any]] = {"properties": {}}

    def read(self, source: IO[str] | None) -> Counter[str]:
        self.source = source
        return Counter({"RECORD": 1})

    def heed(self, number: int) -> None:
        self.number = number


@pytest.fixture
def told() -> Any:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield Told(config={})
    for one, handler in before.items():
        signal.signal(one, handler)


def test_the_input_and_the_signals_reach_the_target(told: Told) -> None:
    source = io.StringIO("not even JSON\n")
    told.listen(source)
    assert told.source is source
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)
        assert told.number == number


def test_the_overridden_members_are_the_sdks(told: Told) -> None:
    assert callable(Target._handle_termination)
    assert type(told)._handle_termination is not Target._handle_termination
    assert sdk.BatchFileFormat("jsonl") is sdk.BatchFileFormat.JSONL
    assert sdk.StorageTarget.split_url("file:///a/b.json")[1] == "b.json"


def test_no_other_module_reaches_into_the_sdk() -> None:
    private = re.compile(r"singer_sdk[\w.]*\._\w|from singer_sdk[\w.]* import .*\b_\w")
    root = Path(target_deals_postgres.__file__).parent
    found = [str(one) for one in root.rglob("*.py") if private.search(one.read_text())]
    assert found == [str(root / "sdk.py")]
