"""What an operator is given: each file by the tool that reads it, and `scan-service check`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scan_service.guard.vault import new_key
from scan_service.pipeline.numbers import Numbers
from service.kit import ROOT, Client, Ledger
from service.test_commands import scan_service
from service.test_schedules import schedule

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator
    from scan_service.settings import Settings

OPS = ROOT / "ops"
RULES = OPS / "prometheus" / "scan-service.rules.yml"


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is needed: Debian's {package}")
    return found


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)


def test_systemd_reads_the_units(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    for unit in (OPS / "systemd").glob("*.service"):
        text = unit.read_text().replace("/opt/scan-service/.venv/bin/scan-service", "/bin/true")
        (tmp_path / unit.name).write_text(text)

    done = run(analyze, "verify", "--man=no", *sorted(tmp_path.glob("*.service")))

    assert "scan-service" not in done.stderr + done.stdout
    assert done.returncode == 0


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool = tool("promtool", "prometheus")

    checked = run(promtool, "check", "rules", RULES)
    tested = run(promtool, "test", "rules", OPS / "prometheus" / "scan-service.test.yml")

    assert checked.returncode == 0, checked.stderr
    assert tested.returncode == 0, tested.stdout + tested.stderr
    alerts = {rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    tests = yaml.safe_load((OPS / "prometheus" / "scan-service.test.yml").read_text())["tests"]
    for case in tests:
        assert {each["alertname"] for each in case["alert_rule_test"]} == alerts


def test_alerts_and_board_ask_for_numbers_that_there_are(client: Client) -> None:
    client.start()
    text = client.http.get("/metrics").text
    numbers = Numbers()
    numbers.ended("completed")
    with numbers.step("repair"):
        text += asyncio.run(numbers.text()).decode()
    told = {sample.name for each in text_string_to_metric_families(text) for sample in each.samples}
    board = json.loads((OPS / "grafana" / "scan-service.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]

    for expression in asked:
        for name in re.findall(r"scan_service_\w+", expression):
            assert name in told, name


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_image_is_built_and_says_what_it_can(tmp_path: Path) -> None:
    file = OPS / "docker" / "Dockerfile"
    docker = shutil.which("docker")
    if docker and run(docker, "info").returncode == 0:
        built = run(docker, "build", "-q", "-f", file, ROOT)
        assert built.returncode == 0, built.stderr
        shown = run(docker, "run", "--rm", built.stdout.strip(), "--help")
    else:
        shown = in_chroot(file, tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert "serve" in shown.stdout


def in_chroot(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build an image without an engine, and have the command in it say what it can."""
    if os.geteuid() != 0:
        pytest.skip("no container engine answers here, and only root may build without one")
    store = os.environ.get("BUILDAH_STORE", folder / "store")  # one that has the base already
    buildah = [tool("buildah", "buildah"), "--storage-driver", "vfs", "--root", store]
    buildah += ["--runroot", folder / "run"]
    base = re.findall(r"^FROM (\S+)", file.read_text(), re.MULTILINE)[0]
    if run(*buildah, "from", base).returncode:
        pytest.skip(f"no {base} here, and no registry that has it")
    built = run(*buildah, "build", "--isolation", "chroot", "--quiet", "--file", file, ROOT)
    assert built.returncode == 0, built.stderr[-3000:]
    made = run(*buildah, "from", built.stdout.strip()).stdout.strip()
    try:
        return run(*buildah, "run", "--isolation", "chroot", made, "--", "scan-service", "--help")
    finally:
        run(*buildah, "rm", made)


def test_the_compose_file_names_what_the_settings_read() -> None:
    found = yaml.safe_load((OPS / "docker" / "compose.yml").read_text())["services"]

    assert {name for name, each in found.items() if "build" in each} == {"migrate", "serve", "work"}
    for name in ("migrate", "serve", "work"):
        assert found[name]["command"] == [name]
        assert {"DATABASE_URL", "SCAN_SERVICE_SECRET_KEYS"} == set(found[name]["environment"])


@pytest.fixture
def environment(
    settings: Settings, ledger: Ledger, hubspot: Simulator, tmp_path: Path
) -> dict[str, str]:
    return {
        "DATABASE_URL": ledger.url,
        "SCAN_SERVICE_SECRET_KEYS": settings.secret_keys.get_secret_value(),
        "SCAN_SERVICE_HUBSPOT_BASE_URL": hubspot.url,
        "SCAN_SERVICE_RUN_DIRECTORY": str(tmp_path / "runs"),
        "SCAN_SERVICE_PROJECT_ROOT": str(ROOT),
    }


def test_a_check_says_ok_of_everything(environment: dict[str, str], client: Client) -> None:
    client.start()
    client.post("/api/v1/schedules", json=schedule())

    done = scan_service("check", **environment)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^ok ", done.stdout, re.MULTILINE)) == 9
    assert "all 2 kept tokens open" in done.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SCAN_SERVICE_SECRET_KEYS": new_key()}, "no key opens 1 of 1 kept tokens"),
        ({"SCAN_SERVICE_SECRET_KEYS": "hush"}, "needs Fernet keys"),
        ({"SCAN_SERVICE_HUBSPOT_BASE_URL": "http://127.0.0.1:1"}, "does not answer"),
        ({"SCAN_SERVICE_PROJECT_ROOT": "/nowhere"}, "no meltano.yml"),
        ({"SCAN_SERVICE_MELTANO": "/nowhere/meltano"}, "is no command"),
        ({"SCAN_SERVICE_RUN_DIRECTORY": "/dev/shm"}, "SCAN_SERVICE_RUN_DIRECTORY (/dev/shm)"),  # noqa: S108
        ({"DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/d"}, "the database cannot be reached"),
    ],
)
def test_a_check_names_what_is_wrong_and_nothing_secret(
    changed: dict[str, Any], said: str, environment: dict[str, str], client: Client
) -> None:
    client.start()

    done = scan_service("check", **{**environment, **changed})

    assert done.returncode == 1
    assert said in done.stdout
    assert "hush" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_finds_missing_migrations_and_rights(
    environment: dict[str, str], ledger: Ledger
) -> None:
    ledger.run("drop role if exists checked")
    ledger.run("create role checked login password 'x'")
    ledger.run("drop role if exists loads")
    ledger.run("create role loads login password 'x' in role scan_service_loader")
    url = re.sub(r"//[^@]*@", "//checked:x@", ledger.url)
    try:
        ledger.run("delete from migration where name = '0011_retention.sql'")
        unmigrated = scan_service("check", **environment)
        ledger.run("insert into migration (name) values ('0011_retention.sql')")
        ledger.run("grant usage on schema scan_service to checked")
        ledger.run("grant select on all tables in schema scan_service to checked")
        loads = {"SCAN_SERVICE_LOADER_DATABASE_URL": url.replace("checked", "loads")}
        unable = scan_service("check", **{**environment, "DATABASE_URL": url, **loads})
        closed = scan_service("check", **environment, SCAN_SERVICE_LOADER_DATABASE_URL=url)
        apart = scan_service("check", **environment, **loads)
    finally:
        ledger.run("drop owned by checked")
        ledger.run("drop role checked")
        ledger.run("drop role loads")

    assert "1 are missing; run `scan-service migrate`" in unmigrated.stdout
    assert "permission denied" in unable.stdout
    assert "checked is no member of scan_service_loader" in closed.stdout
    assert "grant loads to checked" in unable.stdout
    assert "loads acts as scan_service_loader" in apart.stdout
    assert (unmigrated.returncode, unable.returncode) == (1, 1)
    assert ledger.run("select to_regclass('scan_service.scan_service_check')") == [(None,)]
