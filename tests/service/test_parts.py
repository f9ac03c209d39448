"""Small parts by themselves: words, limits, the vault, the log of a run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError
from scan_service import units
from scan_service.db import Database
from scan_service.engine import processes
from scan_service.guard.vault import Vault, VaultError, new_key
from scan_service.moments import bounds, timestamp
from scan_service.pipeline.patience import end
from scan_service.pipeline.run_log import LogReader
from scan_service.settings import Settings
from service.kit import ROOT, TENANT, TOKEN, Ledger
from service_base import buckets
from service_base.buckets import Rate
from service_base.logs import mask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = ROOT / "scan-service" / "scan_service"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (units.duration(495), "8m 15s"),
        (units.duration(475_000), "5d 11h 56m"),
        (units.duration(3_725), "1h 2m 5s"),
        (units.duration(0.4), "0s"),
        (units.duration(None), None),
        (units.size(0), "0 B"),
        (units.size(104_448), "102 KB"),
        (units.size(2_576_980_378), "2.4 GB"),
        (units.size(5 * 1024**5), "5120 TB"),
        (units.percentage(298, 300), "99.3%"),
        (units.percentage(42, 47), "89.4%"),
        (units.percentage(0, 0), "0.0%"),
        (units.percentage(5, 5), "100.0%"),
        (units.percentage(999_999, 1_000_000), "99.9%"),
        (units.percentage(1, 1_000_000), "0.1%"),
        (units.milliseconds(0.0123), "12ms"),
        (units.expected_duration(None), "unknown"),
        (units.expected_duration(20), "less than a minute"),
        (units.expected_duration(400), "5-10 minutes"),
        (timestamp(datetime(2025, 11, 10, 16, tzinfo=UTC)), "2025-11-10T16:00:00Z"),
    ],
)
def test_words_are_the_documents(said: str | None, expected: str | None) -> None:
    assert said == expected


def test_a_day_as_the_end_includes_that_day() -> None:
    def moments(**dates: str) -> tuple[str | None, ...]:
        found = bounds(dates.get("startDate"), dates.get("endDate"))
        return tuple(moment.isoformat() if moment else None for moment in found)

    assert moments(startDate="2025-01-01", endDate="2025-12-31") == (
        "2025-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00+00:00",
    )
    assert moments(endDate="2025-12-31T12:00:00+02:00") == (None, "2025-12-31T12:00:00+02:00")


def test_a_sealed_token_opens_only_for_its_tenant_and_with_any_key_of_the_ring() -> None:
    old, new = new_key(), new_key()
    sealed = Vault(SecretStr(old)).seal(SecretStr(TOKEN), tenant_id=TENANT)
    ring = Vault(SecretStr(f"{new}, {old}"))

    assert TOKEN.encode() not in sealed
    assert TOKEN in ring.environment(sealed, tenant_id=TENANT).values()
    assert (
        TOKEN in Vault(SecretStr(new)).environment(ring.reseal(sealed), tenant_id=TENANT).values()
    )
    with pytest.raises(VaultError, match="another tenant"):
        ring.environment(sealed, tenant_id="tenant-b")
    with pytest.raises(VaultError, match="no key"):
        Vault(SecretStr(new)).environment(sealed, tenant_id=TENANT)
    with pytest.raises(VaultError, match="needs Fernet keys") as refusal:
        Vault(SecretStr("hush-hush"))
    assert "hush" not in str(refusal.value)


def test_the_log_masks_what_looks_like_a_secret() -> None:
    text = f"{TOKEN} sk_live_abcdefgh Bearer abcdef postgresql://u:pass@h:5432/d http://h:5200/x"

    assert (
        mask(text) == "pat-na1-*** sk_live_*** Bearer *** postgresql://***@h:5432/d http://h:5200/x"
    )


def test_wrong_settings_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAN_SERVICE_PORT", "hush")
    with pytest.raises(ValidationError) as refusal:
        Settings.load(database_url="postgresql://u:secret@h/d")

    assert {str(problem["loc"][0]) for problem in refusal.value.errors()} == {"port", "secret_keys"}
    assert "secret@h" not in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_servers_on_many_machines_share_one_bucket(ledger: Ledger) -> None:
    async def many() -> int:
        db = Database(SecretStr(ledger.url), size=8)
        await db.open()

        async def one() -> bool:
            async with db.system() as connection:
                taken = await buckets.take(connection, TENANT, Rate(100), burst=150)
                return taken.allowed

        try:
            return sum(await asyncio.gather(*(one() for _ in range(100))))
        finally:
            await db.close()

    with ThreadPoolExecutor(3) as servers:
        allowed = sum(servers.map(lambda _: asyncio.run(many()), range(3)))

    assert 150 <= allowed <= 158  # and what came back meanwhile


def test_a_bucket_refills_at_the_promised_rate(ledger: Ledger) -> None:
    async def take() -> buckets.Allowance:
        db = Database(SecretStr(ledger.url))
        await db.open()
        try:
            async with db.system() as connection:
                return await buckets.take(connection, TENANT, Rate(100), burst=150)
        finally:
            await db.close()

    asyncio.run(take())
    ledger.run("update bucket set tokens = 0, at = clock_timestamp() - interval '6 seconds'")
    after = asyncio.run(take())

    assert 8.9 <= after.tokens <= 10
    assert after.headers()["X-RateLimit-Remaining"] == "9"


def lines(*entries: dict[str, Any] | str) -> str:
    texts = (entry if isinstance(entry, str) else json.dumps(entry) for entry in entries)
    return "\n".join(texts) + "\n"


def said(plugin: str, text: str) -> dict[str, Any]:
    return {"level": "error", "name": plugin, "event": text}


def counted(plugin: str, value: int, stream: str = "deals") -> dict[str, Any]:
    metric = {"metric": "record_count", "value": value, "tags": {"stream": stream}}
    return {"level": "info", "name": plugin, "event": "METRIC", "metric_info": metric}


def test_progress_adds_up_from_pieces_of_a_growing_log(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    reader = LogReader(log)
    assert reader.follow() is False
    text = lines(
        counted("tap-hubspot-deals", 100),
        counted("target-deals-postgres", 60),
        counted("target-deals-postgres", 500, "associations"),
        "no json",
        counted("target-deals-postgres", 40),
    )
    for upto in range(0, len(text) + 97, 97):
        log.write_text(text[:upto])
        reader.follow()

    assert (reader.read, reader.written) == ({"deals": 100}, {"deals": 100})


TAP, TARGET = "tap-hubspot-deals", "target-deals-postgres"


def test_a_wait_that_others_brought_is_a_wait_and_no_try(tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "run.log")
    wait = {"code": "hubspot_rate_limited", "wait_seconds": 600.0, "family": "search"}
    reader.path.write_text(lines({**said(TAP, "Others met the limit."), **wait, "shared": True}))
    reader.follow()
    of_others = reader.hindrances.shown()
    reader.path.write_text(reader.path.read_text() + lines({**said(TAP, "Again."), **wait}))
    reader.follow()
    own = reader.hindrances.shown()

    assert (of_others["waiting"]["code"], of_others["errors"]) == ("HUBSPOT_RATE_LIMIT", [])
    assert [each["retryCount"] for each in own["errors"]] == [1]


def ended(plugin: str, code: str, *, again: bool = False) -> dict[str, Any]:
    return said(plugin, "A sentence for people.") | {"code": code, "retryable": again}


PIPE_BROKE = {
    "level": "critical",
    "event": "Run failed",
    "exception": [{"exc_type": "BrokenPipeError", "exc_value": ""}],
}
KILLED = {"level": "error", "event": "", "exit_codes": {"extractors": -9}}


@pytest.mark.parametrize(
    ("code", "entries", "expected"),
    [
        (1, [ended(TAP, "hubspot_unauthorized")], ("HUBSPOT_AUTH_ERROR", False)),
        (1, [ended(TAP, "hubspot_missing_scope")], ("HUBSPOT_AUTH_ERROR", False)),
        (1, [ended(TAP, "hubspot_rate_limited", again=True)], ("HUBSPOT_RATE_LIMIT", True)),
        (1, [ended(TAP, "hubspot_daily_limit")], ("HUBSPOT_RATE_LIMIT", False)),
        (1, [ended(TAP, "hubspot_unavailable", again=True)], ("HUBSPOT_API_ERROR", True)),
        (1, [ended(TAP, "hubspot_refused")], ("HUBSPOT_API_ERROR", False)),
        (1, [ended(TARGET, "database_unreachable", again=True)], ("DATABASE_ERROR", True)),
        (
            1,
            [ended(TARGET, "records_rejected"), ended(TAP, "target_gone", again=True)],
            ("DATABASE_ERROR", False),
        ),
        (
            1,
            [ended(TAP, "hubspot_unauthorized"), ended(TARGET, "interrupted", again=True)],
            ("HUBSPOT_AUTH_ERROR", False),
        ),
        (1, [ended(TAP, "interrupted", again=True)], ("INTERNAL_ERROR", True)),
        (1, [ended(TAP, "of_a_newer_tap", again=True)], ("INTERNAL_ERROR", True)),
        (1, [KILLED], ("INTERNAL_ERROR", True)),
        (1, [PIPE_BROKE], ("DATABASE_ERROR", True)),
        (1, [ended(TAP, "target_gone", again=True), PIPE_BROKE], ("DATABASE_ERROR", True)),
        (1, [ended(TAP, "hubspot_unauthorized"), PIPE_BROKE], ("HUBSPOT_AUTH_ERROR", False)),
        (137, [], ("INTERNAL_ERROR", True)),
        (1, ["ModuleNotFoundError: No module named 'x'"], ("INTERNAL_ERROR", False)),
        # Sentences decide nothing, whatever they say.
        (1, [said(TAP, "The token may not read deals")], ("INTERNAL_ERROR", False)),
        (1, [said(TARGET, "server closed the connection")], ("INTERNAL_ERROR", False)),
    ],
)
def test_a_failed_run_is_judged_by_what_it_said(
    code: int, entries: list[Any], expected: tuple[str, bool], tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    log.write_text(lines(*entries))
    reader = LogReader(log)
    reader.follow()

    verdict = reader.verdict(code)

    assert not verdict.completed
    assert (verdict.code, verdict.try_again) == expected
    assert verdict.message


def test_every_type_that_a_token_may_not_read_is_in_the_reason(tmp_path: Path) -> None:
    names = [f"custom_object_number_{number}" for number in range(12)]
    sentences = " ".join(
        f"The token may not read {name}: it needs crm.objects.custom.read. Add the scope in"
        f" HubSpot, or do without: deselect the stream, or take it out of `associations`."
        for name in names
    )
    log = tmp_path / "run.log"
    log.write_text(lines(ended(TAP, "hubspot_missing_scope") | {"event": sentences}))
    reader = LogReader(log)
    reader.follow()

    reason = reader.verdict(1).message

    assert [name for name in names if name not in reason] == []


def test_a_task_that_misses_its_cancellation_is_cancelled_again() -> None:
    async def forgetful() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def both() -> bool:
        task = asyncio.create_task(forgetful())
        await asyncio.sleep(0)
        await asyncio.wait_for(end(task), 10)
        return task.cancelled()

    assert asyncio.run(both())


def modules_that(says: Callable[[str], bool]) -> set[str]:
    return {path.stem for path in SOURCE.rglob("*.py") if says(path.read_text(encoding="utf-8"))}


def test_each_secret_of_the_trade_has_one_room() -> None:
    assert modules_that(
        lambda text: "import procrastinate" in text or "from procrastinate" in text
    ) == {"jobs"}
    assert modules_that(lambda text: "await asyncio.create_subprocess" in text) == {"processes"}
    assert modules_that(lambda text: "os.fork()" in text) == {"forkserver", "leash"}
    assert modules_that(lambda text: "Popen(" in text) == set()
    assert modules_that(lambda text: " Place(SCHEMA" in text or "ConnectionPool(" in text) == {"db"}
    assert modules_that(
        lambda text: "access_token.get_secret_value" in text or "Fernet(" in text
    ) == {"vault"}
    assert max(len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")) < 350


def test_children_inherit_nothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAN_SERVICE_SECRET_KEYS", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    assert "secret" not in processes.allowed_environment().values()
    assert os.environ["DATABASE_URL"] == "secret"


def test_every_setting_is_in_the_documentation() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    for name in Settings.model_fields:
        assert f"`SCAN_SERVICE_{name.upper()}`" in operations


def test_the_rooms_in_the_documentation_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "scan-service.md").read_text(encoding="utf-8")
    told: dict[str, set[str]] = {}
    for line in page.split("## The rooms")[1].split("\n\n")[2].splitlines():
        named = line.split()
        if not line.startswith(" " * 5):
            room = told.setdefault(named.pop(0), set())
        room |= {each for each in named if each.isidentifier()}
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        if path.stem != "__init__":
            room = found.setdefault("(below)" if path.parent == SOURCE else path.parent.name, set())
            room.add(path.stem)

    assert told == found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux closes a process's memory")
def test_a_process_with_secrets_is_closed_to_the_others_of_its_user() -> None:
    program = (
        "import ctypes, resource; from scan_service.engine.privacy import keep_private;"
        "keep_private(); cores = resource.getrlimit(resource.RLIMIT_CORE);"
        "print(ctypes.CDLL(None).prctl(3), cores)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "0 (0, 0)"
