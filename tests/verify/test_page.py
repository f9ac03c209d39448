"""docs/verify.md: its commands run in Meltano's project, its statements on what they leave."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from harness.database import connect
from harness.meltano import BIN, ROOT, Project
from hubspot_verify import proofs

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import World

PAGE = (ROOT / "docs/verify.md").read_text()
COMMANDS = re.findall(r"```bash\n\.venv/bin/meltano (.*?)\n```", PAGE)
STATEMENTS = re.findall(r"```sql\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_statements_of_the_page_run_on_what_a_comparison_leaves(world: World) -> None:
    found = [*world.verify().values()]
    with world.db.cursor() as cur:
        proofs.write(cur, "hubspot", "acme", found, "deals")
        for statement in STATEMENTS:
            cur.execute(statement)
            assert cur.rowcount == len(found)
    world.db.rollback()


@pytest.mark.heavy  # a dozen times Meltano
@pytest.mark.timeout(1500)
def test_the_commands_of_the_page_run(world: World, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"singer_state": world.state}))
    project = Project(
        tmp_path / "home",
        {
            "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": world.portal.token,
            "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
            "TAP_HUBSPOT_DEALS_BASE_URL": world.hubspot.url,
            "TAP_HUBSPOT_DEALS_OBJECTS": world.settings["objects"],
            "TARGET_DEALS_POSTGRES_DATABASE_URL": world.url,
        },
    )
    project.home.mkdir()

    def meltano(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "meltano", *arguments],
            cwd=ROOT,
            env=project.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    name = "dev:tap-hubspot-deals-to-target-deals-postgres"
    assert meltano("state", "set", "--force", name, "--input-file", str(state)).returncode == 0
    for command in COMMANDS:
        done = meltano(*command.split())
        assert done.returncode == 0, done.stderr
        assert "deals: equal." in done.stdout + done.stderr
    with connect(world.url) as db, db.cursor() as cur:
        cur.execute("DROP TABLE hubspot._proofs")


def test_proofs_are_protected_as_the_tables_are(world: World) -> None:
    found = [*world.verify().values()]
    with world.db.cursor() as cur:
        cur.execute("CREATE ROLE proofs_reader; GRANT USAGE ON SCHEMA hubspot TO proofs_reader")
        cur.execute("ALTER TABLE hubspot.deals ENABLE ROW LEVEL SECURITY")
        proofs.write(cur, "hubspot", "acme", found, "deals")
        cur.execute("GRANT SELECT ON hubspot._proofs TO proofs_reader; SET ROLE proofs_reader")
        seen = []
        for tenant in ("acme", "other"):
            cur.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
            cur.execute("SELECT count(*) FROM hubspot._proofs")
            seen += cur.fetchall()
    world.db.rollback()

    assert seen == [(len(found),), (0,)]
