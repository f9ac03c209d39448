"""Real `meltano run` processes on the repository's own project, each with private surroundings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
UV = shutil.which("uv", path=f"{ROOT / '.tools/bin'}:{os.environ['PATH']}") or "uv"
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
NETWORK = ("SSL_", "UV_", "PIP_", "REQUESTS_CA", "HTTP_", "HTTPS_", "ALL_PROXY", "NO_PROXY")
"""How this machine reaches its package registry, for `meltano install`."""

TAP = "tap-hubspot-deals"
TARGET = "target-deals-postgres"


@dataclass(frozen=True)
class Finished:
    """A run that ended.

    Args:
        code: Its exit code.
        log: Its log lines; those that are no JSON have only an `event`.
    """

    code: int
    log: list[dict[str, Any]]

    @property
    def text(self) -> str:
        """All messages, one a line."""
        return "\n".join(str(line.get("event", "")) for line in self.log)

    @property
    def errors(self) -> list[str]:
        """The messages of level error."""
        return [str(line.get("event", "")) for line in self.log if line.get("level") == "error"]

    def counted(self, stream: str, *, by: str = TAP) -> int:
        """How many records of a stream a plugin counted."""
        return sum(
            info["value"]
            for line in self.log
            if (info := line.get("metric_info"))
            and info["metric"] == "record_count"
            and info["tags"].get("stream") == stream
            and by in {line.get("name"), line.get("string_id"), line.get("producer")}
        )


class Project:
    """A Meltano project with a system directory, a state and an environment of its own.

    Args:
        home: An empty directory for all that Meltano writes.
        settings: The plugins' settings by the names of their environment variables; values that
            are no strings are sent as JSON.
        root: The project; the repository's own by default.
    """

    def __init__(self, home: Path, settings: dict[str, Any], *, root: Path = ROOT) -> None:
        self.home = home
        self.root = root
        self.settings = dict(settings)

    def environment(self, **changes: Any) -> dict[str, str]:
        """The environment of a run: nothing of ours but what it needs."""
        kept = {n: v for n, v in os.environ.items() if n in KEPT or n.startswith(NETWORK)}
        own = {
            "MELTANO_PROJECT_ROOT": str(self.root),
            "MELTANO_SYS_DIR_ROOT": str(self.home / "sys"),
            "MELTANO_DATABASE_URI": f"sqlite:///{self.home}/meltano.db",
            "MELTANO_PROJECT_READONLY": "true",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "1",
            "XDG_STATE_HOME": str(self.home / "logs"),
            "NO_COLOR": "1",
        }
        settings = {**self.settings, **changes}
        text = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in settings.items()
            if value is not None
        }
        return {**kept, **own, **text}

    def start(
        self, *plugins: str, before: Sequence[str] = (), **changes: Any
    ) -> subprocess.Popen[bytes]:
        """Start a run of plugins (or of a job); its log comes through `stderr`."""
        arguments = ["run", "--force", *(plugins or (TAP, TARGET))]
        return self.meltano(arguments, before=before, **changes)

    def meltano(
        self, arguments: list[str], *, before: Sequence[str] = (), **changes: Any
    ) -> subprocess.Popen[bytes]:
        """Start any Meltano command, with words before it that start something around it."""
        self.home.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [
                *before,
                BIN / "meltano",
                *("--log-format", "json", "--env-file", os.devnull),
                *arguments,
            ],
            cwd=self.root,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *plugins: str, **changes: Any) -> Finished:
        """Run plugins to the end."""
        with self.start(*plugins, **changes) as process:
            log = list(lines_of(process))
            return Finished(process.wait(), log)


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """A run's log lines as they come."""
    assert process.stderr is not None
    for line in process.stderr:
        try:
            parsed = json.loads(line)
        except ValueError:
            parsed = {"event": line.decode(errors="replace").rstrip(), "level": "unknown"}
        yield parsed if isinstance(parsed, dict) else {"event": str(parsed)}
