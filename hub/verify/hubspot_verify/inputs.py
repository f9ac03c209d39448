"""What a comparison begins with: the settings of tap and target, the catalog, and the state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg2.extensions import make_dsn

from hubspot_verify.errors import SettingsError, UnfinishedError

BESIDE = Path(sys.executable).with_name("meltano")
MELTANO = str(BESIDE) if BESIDE.exists() else "meltano"
PARTS = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert")
"""The target's settings that name a database in place of `database_url`."""


@dataclass
class Inputs:
    """What a comparison begins with.

    Args:
        tap: The tap's settings.
        target: The target's.
        state: What the last run of both left.
        catalog: What of the tap's streams is selected; None: all.
        since: Of a snapshot, which has no state: when its reading began, ISO 8601.
    """

    tap: dict[str, Any]
    target: dict[str, Any]
    state: dict[str, Any]
    catalog: dict[str, Any] | None = None
    since: str | None = None

    @property
    def schema(self) -> str:
        """Where the tables are."""
        return str(self.target.get("default_target_schema") or "hubspot")

    def dsn(self) -> str:
        """The database, as libpq takes it; the embedded one where the target's settings name none.

        Raises:
            SettingsError: If that one does not start.
        """
        if url := self.target.get("database_url"):
            return str(url)
        parts = {name: self.target[name] for name in PARTS if self.target.get(name)}
        if parts:
            return str(make_dsn(**parts))
        started = _run(
            [sys.executable, "-m", "target_deals_postgres.embedded", "start"],
            "`database_url` of the target is not set, and the embedded PostgreSQL does not start",
        )
        self.target["database_url"] = started.strip()
        return started.strip()


def from_files(
    tap: str, target: str, state: str | None, catalog: str | None, since: str | None
) -> Inputs:
    """Inputs from JSON files; of a snapshot there is no state.

    Raises:
        SettingsError: If a file is not there, or holds something else.
    """
    found = None if catalog is None else _object(catalog)
    left = {} if state is None else _singer(_object(state))
    return Inputs(_object(tap), _object(target), left, found, since)


def from_meltano(tap: str, target: str, state_id: str | None, since: str | None) -> Inputs:
    """Inputs as Meltano's project has them.

    Args:
        tap: The extractor's name.
        target: The loader's.
        state_id: The state's; by default the one that runs of both have in this environment.
        since: Of a snapshot, when its reading began.

    Raises:
        SettingsError: If Meltano does not tell one of them.
        UnfinishedError: If there is no state.
    """

    def dumped(what: str, plugin: str) -> dict[str, Any]:
        text = _run(
            [MELTANO, "invoke", f"--dump={what}", plugin], f"Meltano has no {what} of {plugin}"
        )
        return _decoded(text, f"Meltano's {what} of {plugin}")

    return Inputs(
        dumped("config", tap),
        dumped("config", target),
        {} if since else _meltano_state(state_id or _state_id(tap, target)),
        dumped("catalog", tap),
        since,
    )


def _state_id(tap: str, target: str) -> str:
    """The state's name, as `meltano run` makes it."""
    pattern = f"{os.environ.get('MELTANO_ENVIRONMENT') or '*'}:{tap}-to-{target}"
    listed = _run(
        [MELTANO, "state", "list", "--pattern", pattern], "Meltano does not list its states"
    ).split()
    if not listed:
        raise UnfinishedError(
            f"Meltano has no state {pattern}: run `meltano run {tap} {target}` first."
        )
    if len(listed) > 1:
        raise SettingsError(f"Meltano has several states: {', '.join(listed)}. Name --state-id.")
    return listed[0]


def _meltano_state(state_id: str) -> dict[str, Any]:
    text = _run([MELTANO, "state", "get", state_id], f"Meltano has no state {state_id}")
    return _singer(_decoded(text, f"Meltano's state {state_id}"))


def _singer(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = state.get("singer_state", state)
    return found


def _run(command: list[str], otherwise: str) -> str:
    """What a command says; its standard error goes where ours does."""
    environment = {**os.environ, "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, env=environment, text=True, check=False
        )
    except OSError as exc:
        raise SettingsError(f"{otherwise}: {exc.strerror}.") from exc
    if done.returncode:
        raise SettingsError(f"{otherwise}: `{' '.join(command)}` ended with {done.returncode}.")
    return done.stdout


def _object(file: str) -> dict[str, Any]:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The file {file} cannot be read: {exc}.") from exc
    return _decoded(text, f"The file {file}")


def _decoded(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SettingsError(f"{what} is no JSON object.")
    return found
