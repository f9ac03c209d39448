"""One stream of one file on its way: the tap and the target as two processes and a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drop_folder.account import TOKEN

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from drop_folder.folder import Claim
    from drop_folder.mapping import Mapping

DIED = "died"
SETTING = "TARGET_HUBSPOT_"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "singer_sdk.logging.StructuredFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
}


@dataclass(frozen=True)
class Reject:
    """A row that HubSpot did not take."""

    line: int
    property: str
    code: str


@dataclass(frozen=True)
class Passed:
    """How a stream went.

    Args:
        code: How the target ended: empty when well, `died` when it said nothing.
        sentence: What it said.
        sums: Its sums by kind.
        links: The same of links.
        rejects: The rows that were not taken.
    """

    code: str
    sentence: str = ""
    sums: dict[str, Any] = field(default_factory=dict)
    links: dict[str, Any] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)


class Pipeline:
    """Starts taps and targets; a signal is passed on to the target, which ends its batch.

    Args:
        mapping: The whole.
        mapping_path: Where it stands.
        work: A folder that only its owner reads.
        dry_run: Whether HubSpot is only read.
    """

    def __init__(
        self, mapping: Mapping, mapping_path: Path, work: Path, *, dry_run: bool = False
    ) -> None:
        self._mapping = mapping
        self._mapping_path = mapping_path
        self._work = work
        self._dry_run = dry_run
        self.lock: int | None = None
        self.owners: dict[str, str] = {}
        self._target: subprocess.Popen[bytes] | None = None

    def stop(self, number: int) -> None:
        """Let the target end after its batch."""
        if self._target is not None and self._target.poll() is None:
            self._target.send_signal(number)

    def run(self, claim: Claim, stream: str, *, left_out: Collection[int] = ()) -> Passed:
        """Bring one stream of a file to HubSpot."""
        base = self._work / f"{claim.stamp}.{stream}"
        report, rejected = base.with_suffix(".report"), base.with_suffix(".rejected")
        for path in (report, rejected):
            path.unlink(missing_ok=True)
        tap = {
            "mapping": str(self._mapping_path),
            "files": [str(claim.path)],
            "streams": [stream],
            "left_out": sorted(left_out),
            "site": self._mapping.site_of(claim.shown),
            "owners": self.owners,
        }
        target: dict[str, Any] = {
            "base_url": self._mapping.hubspot.base_url,
            "api_version": self._mapping.hubspot.api_version,
            "report_path": str(report),
            "rejected_path": str(rejected),
            "max_rejected_records": -1,
            "dry_run": self._dry_run,
            "null_handling": "clear",
        }
        if stream == "contacts" and self._mapping.contacts.newer:
            target["streams"] = {"contacts": {"only_newer": self._mapping.contacts.newer}}
        status, log = self._pipe(
            self._config(base, "tap", tap), self._config(base, "target", target)
        )
        try:
            return _passed(status, log, report, rejected, stream)
        finally:
            for path in (report, rejected):
                path.unlink(missing_ok=True)

    def _config(self, base: Path, name: str, content: dict[str, Any]) -> str:
        path = base.with_suffix(f".{name}")
        path.write_text(json.dumps(content), "utf-8")
        return str(path)

    def _pipe(self, tap_config: str, target_config: str) -> tuple[int, bytes]:
        logs = self._work / "logging.json"
        logs.write_text(json.dumps(LOGGING), "utf-8")
        # The token goes through the environment, which no process list shows. Settings of another
        # target that stand there are none of this one.
        surroundings = {
            **{name: each for name, each in os.environ.items() if not name.startswith(SETTING)},
            "SINGER_SDK_LOG_CONFIG": str(logs),
            f"{SETTING}ACCESS_TOKEN": os.environ.get(TOKEN, ""),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "drop_folder.tap", "--config", tap_config],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its rejected rows were told before
            start_new_session=True,
        ) as tap:
            command = [sys.executable, "-m", "target_hubspot", "--config", target_config]
            with subprocess.Popen(
                [*command, "--config", "ENV"],
                stdin=tap.stdout,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=surroundings,
                start_new_session=True,
                pass_fds=() if self.lock is None else (self.lock,),
            ) as target:
                self._target = target
                assert tap.stdout is not None  # noqa: S101 - for the type checker
                tap.stdout.close()
                _, log = target.communicate()
            tap.wait()
        return target.returncode or tap.returncode, log


def _passed(status: int, log: bytes, report: Path, rejected: Path, stream: str) -> Passed:
    code, sentence = "", ""
    if status:
        code, sentence = _ending(log)
    sums = json.loads(report.read_text("utf-8")) if report.exists() else {}
    rejects = []
    if rejected.exists():
        for text in rejected.read_text("utf-8").splitlines():
            entry = json.loads(text)
            line = (entry.get("record") or {}).get("_sdc_source_lineno")
            if line is not None:
                rejects.append(Reject(line, entry["property"], entry["code"]))
    return Passed(
        code,
        sentence,
        sums.get("streams", {}).get(stream, {}),
        sums.get("links", {}),
        rejects,
    )


def _ending(log: bytes) -> tuple[str, str]:
    """The code of the target's one error record, and its sentence."""
    for line in reversed(log.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("level") == "error" and told.get("extra"):
            return str(told["extra"].get("code") or DIED), str(told.get("message", ""))
    return DIED, ""
