"""Knows what the log of a `meltano run` says: how far it is, and how its plugins ended."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scan_service.pipeline.hindrances import Hindrances
from scan_service.pipeline.pace import Pace
from scan_service.pipeline.verdicts import TAP, TARGET, VERIFY, Ending, Verdict, judge

if TYPE_CHECKING:
    from pathlib import Path

_MOST_AT_ONCE = 4 * 1024 * 1024
# Meltano itself may meet the pipe that a killed target left, before it asks how the target ended.
_BROKEN_PIPES = frozenset({"BrokenPipeError", "ConnectionResetError"})


@dataclass
class LogReader:
    """Follows the log of one run while it grows, and counts the records of the given streams."""

    path: Path
    streams: frozenset[str] = frozenset({"deals"})
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    # What the tap told of each type's properties (`run_catalog.columns_of`).
    properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    hindrances: Hindrances = field(default_factory=Hindrances)
    pace: Pace = field(default_factory=lambda: Pace({}, 0))
    _offset: int = 0
    _rest: bytes = b""
    _endings: dict[str, Ending] = field(default_factory=dict)
    _exit_codes: dict[str, int] = field(default_factory=dict)
    _pipe_broke: bool = False
    _other: str = ""

    def follow(self) -> bool:
        """Read what is new; tell whether there was anything."""
        try:
            with self.path.open("rb") as log:
                log.seek(self._offset)
                piece = log.read(_MOST_AT_ONCE)
        except FileNotFoundError:
            return False
        self._offset += len(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._line(line)
        return bool(piece)

    def _line(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            # A traceback box, or a warning of the interpreter: keep the latest for the reason.
            self._other = line.decode(errors="replace").strip(" │╭╮╰╯─\t") or self._other
            return
        if entry.get("cmd_type") == "command":
            entry = _unwrapped(entry)
        plugin = str(entry.get("name") or entry.get("string_id") or "meltano")
        if isinstance(metric := entry.get("metric_info"), dict):
            self._metric(plugin, metric)
        if entry.get("rejected_stream") in (None, *self.streams):  # links are no items
            self.hindrances.note(plugin, entry)
        self.pace.note(plugin, entry)
        if plugin == TAP and isinstance(nested := entry.get("nested_properties"), dict):
            self.properties[str(entry.get("object_type"))] = nested
        if isinstance(codes := entry.get("exit_codes"), dict):
            self._exit_codes |= {str(k): v for k, v in codes.items() if isinstance(v, int)}
        if entry.get("level") in ("error", "critical", "exception"):
            self._error(plugin, entry)

    def _error(self, plugin: str, entry: dict[str, Any]) -> None:
        text = str(entry.get("event") or "").strip()
        if plugin in (TAP, TARGET) and isinstance(code := entry.get("code"), str):
            self._endings[plugin] = Ending(code, entry.get("retryable") is True, text)
            return
        failure = entry.get("exception") or entry.get("err")
        if isinstance(failure, str) and failure.strip():
            text = f"{text} {failure.strip().splitlines()[-1]}"
        elif isinstance(failure, (list, dict)):
            kind, value = _innermost(failure)
            self._pipe_broke |= kind in _BROKEN_PIPES
            text = f"{text} {kind}: {value}"
        self._other = text.strip() or self._other

    def _metric(self, plugin: str, metric: dict[str, Any]) -> None:
        tags = metric.get("tags")
        if metric.get("metric") != "record_count" or not isinstance(tags, dict):
            return
        stream, value = tags.get("stream"), metric.get("value")
        if stream not in self.streams or not isinstance(value, int):
            return
        if plugin == TAP:
            self.read[stream] += value
        elif plugin == TARGET:
            self.written[stream] += value

    def note(self, plugin: str, ending: Ending) -> None:
        """Take how a plugin ended that told it elsewhere."""
        self._endings[plugin] = ending

    def verdict(self, exit_code: int) -> Verdict:
        """Judge an ended run by its exit code and what its log said."""
        return judge(
            exit_code,
            self._endings,
            self._exit_codes,
            pipe_broke=self._pipe_broke,
            other=self._other,
        )


def _unwrapped(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a utility wrote itself, which Meltano has as the text of an entry of its own."""
    try:
        inner = json.loads(str(entry.get("event")))
    except ValueError:
        return entry
    return inner if isinstance(inner, dict) and inner.get("name") == VERIFY else entry


def _innermost(failure: list[Any] | dict[str, Any]) -> tuple[str, str]:
    """Return type and text of a structured traceback's last exception."""
    last = failure[-1] if isinstance(failure, list) and failure else failure
    if not isinstance(last, dict):
        return "", ""
    return str(last.get("exc_type", "")), str(last.get("exc_value", ""))
