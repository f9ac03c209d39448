"""Every line of docs/hub.md's table of commands is run as it stands, and fills what it says."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from harness.hub import PAGE, started
from harness.meltano import ROOT, Project
from harness.vendors.composed import install
from harness.vendors.running import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = PAGE.read_text().partition("### For whom comes from")[2]
LINES = re.findall(r"^\| (.+?) \| `([^|]+)` \| (.+) \|$", SECTION, re.MULTILINE)
THEIRS = {
    "hubspot": (
        "contacts",
        "deals",
        "genius_users",
        "divisions",
        "zipcodes",
        "associations",
        "appointments",
        "all",
    ),
    "genius": ("leads", "prospects", "appointments", "users", "divisions"),
    "callrail": (
        "calls",
        "companies",
        "trackers",
        "form_submissions",
        "text_messages",
        "accounts",
        "users",
        "tags",
        "all",
    ),
    "salesrabbit": ("leads", "users", "all"),
    "five9": ("contacts",),
    "marketsharp": ("data",),
    "leadconduit": ("leads",),
    "salespro": ("credit_applications", "customers", "estimates", "lead_results"),
    "gsheet": ("marketing_leads", "marketing_spends"),
}
ENGINES = ("Bookings", "Tasks", "Entities", "Groups", "Statuses", "All")
TABLES = (
    "select table_schema, table_name from information_schema.tables "
    "where table_type = 'BASE TABLE' and table_name not like E'\\\\_%' "
    "and table_schema not in ('pg_catalog', 'information_schema') order by 1, 2"
)


def test_the_table_has_each_command_of_that_hub() -> None:
    named = {there.strip("`").split()[0] for there, _, _ in LINES}

    assert named - {"everything,"} == {
        *(f"sync_{source}_{name}" for source, names in THEIRS.items() for name in names),
        *(f"Arrivy{name}SyncEngine" for name in ENGINES),
    }


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with ExitStack() as copies:
        project = Project(tmp_path_factory.mktemp("hub"), started(copies))
        install(project, "tap-genius", "tap-google-sheets")
        yield project


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("there", "here", "fills"), LINES, ids=[there for there, *_ in LINES])
def test_a_line_runs_as_it_stands(
    hub: Project, database_url: str, there: str, here: str, fills: str
) -> None:
    suffix = re.sub(r"\W+", "-", there)  # a bookmark of its own
    environment = hub.environment(
        TARGET_DEALS_POSTGRES_DATABASE_URL=database_url, MELTANO_RUN_STATE_ID_SUFFIX=suffix
    )
    ran = subprocess.run(
        ["bash", "-c", here], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    found = rows(database_url, TABLES)

    assert ran.returncode == 0, ran.stderr
    for schema, table in found:
        if (schema, table) in {("hubspot", "line_items"), ("hubspot", "tickets")}:
            continue
        assert rows(database_url, f'select 1 from {schema}."{table}" limit 1') == [(1,)]
    if fills == "all of them":
        assert len({schema for schema, _ in found}) == 10
    elif not fills.startswith("`"):
        assert found == []
    else:
        schema, _, table = fills.strip("`").partition(".")
        assert {s for s, _ in found} == {schema}
        assert len(found) > 1 if table == "*" else [t for _, t in found] == [table]
    if "MAX_RECORD" in here:
        assert rows(database_url, "select count(*) from genius.leads") == [(100,)]
