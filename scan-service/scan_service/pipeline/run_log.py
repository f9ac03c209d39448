"""Knows what the log of a `meltano run` says: how far it is, and why it ended."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scan_service.ledger.runs import LONGEST_REASON
from scan_service.logs import mask

if TYPE_CHECKING:
    from pathlib import Path

TAP = "tap-hubspot-deals"
TARGET = "target-deals-postgres"
_MOST_AT_ONCE = 4 * 1024 * 1024
_KEPT_ERRORS = 20
# The tap's and the target's sentences (their errors.py): which kind of failure each one tells.
_AUTH = re.compile(r"refused the credentials|The token may not read|gives no token|that no token")
_DAILY = re.compile(r"daily limit|another data centre")
_LIMITED = re.compile(r"HubSpot limits requests")
_STUMBLED = re.compile(
    r"HubSpot answered (423|5\d\d)|No answer for|no complete JSON|token endpoint|Run again\."
)
_DATABASE_AWAY = re.compile(
    r"cannot be reached|SQLSTATE (08|53|57)|connection|server closed|SSL SYSCALL|deadlock",
    re.IGNORECASE,
)
# Meltano's and the tap's words for a target that is gone.
_PIPE_BROKE = re.compile(r"BrokenPipeError|ConnectionResetError|The target ended before the tap")


@dataclass(frozen=True)
class Verdict:
    """How a run ended."""

    completed: bool
    code: str = ""
    message: str = ""
    try_again: bool = False


@dataclass
class LogReader:
    """Follows the log of one run while it grows, and counts the records of the given streams."""

    path: Path
    streams: frozenset[str] = frozenset({"deals"})
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    _offset: int = 0
    _rest: bytes = b""
    _errors: dict[str, list[str]] = field(default_factory=dict)
    _exit_codes: dict[str, int] = field(default_factory=dict)
    _other: list[str] = field(default_factory=list)

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
            if text := line.decode(errors="replace").strip(" │╭╮╰╯─\t"):
                self._other = [*self._other, text][-_KEPT_ERRORS:]
            return
        plugin = str(entry.get("name") or entry.get("string_id") or "meltano")
        if isinstance(metric := entry.get("metric_info"), dict):
            self._metric(plugin, metric)
        if isinstance(codes := entry.get("exit_codes"), dict):
            self._exit_codes |= {str(k): v for k, v in codes.items() if isinstance(v, int)}
        if entry.get("level") in ("error", "critical", "exception"):
            text = str(entry.get("event") or "")
            failure = entry.get("exception") or entry.get("err")
            if isinstance(failure, str) and failure.strip():
                text = f"{text} {failure.strip().splitlines()[-1]}"
            elif isinstance(failure, (list, dict)):
                text = f"{text} {_innermost(failure)}"
            if text.strip():
                self._errors.setdefault(plugin, []).append(text.strip())
                del self._errors[plugin][:-_KEPT_ERRORS]

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

    def verdict(self, exit_code: int) -> Verdict:
        """Judge an ended run by its exit code and what its log said."""
        if exit_code == 0:
            return Verdict(completed=True)
        target = self._errors.get(TARGET, [])
        # A target that fails breaks the tap's pipe: its word counts first, where it has one.
        if target or self._exit_codes.get("loaders"):
            away = _DATABASE_AWAY.search(" ".join(target)) is not None
            again = away or (self._killed() and not target)
            return _failed("DATABASE_ERROR", _last(target) or "The loader failed", try_again=again)
        tap, meltano = self._errors.get(TAP, []), self._errors.get("meltano", [])
        if _PIPE_BROKE.search(_last(tap or meltano or self._other)):
            # Meltano may meet the broken pipe before it asks how the target ended; a target that
            # had a reason would have said it.
            return _failed("DATABASE_ERROR", "The loader was killed", try_again=True)
        if tap:
            return self._tap_failed(tap)
        if self._killed() or exit_code < 0 or exit_code > 128:  # noqa: PLR2004 - by a signal
            return _failed("INTERNAL_ERROR", "The run was killed", try_again=True)
        other = _last(meltano) or _last(self._other)
        return _failed("INTERNAL_ERROR", other or f"The run ended with {exit_code}")

    def _killed(self) -> bool:
        return any(code < 0 or code in (137, 143) for code in self._exit_codes.values())

    def _tap_failed(self, said: list[str]) -> Verdict:
        text, message = " ".join(said), _last(said)
        if _AUTH.search(text):
            return _failed("HUBSPOT_AUTH_ERROR", message)
        if _DAILY.search(text):
            return _failed("HUBSPOT_RATE_LIMIT", message)
        if _LIMITED.search(text):
            return _failed("HUBSPOT_RATE_LIMIT", message, try_again=True)
        again = self._killed() or _STUMBLED.search(text) is not None
        return _failed("HUBSPOT_API_ERROR", message, try_again=again)


def _failed(code: str, message: str, *, try_again: bool = False) -> Verdict:
    return Verdict(
        completed=False, code=code, message=mask(message)[:LONGEST_REASON], try_again=try_again
    )


def _last(messages: list[str]) -> str:
    return messages[-1] if messages else ""


def _innermost(failure: list[Any] | dict[str, Any]) -> str:
    """Return type and text of a structured traceback's last exception."""
    last = failure[-1] if isinstance(failure, list) and failure else failure
    if not isinstance(last, dict):
        return ""
    return f"{last.get('exc_type', '')}: {last.get('exc_value', '')}"
