"""A newcomer's first day: docs/operations.md line by line on an empty Debian.

The machine is a folder that debootstrap fills, with processes, mounts and, once it is installed,
a network of its own. systemd does not run there: `units.py` starts what it would have started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from service.kit import ROOT
from service.test_operations import tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = "/etc/certificates.pem"  # on the new machine
PYTHON = "/opt/scan-service/.venv/bin/python"
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
MOUNTS = "".join(
    f"mount -t {kind} {kind} {{0}}/{place} && "
    for kind, place in (("proc", "proc"), ("tmpfs", "dev/shm"), ("tmpfs", "run"))
)
TOKEN = "pat-na1-first"
CURL = "curl --silent --show-error"
QUIET = "--output /dev/null --write-out '%{http_code}'"
HEALTH = "http://127.0.0.1/health"


def commands(name: str) -> str:
    (block,) = re.findall(rf"```bash {name}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


class Machine:
    """An empty Debian in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inside: subprocess.Popen[str] | None = None

    def install(self) -> None:
        """Debian's own packages, this repository, and what it trusts to reach the registries."""
        said = subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=systemd,ca-certificates", "bookworm",
             str(self.root), MIRROR],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if said.returncode:
            pytest.skip(f"no Debian to be had: {said.stdout[-300:]}")
        (self.root / "dev" / "shm").mkdir(exist_ok=True)
        (self.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (self.root / "usr/sbin/policy-rc.d").chmod(0o755)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.root / CERTIFICATES[1:])
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True,
        ).stdout  # fmt: skip
        home = self.root / "opt" / "scan-service"
        home.mkdir(parents=True)
        archive = subprocess.run(
            ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read"],
            cwd=ROOT, input=files, capture_output=True, check=True,
        ).stdout  # fmt: skip
        subprocess.run(["tar", "--extract"], cwd=home, input=archive, check=True)
        (home / "tests" / "service" / "units.py").chmod(0o644)

    def run(self, script: str) -> str:
        """Run lines as root, on the network of this machine, and end what they leave running."""
        done = subprocess.run(
            [*ALONE, "sh", "-c", MOUNTS.format(self.root) + 'exec chroot "$0" bash -euxc "$1"',
             str(self.root), script],
            env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def boot(self) -> None:
        """Start all that is enabled, on a network of its own, and a HubSpot."""
        script = (
            "service postgresql start >&2; "
            "runuser -u scan-service -- .venv/bin/hubspot-simulator --deals 300 >/dev/null & "
            f"({PYTHON} tests/service/units.py || echo failed) & exec bash -s"
        )
        self.inside = subprocess.Popen(
            [*ALONE, "--net", "sh", "-c",
             "ip link set lo up && " + MOUNTS.format(self.root)
             + 'cd "$0/opt/scan-service" && exec chroot "$0" bash -c "cd /opt/scan-service; $1"',
             str(self.root), script],
            env=self._environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.inside.stdout is not None
        assert self.inside.stdout.readline().startswith("started nginx"), self.logs()

    def do(self, script: str) -> str:
        """Run lines on the booted machine; what they print."""
        assert self.inside is not None
        assert self.inside.stdin is not None
        assert self.inside.stdout is not None
        self.inside.stdin.write(f"( {script}\n) </dev/null\necho; echo =$?=\n")
        self.inside.stdin.flush()
        said = ""
        for line in self.inside.stdout:
            if line.startswith("="):
                return said
            said += line
        raise AssertionError(said + self.logs())

    def fetch(self, url: str, key: str = "", body: Any = None) -> Any:
        """The JSON of an answer on the booted machine."""
        words = [CURL, f"'http://127.0.0.1{url}'"]
        words += ["--header", f"'Authorization: Bearer {key}'"] if key else []
        if body is not None:
            words += [
                "--header",
                "'Content-Type: application/json'",
                "--data",
                f"'{json.dumps(body)}'",
            ]
        return json.loads(self.do(" ".join(words)))

    def wait(self, until: Callable[[], Any]) -> None:
        """Ask again and again until the answer is yes."""
        end = time.monotonic() + 120
        while not until():
            assert time.monotonic() < end, self.logs()
            time.sleep(1)

    def logs(self) -> str:
        found = sorted((self.root / "var" / "log").glob("*.service.log"))
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in found)

    def remove(self) -> None:
        if self.inside is not None:
            self.inside.kill()  # and with the first process all of the machine
            self.inside.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "SYSTEMD_OFFLINE": "1",  # units are put in place, and `units.py` starts them
            **dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), CERTIFICATES),
        }


@pytest.fixture
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("only root may make a machine of its own")
    tool("debootstrap", "debootstrap")
    tool("unshare", "util-linux")
    made = Machine(Path(tempfile.mkdtemp(prefix="machine-")))
    made.root.chmod(0o755)
    try:
        made.install()
        yield made
    finally:
        made.remove()


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_a_newcomer_has_service_worker_proxy_and_alerts_running(machine: Machine) -> None:
    machine.run(commands("new-machine") + "service postgresql stop\n")
    with (machine.root / "etc" / "scan-service.env").open("a") as env:
        env.write("SCAN_SERVICE_HUBSPOT_BASE_URL=http://127.0.0.1:8650\n")
    assert (machine.root / "etc" / "scan-service.env").stat().st_mode & 0o077 == 0

    machine.boot()
    machine.wait(lambda: machine.do(f"{CURL} {QUIET} {HEALTH} || true").strip() == "200")
    said = machine.do(commands("new-machine-look"))

    assert "All is ready" in said, said + machine.logs()
    (key,) = re.findall(r"^sk_\S+", said, re.MULTILINE)
    started = machine.fetch(
        "/api/v1/scan/start",
        key,
        {"config": {"scanId": "first", "tenantId": "acme", "auth": {"accessToken": TOKEN}}},
    )
    assert started["status"] == "success", started
    status = "/api/v1/scan/status/first"
    machine.wait(lambda: machine.fetch(status, key)["data"]["status"] == "completed")
    shown = machine.fetch("/api/v1/scan/result/first", key)["data"]
    assert shown["summary"]["totalDeals"] == 300
    assert machine.do(f"{CURL} {QUIET} http://127.0.0.1/metrics").strip() == "404"
    rules = machine.fetch(":9090/api/v1/rules")["data"]["groups"][0]["rules"]
    assert "ScanServiceNoWorker" in {rule["name"] for rule in rules}
    workers = ":9090/api/v1/query?query=max(scan_service_workers)"
    machine.wait(lambda: machine.fetch(workers)["data"]["result"])
    assert machine.fetch(workers)["data"]["result"][0]["value"][1] == "1"
