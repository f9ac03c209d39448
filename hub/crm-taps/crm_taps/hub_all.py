"""Every source that has credentials, one after the other, and what became of their records.

Each source is a job of meltano.yml whose name ends in `-all`, run by Meltano itself: this adds only
the order, that a source which fails does not stop the next one, and the table at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crm_taps.outcomes import Outcome, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

SUFFIX = "-all"
LIMITS = {"--since": ("created_from", "start_date"), "--max-records": ("max_records",)}
"""What taps call these; HubSpot's has both names of the first."""
Plugin = dict[str, Any]


class StoppedError(Exception):
    """A signal asked all of it to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Source:
    """A job, and what its settings say.

    Attributes:
        name: The source's name: that of the job without `-all`.
        extractor: Its tap as Meltano describes it, with the settings that are inherited.
    """

    name: str
    extractor: Plugin

    @property
    def job(self) -> str:
        """The job's name."""
        return f"{self.name}{SUFFIX}"

    def variable(self, setting: str) -> str:
        """The environment variable of a setting."""
        return f"{self.extractor['name']}_{setting}".replace("-", "_").upper()

    @property
    def lacking(self) -> list[str]:
        """The variables of its credentials that are not set; of several ways, the nearest one."""
        return [self.variable(name) for name in min(map(self._unset, self._ways()), key=len)]

    @property
    def is_untouched(self) -> bool:
        """Whether nobody set any of its credentials."""
        return all(self._unset(way) == way for way in self._ways())

    def _ways(self) -> list[list[str]]:
        # What meltano.yml gives itself is nobody's sign of an account.
        given = {s["name"] for s in self.extractor["settings"] if s.get("value") is not None}
        groups = self.extractor["settings_group_validation"]
        return [[name for name in group if name not in given] for group in groups]

    def _unset(self, way: list[str]) -> list[str]:
        return [name for name in way if not self._is_set(name)]

    def _is_set(self, setting: str) -> bool:
        return self.extractor["env"].get(self.variable(setting)) not in {None, ""}

    def knows(self, names: Sequence[str]) -> str | None:
        """The first of these settings that the tap has."""
        known = {setting["name"] for setting in self.extractor["settings"]}
        return next((name for name in names if name in known), None)

    def variables(self, settings: Mapping[str, object]) -> dict[str, str]:
        """The variables that give settings to all streams, where each object type has its own."""
        given = {self.variable(name): str(value) for name, value in settings.items()}
        objects = json.loads(self.extractor["env"].get(self.variable("objects")) or "[]")
        if settings and objects:
            named = [each if isinstance(each, dict) else {"name": each} for each in objects]
            given[self.variable("objects")] = json.dumps([{**settings, **each} for each in named])
        return given


def meltano(*arguments: str) -> list[str]:
    """The command line of the Meltano beside this program, or on the path."""
    beside = Path(sys.executable).with_name("meltano")
    program = str(beside) if beside.exists() else shutil.which("meltano") or "meltano"
    return [program, "--log-format", "json", *arguments]


def sources() -> list[Source]:
    """The sources that the project has, with their settings, secrets left out.

    Raises:
        ClickException: Meltano cannot tell; the message is its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(
            meltano("compile", "--no-lint", "--directory", folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode != 0:
            raise click.ClickException(f"Meltano cannot read its project.\n{told.stderr.strip()}")
        plain = Path(folder) / "meltano-manifest.json"
        # One that is named is the only one that Meltano tells of.
        name = os.environ.get("MELTANO_ENVIRONMENT") or _read(plain).get("default_environment")
        named = Path(folder) / f"meltano-manifest.{name}.json"
        manifest = _read(named if named.exists() else plain)
    plugins = {each["name"]: each for each in manifest["plugins"]["extractors"]}
    return [
        Source(job["name"].removesuffix(SUFFIX), _with_inherited(plugins, tasks[0].split()[0]))
        for job in manifest["jobs"]
        if job["name"].endswith(SUFFIX) and (tasks := job["tasks"])
    ]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _with_inherited(plugins: Mapping[str, Plugin], name: str) -> Plugin:
    own = plugins[name]
    if "inherit_from" not in own:
        return own
    return {**_with_inherited(plugins, own["inherit_from"]), **own}


def choose(found: Sequence[Source], names: Sequence[str]) -> list[Source]:
    """The sources that are meant: those of some names, or else all that have credentials.

    Raises:
        UsageError: A name is no source's.
        ClickException: None has credentials.
    """
    known = [source.name for source in found]
    if unknown := sorted(set(names) - set(known)):
        raise click.UsageError(f"There is no source {', '.join(unknown)}; {', '.join(known)} are.")
    if names:
        return [source for source in found if source.name in names]
    chosen = [source for source in found if not source.is_untouched]
    unset = [source.name for source in found if source.is_untouched]
    click.echo(f"Without credentials: {', '.join(unset) or 'none'}", err=True)
    if not chosen:
        raise click.ClickException("No source has credentials; docs/hub.md tells how to set them.")
    return chosen


def load(source: Source, options: Sequence[str], settings: Mapping[str, str]) -> Outcome:
    """Run a source's job to its end; the warnings and errors of its plugins are passed on.

    Raises:
        StoppedError: A signal came; the job was told, and has ended.
    """
    outcome = Outcome(source.name)
    process = subprocess.Popen(
        meltano("run", *options, source.job),
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        for line in _lines(process):
            outcome.follow(line)
        outcome.end(process.wait())
    except StoppedError:
        process.terminate()
        for line in _lines(process):
            outcome.follow(line)
        process.wait()
        raise
    return outcome


def _lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stderr is not None  # noqa: S101 - asked for above
    for text in process.stderr:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            if line.get("level") not in {None, "debug", "info"} and "string_id" in line:
                click.echo(f"  {line.get('level')}: {line.get('event')}", err=True)
            yield line


@click.command(name="hub-all")
@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@click.option("--full-refresh", "--full", is_flag=True, help="Read everything again.")
@click.option("--dry-run", is_flag=True, help="Read and count; write nothing.")
@click.option("--since", metavar="DATE", help="Only what happened at or after this date or time.")
@click.option("--max-records", type=click.IntRange(min=1), help="At most so many of each stream.")
def hub_all(
    names: tuple[str, ...],
    *,
    full_refresh: bool,
    dry_run: bool,
    since: str | None,
    max_records: int | None,
) -> None:
    """Load every source that has credentials, or the named ones, and show what became of it.

    A source that fails does not stop the next one. The exit code is 0 only if every source that
    was to be loaded is done.
    """
    chosen = choose(sources(), names)
    options = ["--full-refresh"] if full_refresh else []
    asked = {"--since": since, "--max-records": max_records}
    limits = {option: value for option, value in asked.items() if value is not None}
    outcomes: list[Outcome] = []
    stopped = 0
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop)
    for source in chosen:
        click.echo(f"{source.name}: meltano run {source.job}", err=True)
        try:
            outcomes.append(_loaded(source, options, limits, dry_run=dry_run))
        except StoppedError as end:
            stopped = end.number
            outcomes.append(Outcome(source.name, faults=[f"Signal {stopped} ended the run."]))
            break
    click.echo(table(outcomes))
    failed = [outcome for outcome in outcomes if outcome.faults]
    for outcome in failed:
        click.echo(f"{outcome.source} failed: {' '.join(dict.fromkeys(outcome.faults))}")
    sys.exit(128 + stopped if stopped else bool(failed))


def _loaded(
    source: Source, options: list[str], limits: Mapping[str, object], *, dry_run: bool
) -> Outcome:
    if source.lacking:
        return Outcome(source.name, faults=[f"Not set: {', '.join(source.lacking)}."])
    asked: dict[str, object] = {}
    for option, value in limits.items():
        name = source.knows(LIMITS[option])
        if name is None:  # rather than all of it, unasked
            return Outcome(source.name, faults=[f"Its tap knows nothing like {option}."])
        asked[name] = value
    settings = {"TARGET_DEALS_POSTGRES_DRY_RUN": "true"} if dry_run else {}
    return load(source, options, {**settings, **source.variables(asked)})


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise StoppedError(number)


if __name__ == "__main__":
    hub_all()
