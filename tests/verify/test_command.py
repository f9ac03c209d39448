"""`hubspot-verify`: exit codes, what it says, the proofs, and the repair."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from harness.database import connect
from harness.singer import config_for, signals_kept
from hubspot_verify.command import main

from .damage import DAMAGES, Damage, dropped

if TYPE_CHECKING:
    from .conftest import World

UNREACHABLE = "postgresql://me:hunter2@127.0.0.1:1/db"
VERIFY = str(Path(sys.executable).with_name("hubspot-verify"))


def options(
    world: World, folder: Path, *, state: Any = None, target: Any = None, **tap: Any
) -> list[str]:
    """The options of the command, with files of their own."""
    contents = {
        "tap-config": config_for(world.hubspot, **{**world.settings, **tap}),
        "target-config": {"database_url": world.url, **(target or {})},
        "state": world.state if state is None else state,
    }
    found: list[str] = []
    for name, content in contents.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(content))
        found += [f"--{name}", str(file)]
    return found


def verify(world: World, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [VERIFY, *options(world, folder), *arguments], capture_output=True, text=True, check=False
    )


class Told(NamedTuple):
    """What the command told in this process."""

    code: Any
    out: str
    err: str


Here = Callable[..., Told]


@pytest.fixture
def here(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Here:
    """Runs the command in this process, for its quickness."""

    def run(*arguments: str, **changes: Any) -> Told:
        caplog.clear()
        files = options(world, tmp_path, **changes)
        monkeypatch.setattr(sys, "argv", ["hubspot-verify", *files, *arguments])
        with signals_kept(), pytest.raises(SystemExit) as ended:
            main()
        last = "".join(caplog.messages[-1:])
        return Told(ended.value.code, capsys.readouterr().out, last)

    return run


def test_an_equal_copy_ends_with_0_and_a_proof(world: World, tmp_path: Path) -> None:
    done = verify(world, tmp_path)

    assert done.returncode == 0, done.stderr
    assert world.portal.token not in done.stdout + done.stderr
    assert "deals: equal." in done.stdout
    with connect(world.url) as db, db.cursor() as cur:
        cur.execute(
            "SELECT type, in_hubspot = in_tables AND digest_hubspot = digest_tables, requests, "
            "verdict, named::text FROM hubspot._proofs WHERE _tenant_id = 'acme' ORDER BY type"
        )
        rows = cur.fetchall()
        cur.execute("DROP TABLE hubspot._proofs")
    assert [row[0] for row in rows] == [
        "contacts",
        "contacts_companies",
        "deals",
        "deals_companies",
        "deals_contacts",
    ]
    assert all(row[1:2] + row[3:] == (True, "equal", "{}") for row in rows)


def test_what_differs_is_named_without_values_and_repaired_when_asked(
    world: World, tmp_path: Path
) -> None:
    damage = Damage(world, Random(5))
    for kind in DAMAGES:
        kind(damage)
    world.db.commit()

    told = verify(world, tmp_path)
    repaired = verify(world, tmp_path, "--repair")
    after = verify(world, tmp_path)

    assert (told.returncode, repaired.returncode, after.returncode) == (1, 0, 0), repaired.stderr
    assert len([line for line in told.stdout.splitlines() if line[0] == " "]) == len(
        damage.expected
    )
    assert "different" not in repaired.stdout
    assert "'damage'" not in told.stdout + told.stderr
    with connect(world.url) as db, db.cursor() as cur:
        cur.execute(
            "SELECT sum(missing + extra + stale + altered + doubled), sum(repaired), "
            "sum((SELECT sum(jsonb_array_length(value)) FROM jsonb_each(named))) "
            "FROM hubspot._proofs GROUP BY started_at::date, verdict ORDER BY verdict"
        )
        by_verdict = cur.fetchall()
        cur.execute("DROP TABLE hubspot._proofs")
    total = len(damage.expected)
    assert by_verdict == [(total, 0, total), (0, 0, None), (total, total, total)]
    assert world.named() == set()
    world.db.rollback()


@pytest.mark.parametrize(
    "changes",
    [
        {"state": {}},
        {"objects": ["deals"], "pipeline": "default"},
        {"objects": ["deals"], "max_records": 3},
    ],
    ids=["no run", "other filters", "a sample"],
)
def test_without_a_finished_run_of_these_settings_nothing_is_claimed(
    here: Here, changes: dict[str, Any]
) -> None:
    told = here(**changes)

    assert (told.code, told.out) == (3, "")
    assert told.err.endswith("(copy_unfinished)")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": {"default_target_schema": "elsewhere"}}, "table_missing"),
        ({"target": {"database_url": UNREACHABLE}}, "database_unreachable"),
        ({"access_token": "pat-wrong"}, "hubspot_unauthorized"),
        ({"objects": ["dealz"]}, "settings_invalid"),
        ({"stream_maps": {"deals": {"x": "1"}}}, "settings_invalid"),
        ({"state": []}, "settings_invalid"),
    ],
)
def test_what_keeps_it_from_verifying_is_told_with_a_code(
    here: Here, changes: dict[str, Any], code: str
) -> None:
    told = here(**changes)

    assert (told.code, told.out) == (3, "")
    assert told.err.endswith(f"({code})")
    assert "hunter2" not in told.err


def test_a_target_that_does_not_load_is_told_and_another_one_repairs(
    world: World, here: Here
) -> None:
    dropped(Damage(world, Random(2)))
    world.db.commit()

    failed = here("--repair", target={"batch_size_rows": -1})
    repaired = here("--repair")

    assert failed.code == 3
    assert failed.err.endswith("(plugin_failed)")
    assert repaired.code == 0
    assert "1 missing, 1 repaired" in repaired.out
    assert world.named() == set()
    with world.db.cursor() as cur:
        cur.execute("DROP TABLE hubspot._proofs")
    world.db.commit()
