"""Knows how one run is carried out: `meltano run` as a child with a private folder of its own.

Concurrent runs in one Meltano system directory read each other's bookmarks and catalogs
(docs/decisions/0023), so each run gets everything of its own: directory, database, state, log.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scan_service.db import RESULTS, loader_url
from scan_service.engine import processes
from scan_service.pipeline.folders import private_folder
from scan_service.pipeline.pace import Pace
from scan_service.pipeline.project import cut
from scan_service.pipeline.run_catalog import catalog
from scan_service.pipeline.run_log import LogReader
from scan_service.pipeline.verdicts import TAP, TARGET, VERIFY
from scan_service.pipeline.verifying import command
from scan_service.records.objects import DEALS, LINKS, NEEDED, history_streams, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scan_service.guard.vault import Vault
    from scan_service.records.objects import Part
    from scan_service.settings import Settings

_ENVIRONMENT = "prod"
_SUFFIX = "scan"
# One that is gone in a newer Meltano costs every run its import, and nothing else.
_LATE = (
    "alembic.command", "meltano.core.meltano_file", "meltano.core.state_store.filesystem",
    "meltano.migrations.utils.dialect_typing", "sqlalchemy.dialects.sqlite", "tzdata.zoneinfo",
)  # fmt: skip
_STATE_ID = f"{_ENVIRONMENT}:{TAP}-to-{TARGET}:{_SUFFIX}"


@dataclass
class Pipeline:
    """One run's folder and what is in it."""

    folder: Path
    log: LogReader
    leash: processes.Leashed | None = None
    # Of the scan that is verified, if this run verifies one: when it began (ISO 8601).
    since: str | None = None
    _state_seen: float = 0.0

    @property
    def report(self) -> Path:
        """Where `hubspot-verify` says what it found."""
        return self.folder / "report.json"

    def read_state(self) -> dict[str, Any] | None:
        """Return the Singer state if the run has emitted a newer one since the last look."""
        for path in (self.folder / "state").glob("*/state.json"):
            try:
                changed = path.stat().st_mtime
                if changed == self._state_seen:
                    return None
                content = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None  # half written; the next look will see it whole
            self._state_seen = changed
            return _singer_state(content)
        return None


def _singer_state(content: dict[str, Any]) -> dict[str, Any] | None:
    for part in ("partial", "completed"):
        held = content.get(part) or content.get(f"{part}_state")
        state = held.get("singer_state") if isinstance(held, dict) else None
        if isinstance(state, dict) and state:
            return state
    return None


def programs(settings: Settings) -> tuple[str, ...]:
    """Return what a run starts, and the modules that Meltano imports only while it runs."""
    return (TAP, TARGET, os.path.basename(settings.meltano), *_LATE)  # noqa: PTH119 - a name


@contextmanager
def prepared(settings: Settings, scan: Mapping[str, Any]) -> Iterator[Pipeline]:
    """Make what a run of a scan needs, and remove it whatever happens.

    Raises:
        RunDirectoryError: there is no safe place for it.
    """
    with private_folder(settings.run_directory) as folder:
        for name in ("sys", "state", "home"):
            (folder / name).mkdir(mode=0o700)
        since = (scan["seen_at"] - scan["started_at"]).total_seconds()
        log = LogReader(
            folder / "run.log", frozenset(parts(scan["config"])),
            pace=Pace(scan["requests"], since),
        )  # fmt: skip
        yield Pipeline(folder, log)


async def begin(
    run: Pipeline,
    settings: Settings,
    vault: Vault,
    forks: processes.ForkServer,
    scan: Mapping[str, Any],
) -> processes.Leashed:
    """Start `meltano run` for a scan, from its bookmark if it has one."""
    if scan["state"]:
        place = run.folder / "state" / _STATE_ID
        place.mkdir(mode=0o700)
        content = {"completed": {"singer_state": scan["state"]}, "partial": {}}
        _write(place / "state.json", json.dumps(content))
        run.read_state()
    selection = run.folder / "catalog.json"
    _write(selection, catalog(_streams(scan)))
    secrets = vault.environment(scan["token"], tenant_id=scan["tenant_id"])
    environment = {
        **processes.allowed_environment(),
        **_meltano(settings, run.folder),
        **_tap(settings, scan, selection),
        **_target(settings, scan),
        **secrets,
    }
    plugins = {"extractors": TAP, "loaders": TARGET}
    if run.since is None:
        words = ["run", "--no-install", "--force", TAP, TARGET]
    else:
        words, plugins["utilities"] = command(run.report, run.since), VERIFY
    if text := cut(settings.project_root, plugins, environment):
        project = run.folder / "project"
        project.mkdir(mode=0o700)
        _write(project / "meltano.yml", text)
        environment["MELTANO_PROJECT_ROOT"] = str(project)
    run.leash = await forks.leashed(
        [settings.meltano, "--log-format", "json", "--env-file", os.devnull, *words],
        folder=run.folder,
        log=run.log.path,
        lease=settings.lease_seconds,
        environment=environment,
    )  # fmt: skip
    return run.leash


def _write(path: Path, text: str) -> None:
    """Write a file that only this user can read; Meltano's copies of it keep its mode."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _meltano(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        "SCAN_RUN_FOLDER": str(folder),
        "HOME": str(folder / "home"),
        "XDG_STATE_HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "home"),
        "MELTANO_PROJECT_ROOT": str(settings.project_root),
        "MELTANO_SYS_DIR_ROOT": str(folder / "sys"),
        "MELTANO_DATABASE_URI": f"sqlite:///{folder}/sys/meltano.db",
        "MELTANO_STATE_BACKEND_URI": f"file://{folder}/state",
        "MELTANO_ENVIRONMENT": _ENVIRONMENT,
        "MELTANO_RUN_STATE_ID_SUFFIX": _SUFFIX,
        "MELTANO_PROJECT_READONLY": "true",
        "MELTANO_AUTO_INSTALL": "false",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "1",
        "MELTANO_CLI_LOG_LEVEL": "info",
        # A line may be half of it. What a slow target lets pile up in Meltano is at most this.
        "MELTANO_ELT_BUFFER_SIZE": str(128 * 1024 * 1024),
        **processes.PLAIN,
    }


def _streams(scan: Mapping[str, Any]) -> list[str]:
    wanted = parts(scan["config"]).values()
    links = [LINKS] if any(part.associations for part in wanted) else []
    histories = [each for part in wanted for each in history_streams(part)]
    return [*(part.name for part in wanted), *links, *histories]


def _tap(settings: Settings, scan: Mapping[str, Any], selection: Path) -> dict[str, str]:
    """Say the scan's configuration in the tap's words; what is not set keeps the tap's default."""
    config = scan["config"]
    wanted = parts(config).values()
    values: dict[str, str | None] = {
        "TENANT_ID": scan["tenant_id"],
        "SCAN_ID": config.get("verifies") or scan["scan_id"],
        "ORGANIZATION_ID": scan["organization_id"],
        "OBJECTS": json.dumps([_object(part) for part in wanted]),
        "PAGE_SIZE": str(config.get("batchSize", 100)),
        "REQUEST_DELAY_MS": str(config.get("rateLimitDelay", 100)),
        "INCLUDE_RAW": str(settings.include_raw).lower(),
        # Tables of all tenants: no account's properties may use up their columns.
        "NEST_PROPERTIES": "true",
        # A snapshot replaces nothing: other scans of the tenant keep their rows.
        "EMIT_ACTIVATE_VERSION_MESSAGES": "false",
        "API_VERSION": settings.hubspot_api_version,
        "BASE_URL": settings.hubspot_base_url,
        "REQUESTS_PER_10_SECONDS": (
            str(settings.requests_per_10_seconds) if settings.requests_per_10_seconds else None
        ),
        # Incremental means only what changed, however long ago the last full read was.
        "ASSOCIATION_REFRESH_HOURS": "87600" if config.get("mode") == "incremental" else None,
        "_CATALOG": str(selection),
    }
    return {f"TAP_HUBSPOT_DEALS_{name}": text for name, text in values.items() if text is not None}


def _object(part: Part) -> dict[str, Any]:
    """Say what is wanted of one object type in the tap's words."""
    properties = set(part.properties)
    if properties and part.name == DEALS:
        properties |= set(NEEDED)  # the fixed fields of every answer, listed or not
    said = {
        "name": part.name,
        "pipeline": part.pipeline,
        "stage": part.stage,
        "start_date": part.start,
        "end_date": part.end,
        "archived": part.archived,
        "properties": sorted(properties) or None,
        "associations": list(part.associations),
        "history": list(part.history) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _target(settings: Settings, scan: Mapping[str, Any]) -> dict[str, str]:
    return {
        "TARGET_DEALS_POSTGRES_DATABASE_URL": loader_url(
            settings.loads_to, scan["id"], scan["run_id"]
        ),
        "TARGET_DEALS_POSTGRES_DEFAULT_TARGET_SCHEMA": RESULTS,
        "TARGET_DEALS_POSTGRES_ROW_LEVEL_SECURITY": "true",
        # How much a lost run repeats at most, and how fresh the progress is.
        "TARGET_DEALS_POSTGRES_BATCH_SECONDS": "2",
        "TARGET_DEALS_POSTGRES_MAX_REJECTED_RECORDS": str(settings.max_rejected_records),
        "TARGET_DEALS_POSTGRES_LOADS": "false",  # the service keeps its own account of scans
    }
