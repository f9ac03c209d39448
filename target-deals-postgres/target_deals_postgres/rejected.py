"""`target-deals-postgres-rejected`: try rejected records again, or forget a tenant's."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg2.sql import SQL, Identifier
from singer_sdk.exceptions import ConfigValidationError

from target_deals_postgres.config import settings_of
from target_deals_postgres.errors import InterruptedRunError, SettingsError, TargetError
from target_deals_postgres.process import SIGNALS
from target_deals_postgres.storing import rejected_table
from target_deals_postgres.storing.database import Database
from target_deals_postgres.tables import catalog as tables
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings

T = TypeVar("T")


def main() -> None:
    """Carry out one action on the list of rejected records."""
    parser = argparse.ArgumentParser(prog="target-deals-postgres-rejected", description=__doc__)
    parser.add_argument("--config", type=Path, help="the target's settings; else its environment")
    actions = parser.add_subparsers(dest="action", required=True)
    replay = actions.add_parser("replay", help="try again, with the SCHEMAs of a catalog")
    replay.add_argument("--catalog", type=Path, required=True, help="what `tap --discover` says")
    forget = actions.add_parser("forget", help="take a tenant's records off the list")
    forget.add_argument("--tenant", required=True)
    given = parser.parse_args()
    try:
        config = _read(given.config) if given.config else {}
        config = dict(TargetDealsPostgres(config=config, parse_env_config=not given.config).config)
        if given.action == "replay":
            _replay(config, _entries(given.catalog))
        else:
            _forget(settings_of(config), given.tenant)
    except ConfigValidationError as error:
        sys.exit("; ".join(error.errors) or str(error))
    except InterruptedRunError as error:
        print("a signal ended it; nothing is changed", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except TargetError as error:
        sys.exit(str(error))


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"{file} holds no JSON object")
    return value


def _entries(file: Path) -> list[dict[str, Any]]:
    streams = _read(file).get("streams")
    if not isinstance(streams, list) or not all(
        isinstance(one, dict) and isinstance(one.get("schema"), dict) and _names(one)
        for one in streams
    ):
        raise SettingsError(f"{file} is no catalog, which `tap --discover` says")
    return streams


def _replay(config: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    settings = settings_of(config)
    waiting = _waiting(settings)
    known = {name: one for one in entries for name in _names(one) if name in waiting}
    for name in sorted(waiting.keys() - known):
        print(f"{name}: {waiting[name]} are not tried again: the catalog has no such stream")  # noqa: T201
    if not known:
        table = f"{settings.default_target_schema}.{rejected_table.TABLE}"
        print(f"{table} has nothing to try again")  # noqa: T201 - the command's answer
        return
    messages = [{"type": "SCHEMA", "stream": name, **_shape(one)} for name, one in known.items()]
    # What is tried again is not all that there is.
    config = config | {"replay_rejected_records": True, "overwrite": False}
    if config["load_method"] == "overwrite":
        config["load_method"] = "upsert"
    target = TargetDealsPostgres(config=config)
    try:
        target.listen(io.StringIO("".join(f"{json.dumps(one)}\n" for one in messages)))
    finally:
        left = _waiting(settings)
        count, rest = (sum(some.get(one, 0) for one in known) for some in (waiting, left))
        print(f"{count} rejected records were tried again; {rest} stay on the list")  # noqa: T201


def _names(entry: Mapping[str, Any]) -> list[str]:
    # What a tap may call the stream in its messages; taps of databases add the schema.
    names = [entry.get("stream"), entry.get("tap_stream_id")]
    if schema := _said(entry).get("schema-name"):
        names.append(f"{schema}-{names[0]}")
    return [one for one in names if isinstance(one, str) and one]


def _shape(entry: Mapping[str, Any]) -> dict[str, Any]:
    keys = entry.get("key_properties") or _said(entry).get("table-key-properties") or []
    schema = dict(entry["schema"])
    schema["properties"] = {
        name: one
        for name, one in (schema.get("properties") or {}).items()
        if name in keys or _said(entry, "properties", name).get("selected") is not False
    }
    return {"schema": schema, "key_properties": keys}


def _said(entry: Mapping[str, Any], *breadcrumb: str) -> Mapping[str, Any]:
    # The metadata of a stream, or of a property.
    for one in entry.get("metadata") or ():
        if isinstance(one, dict) and one.get("breadcrumb") == list(breadcrumb):
            return one.get("metadata") or {}
    return {}


def _waiting(settings: Settings) -> dict[str, int]:
    # How many records of each stream no later one has overtaken.
    def work(cur: cursor) -> dict[str, int]:
        columns = tables.columns(cur, settings.default_target_schema, rejected_table.TABLE)
        if not columns:
            return {}
        still = SQL(" WHERE overtaken IS NULL" if "overtaken" in columns else "")
        name = Identifier(settings.default_target_schema, rejected_table.TABLE)
        cur.execute(SQL("SELECT stream, count(*) FROM {}{} GROUP BY 1").format(name, still))
        return dict(cur.fetchall())

    return _transact(settings, work)


def _forget(settings: Settings, tenant: str) -> None:
    def work(cur: cursor) -> int:
        if not tables.columns(cur, settings.default_target_schema, rejected_table.TABLE):
            return 0
        name = rejected_table.named(settings)
        cur.execute(SQL("DELETE FROM {} WHERE _tenant_id = %s").format(name), (tenant,))
        return cur.rowcount

    are = "would be" if settings.dry_run else "are"
    print(f"{_transact(settings, work)} rejected records {are} off the list")  # noqa: T201 - the command's answer


def _transact(settings: Settings, work: Callable[[cursor], T]) -> T:
    database = Database(
        settings.database_url,
        said_by=settings.said_by,
        dry_run=settings.dry_run,
        lock_seconds=settings.lock_timeout_seconds,
    )
    for one in SIGNALS:
        signal.signal(one, lambda number, _: database.cancel(number))
    try:
        return database.transaction(work)
    finally:
        database.close()


if __name__ == "__main__":
    main()
