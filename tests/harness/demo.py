"""`make demo`: a HubSpot, a database, two real runs, and what is in the tables afterwards."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from hubspot_simulator import Portal, Simulator, csv_portal
from psycopg2 import sql
from target_deals_postgres.embedded import project_server

from harness.meltano import ROOT, Project, lines_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection

DATABASE = "demo"
TENANT = "acme"
COUNTS = {
    "deals": "hubspot.deals where archived is not true and merged_into is null "
    "and _sdc_deleted_at is null",
    "archived deals": "hubspot.deals where archived",
    "merged deals": "hubspot.deals where merged_into is not null",
    "current links": "hubspot.current_associations",
    "pipelines": "hubspot.deal_pipelines",
    "owners": "hubspot.owners",
    "property definitions": "hubspot.deal_properties",
}
BY_STAGE = """
    select dealstage, count(*), sum(amount) from hubspot.deals
    where archived is not true and merged_into is null and _sdc_deleted_at is null
    group by 1 order by 2 desc limit 6
"""


def main() -> int:
    """Run the demo; the exit code is that of its runs."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with sales_pipeline.csv and its friends")
    parser.add_argument("--deals", type=int, default=500, help="how many made-up deals")
    options = parser.parse_args()
    if options.data and not (options.data / "sales_pipeline.csv").exists():
        print(f"DATA: there is no sales_pipeline.csv in {options.data}", file=sys.stderr)
        return 1
    portal = csv_portal(options.data) if options.data else Portal.generate(options.deals)
    say("Starting PostgreSQL and the HubSpot simulator")
    url = fresh_database()
    with Simulator([portal]) as hubspot:
        home = ROOT / ".data" / "demo"
        shutil.rmtree(home, ignore_errors=True)
        project = Project(
            home,
            {
                "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": portal.token,
                "TAP_HUBSPOT_DEALS_TENANT_ID": TENANT,
                "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
                "TARGET_DEALS_POSTGRES_DATABASE_URL": url,
            },
        )
        print(f"  HubSpot at {hubspot.url} has {len(portal.ids('deals')):,} deals")
        say("First run: meltano run tap-hubspot-deals target-deals-postgres")
        if code := run(project):
            return code
        say("In HubSpot, meanwhile: " + change_something(portal))
        say("Second run: only what changed")
        if code := run(project):
            return code
    show(url)
    return 0


def say(text: str) -> None:
    """A heading."""
    print(f"\n{text}", flush=True)


def fresh_database(database: str = DATABASE) -> str:
    """An empty database on the project's embedded server."""
    server = project_server(ROOT).start()
    with closing(psycopg2.connect(server)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            name = sql.Identifier(database)
            cursor.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            cursor.execute(sql.SQL("create database {}").format(name))
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


def run(project: Project) -> int:
    """One `meltano run`, with its progress and, if it fails, its errors."""
    progress = Progress()
    errors: list[str] = []
    with project.start() as process:
        for line in lines_of(process):
            progress.follow(line)
            if line.get("level") in {"error", "unknown"}:
                errors.append(str(line.get("event")))
        code = process.wait()
    progress.end()
    if code:
        print("\n".join(errors[-20:]), file=sys.stderr)
        print(f"  failed with exit code {code}", file=sys.stderr)
    return code


class Progress:
    """A line that grows on a terminal; elsewhere a new one every second or so."""

    STEPS = ("Running catalog discovery", "Reading ", "Incremental state has been updated")

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._counts: dict[tuple[str, str], int] = {}
        self._step = "Meltano starts"
        self._tell()

    def follow(self, line: dict[str, Any]) -> None:
        """Take what a log line says about the run."""
        event = str(line.get("event", ""))
        if event.startswith(self.STEPS):
            self._step = event.split(" at ", maxsplit=1)[0].rstrip(".")
        info = line.get("metric_info") or {}
        if info.get("metric") == "record_count":
            side = "read" if "tap" in str(line.get("name") or line.get("string_id")) else "written"
            key = (side, str(info["tags"].get("stream")))
            self._counts[key] = self._counts.get(key, 0) + info["value"]
        if sys.stdout.isatty() or time.monotonic() - self._told > 1:
            self._tell()

    def end(self) -> None:
        """The final counts."""
        self._step = "Done"
        self._tell()
        if sys.stdout.isatty():
            print()

    def _tell(self) -> None:
        self._told = time.monotonic()
        parts = [
            f"{self._counts.get(('read', name), 0):,} {name} read, "
            f"{self._counts.get(('written', name), 0):,} written"
            for name in ("deals", "associations")
            if ("read", name) in self._counts
        ]
        text = f"  {self._told - self._began:4.1f} s  {'; '.join(parts) or self._step}"
        if sys.stdout.isatty():
            print(f"\r\033[K{text}", end="", flush=True)
        else:
            print(text, flush=True)


def change_something(portal: Portal) -> str:
    """Create, change, archive and merge, as people do between two runs."""
    ids = portal.ids("deals")
    portal.create("deals", {"dealname": "Signed this morning", "amount": "12345.67"})
    for deal in ids[:3]:
        portal.change("deals", deal, {"amount": "99999.99"})
    portal.archive("deals", ids[3])
    portal.merge("deals", ids[4], ids[5])
    return "1 deal created, 3 changed, 1 archived, 2 merged into one"


def show(url: str) -> None:
    """The tables, and how to look for oneself."""
    say("In the database now")
    with closing(psycopg2.connect(url)) as opened:
        for name, source in COUNTS.items():
            ((count,),) = rows(opened, f"select count(*) from {source}")
            print(f"  {name:<22}{count:>9,}")
        print(f"\n  {'deal stage':<26}{'deals':>7}{'amount':>20}")
        for stage, count, amount in rows(opened, BY_STAGE):
            print(f"  {stage or '-':<26}{count:>7,}{amount or 0:>20,.2f}")
    psql = project_server(ROOT).binaries / "psql"
    if psql.is_relative_to(ROOT):
        psql = psql.relative_to(ROOT)
    say("Look for yourself (PostgreSQL stays up until `make database-stop`):")
    print(f'  {psql} "{url}" -c "select * from hubspot.deals limit 5"')


def rows(opened: connection, query: str) -> list[tuple[Any, ...]]:
    """A query's rows."""
    with opened.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


if __name__ == "__main__":
    sys.exit(main())
