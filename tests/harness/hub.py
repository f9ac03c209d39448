"""`make hub`: a copy of every source, a database, one run of `hub-all`, and its table.

`--page` writes the table into docs/hub.md, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from hubspot_simulator import Portal, Simulator
from target_deals_postgres.embedded import project_server

from harness.demo import fresh_database, say
from harness.meltano import BIN, ROOT, Project
from harness.vendors import genius
from harness.vendors.composed import install
from harness.vendors.google_sheets import GoogleSheets
from harness.vendors.sources import SOURCES

PAGE = ROOT / "docs" / "hub.md"
BLOCK = re.compile(r"(<!-- counts -->\n```text\n)(.*?)(```\n<!-- /counts -->)", re.DOTALL)
SIZES = {"callrail": 613, "salesrabbit": 1200, "arrivy": 600, "leadconduit": 1500}
SIZE = 300
CUSTOM = ("genius_users", "divisions", "zipcodes")
SHEETS: dict[str, list[list[Any]]] = {
    "Marketing Leads": [["Name", "Spent"], *([f"Zoë {n}", n + 0.25] for n in range(250))],
    "Marketing Spends": [["Channel", "Amount"], ["Radio 📻", 12.5], ["Print", 99.5]],
}


def main(arguments: list[str]) -> int:
    """Run it; the exit code is that of `hub-all`."""
    home = ROOT / ".data" / "hub"
    shutil.rmtree(home, ignore_errors=True)
    say("Starting PostgreSQL and a copy of each source")
    url = fresh_database("hub")
    with ExitStack() as copies:
        settings = {"TARGET_DEALS_POSTGRES_DATABASE_URL": url, **started(copies)}
        if genius.MARIADB is None:
            print(
                "  no MariaDB here (apt-get install mariadb-server-core): Genius as PostgreSQL only"
            )
        else:
            port = copies.enter_context(genius.mariadb(home / "mariadb", SIZE))
            settings |= {
                "TAP_GENIUS_MYSQL_TENANT_ID": "acme-mysql",
                "TAP_GENIUS_MYSQL_HOST": "127.0.0.1",
                "TAP_GENIUS_MYSQL_PORT": str(port),
                "TAP_GENIUS_MYSQL_USER": "root",
                "TAP_GENIUS_MYSQL_PASSWORD": "unused",
                "TAP_GENIUS_MYSQL_FILTER_DBS": "genius",
            }
        project = Project(home, settings)
        say("Installing other people's taps for Genius and Google Sheets (meltano install)")
        install(project, "tap-genius", "tap-genius-mysql", "tap-google-sheets")
        say("hub-all")
        ended = subprocess.run(
            [BIN / "hub-all"],
            cwd=ROOT,
            env=project.environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    print(f"\n{ended.stdout}", flush=True)
    if "--page" in arguments and ended.returncode == 0:
        PAGE.write_text(BLOCK.sub(lambda m: f"{m[1]}{ended.stdout}{m[3]}", PAGE.read_text()))
    psql = project_server(ROOT).binaries / "psql"
    psql = psql.relative_to(ROOT) if psql.is_relative_to(ROOT) else psql
    say("Look for yourself (PostgreSQL stays up until `make database-stop`):")
    print(f'  {psql} "{url}" -c "select * from callrail.calls limit 5"')
    say("With accounts of your own (docs/hub.md names the settings of each source):")
    print("  export TAP_CALLRAIL_API_KEY=... TAP_CALLRAIL_TENANT_ID=...")
    print("  .venv/bin/hub-all")
    return ended.returncode


def started(copies: ExitStack) -> dict[str, Any]:
    """Start a copy of each source but MariaDB; the settings that read them."""
    portal = Portal.generate(
        SIZE,
        custom_objects=CUSTOM,
        counts={"tickets": 9, "line_items": 20, "meetings": 9, **dict.fromkeys(CUSTOM, 5)},
    )
    hubspot = copies.enter_context(Simulator([portal]))
    settings: dict[str, Any] = {
        "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": portal.token,
        "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
        "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
        "TAP_GENIUS_TENANT_ID": "acme",
        "TAP_GENIUS_SQLALCHEMY_URL": copies.enter_context(genius.postgresql(SIZE)),
        **copies.enter_context(GoogleSheets(SHEETS)).settings(),
    }
    for source in (each for each in SOURCES if not each.api):
        vendor = copies.enter_context(source.make(SIZES.get(source.name, SIZE)))
        settings |= source.settings(vendor)
    return settings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
