"""`hub-all`: every source that has credentials, whatever becomes of the others, and one table."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest
from crm_taps.hub_all import LIMITS, Source, choose, sources
from crm_taps.outcomes import Outcome
from harness.hub import BLOCK, PAGE
from harness.meltano import BIN, ROOT, Project
from harness.vendors.callrail import CallRail
from harness.vendors.genius import MARIADB
from harness.vendors.leadconduit import LeadConduit
from harness.vendors.running import rows, until
from harness.vendors.sources import SOURCES
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from pathlib import Path

CALLRAIL, CONDUIT = (s for s in SOURCES if s.name in {"callrail", "leadconduit"})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Meltano writes; made once, which takes it a while."""
    return tmp_path_factory.mktemp("hub")


def start(home: Path, settings: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [BIN / "hub-all", *arguments],
        cwd=ROOT,
        env=Project(home, settings).environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hub_all(home: Path, settings: dict[str, Any], *arguments: str) -> tuple[int, str, str]:
    """The exit code, the output and the rest."""
    with start(home, settings, *arguments) as process:
        output, log = process.communicate()
        return process.returncode, output, log


def table(output: str) -> list[tuple[str, ...]]:
    """The rows of the table below its head."""
    lines = output.partition("\n")[2].splitlines()
    found = [tuple(re.split(r"\s{2,}", line)) for line in lines]
    return [row for row in found if len(row) == 6]


def test_a_source_that_fails_stops_no_other_and_the_table_is_that_of_loads(
    home: Path, database_url: str
) -> None:
    with CallRail() as callrail, LeadConduit(leads=1234) as conduit:
        callrail.add_account("ACC", calls=5)
        callrail.fail(500, path="trackers", times=99)
        settings = {
            **CALLRAIL.settings(callrail),
            **CONDUIT.settings(conduit),
            "TAP_CALLRAIL_MAX_TRIES": "1",
            "TAP_FIVE9_USERNAME": "half",
            "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
        }
        code, output, log = hub_all(home, settings)

    assert code == 1
    assert output.split()[:6] == ["source", "stream", "processed", "created", "updated", "failed"]
    told = table(output)
    counts = "stream, processed, created, updated, rejected"
    for source in ("callrail", "leadconduit"):
        loads = rows(database_url, f"select {counts} from {source}._loads order by stream")
        assert [row[1:] for row in told if row[0] == source] == [
            (stream, *(f"{n:,}" for n in numbers)) for stream, *numbers in loads
        ]
    assert ("leadconduit", "leads", "1,234", "1,234", "0", "0") in told
    assert ("callrail", "calls", "5", "5", "0", "0") in told
    assert ("five9", "-", "-", "-", "-", "-") in told
    assert re.search(
        r"^callrail failed: CallRail answered 500 for trackers: .*\[source_unavailable\]$",
        output,
        re.MULTILINE,
    )
    assert "five9 failed: Not set: TAP_FIVE9_TENANT_ID, TAP_FIVE9_PASSWORD." in output
    assert "leadconduit failed" not in output
    assert "Without credentials: hubspot, salesrabbit, arrivy, marketsharp" in log
    assert callrail.key not in output + log
    assert conduit.key not in output + log


REFUSED = "psycopg2.OperationalError: connection refused"
TRACEBACK = f"Traceback (most recent call last):\n  File x\n{REFUSED}\n\n(Background on this)\n"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [
                {"event": TRACEBACK, "level": "info", "stdio": "stderr"},
                {"event": "Ghost said no.", "level": "error", "code": "source_refused"},
                {"event": "Extractor failed", "level": "error"},
            ],
            ["Ghost said no. [source_refused]"],
        ),
        (
            [
                *({"event": each, "level": "info"} for each in TRACEBACK.splitlines()),
                {"event": "Extractor failed", "level": "error"},
                {"event": "Block run completed", "level": "error", "block_type": "ELB"},
            ],
            [f"Extractor failed: {REFUSED}."],
        ),
        (
            [
                {
                    "event": "Cannot start plugin tap-ghost: Catalog discovery failed: command "
                    f"['x', '--config', '/y'] returned 1 with stderr:\n{TRACEBACK}",
                    "level": "error",
                },
            ],
            [f"Cannot start plugin tap-ghost: Catalog discovery failed: {REFUSED}."],
        ),
        ([], ["Meltano ended with exit code 1; its log tells why."]),
    ],
)
def test_why_a_source_failed_is_one_sentence_whoever_tells_it(
    lines: list[dict[str, Any]], told: list[str]
) -> None:
    outcome = Outcome("ghost")
    for line in lines:
        outcome.follow(line)
    outcome.end(1)

    assert outcome.faults == told


def test_a_source_whose_credentials_are_not_whole_is_told_in_a_named_environment(
    home: Path,
) -> None:
    ended, output, _ = hub_all(home, {"MELTANO_ENVIRONMENT": "prod"}, "arrivy")

    assert ended == 1
    assert "arrivy failed: Not set: TAP_ARRIVY_TENANT_ID, TAP_ARRIVY_AUTH_KEY" in output


def source(name: str, **variables: str) -> Source:
    plugin = {
        "name": f"tap-{name}",
        "settings": [{"name": "key"}],
        "settings_group_validation": [["key"]],
        "env": variables,
    }
    return Source(name, plugin)


def test_what_is_no_source_or_has_no_credentials_is_told() -> None:
    found = [source("arrivy"), source("callrail", TAP_CALLRAIL_KEY="k")]

    with pytest.raises(click.UsageError, match="There is no source ghosts; arrivy, callrail are"):
        choose(found, ["ghosts", "callrail"])
    with pytest.raises(click.ClickException, match="No source has credentials"):
        choose(found[:1], [])
    assert choose(found, []) == choose(found, ["callrail"]) == found[1:]


@pytest.mark.heavy
def test_limits_are_known_of_every_source_and_of_every_object_type(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in Project(home, {}).environment().items():
        monkeypatch.setenv(name, value)
    found = {source.name: source for source in sources()}
    unknown = [n for n, s in found.items() if not all(s.knows(names) for names in LIMITS.values())]
    told = found["hubspot"].variables({"created_from": "2026-01-01", "max_records": 5})
    objects = json.loads(told["TAP_HUBSPOT_ALL_OBJECTS"])

    assert unknown == []
    assert found["genius"].variables({"max_records": 5}) == {"TAP_GENIUS_MAX_RECORDS": "5"}
    assert {"deals", "contacts", "tickets"} < {each["name"] for each in objects}
    assert {(e["created_from"], e["max_records"]) for e in objects} == {("2026-01-01", 5)}
    assert found["callrail"].knows(("ghost",)) is None


@pytest.mark.heavy
def test_a_sample_of_hubspot_is_one_of_every_object_type(tmp_path: Path, database_url: str) -> None:
    portal = Portal.generate(40, counts={"tickets": 9, "meetings": 9})
    with Simulator([portal]) as hubspot:
        settings = {
            "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": portal.token,
            "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
            "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
            "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
        }
        code, output, _ = hub_all(tmp_path / "home", settings, "--max-records", "3", "hubspot")

    counts = {row[1]: row[2] for row in table(output)}
    assert code == 0
    assert {counts[name] for name in ("deals", "contacts", "companies", "tickets", "meetings")} == {
        "3"
    }


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_options_reach_every_source(tmp_path: Path, database_url: str) -> None:
    with CallRail() as callrail, LeadConduit(leads=100) as conduit:
        callrail.add_account("ACC", calls=100)
        settings = {
            **CALLRAIL.settings(callrail),
            **CONDUIT.settings(conduit),
            "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
        }
        home = tmp_path / "home"
        dry = hub_all(home, settings, "--dry-run")
        tables = rows(database_url, "select count(*) from pg_namespace where nspname = 'callrail'")
        sample = hub_all(home, settings, "--max-records", "3")
        since = CONDUIT.middle(conduit)
        half = hub_all(home, settings, "--since", since.isoformat(), "leadconduit")
        full = hub_all(home, settings)
        again = hub_all(home, settings, "--full-refresh")

    assert [run[0] for run in (dry, sample, half, full, again)] == [0] * 5
    assert ("callrail", "calls", "100", "100", "0", "0") in table(dry[1])
    assert tables == [(0,)]
    assert ("callrail", "calls", "3", "3", "0", "0") in table(sample[1])
    assert table(half[1]) == [("leadconduit", "leads", "50", "50", "0", "0")]
    assert ("callrail", "calls", "100", "97", "0", "0") in table(full[1])
    assert ("leadconduit", "leads", "10", "0", "0", "0") not in table(again[1])
    assert ("leadconduit", "leads", "100", "47", "0", "0") in table(again[1])


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_a_signal_ends_the_source_at_hand_and_all_after_it(
    tmp_path: Path, database_url: str
) -> None:
    with CallRail() as callrail, LeadConduit() as conduit:
        callrail.add_account("ACC", calls=5)
        callrail.fail(503, path="users", headers={"Retry-After": "60"})
        settings = {
            **CALLRAIL.settings(callrail),
            **CONDUIT.settings(conduit),
            "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
        }
        with start(tmp_path / "home", settings) as process:
            until(lambda: any("users" in path for path in callrail.paths()), 280)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=280)

    assert process.returncode == 143
    assert "callrail failed: Signal 15 ended the run." in output
    assert conduit.requests == []


@pytest.mark.heavy
@pytest.mark.timeout(1200)
def test_make_hub_loads_every_source_and_the_page_shows_its_table() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "harness.hub"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    block = BLOCK.search(PAGE.read_text())
    assert block is not None
    written, shown = table(block[2]), table(ended.stdout[ended.stdout.index("source  ") :])
    if MARIADB is None:
        written = [row for row in written if row[0] != "genius-mysql"]

    assert shown == written
    assert len({source for source, *_ in shown}) == 11 - (MARIADB is None)
