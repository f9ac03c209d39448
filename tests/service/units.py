"""Starts the enabled units of a Debian on which systemd does not run, as their files say.

A program for `test_new_machine.py`, run inside the new machine: it starts all and waits.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

WANTED = Path("/etc/systemd/system/multi-user.target.wants")
INSTALLED = (Path("/etc/systemd/system"), Path("/lib/systemd/system"))
OURS = ("scan-service", "nginx", "prometheus.")
Section = dict[str, list[str]]


def service_of(unit: str) -> Section:
    """The lines of a unit's [Service], by their names; `%i` is the instance."""
    stem, _, instance = unit.removesuffix(".service").partition("@")
    name = f"{stem}@.service" if instance else unit
    path = next(folder / name for folder in INSTALLED if (folder / name).exists())
    found: Section = {}
    section = ""
    for line in path.read_text().replace("\\\n", " ").replace("%i", instance).splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def environment_of(service: Section) -> dict[str, str]:
    """PATH and what the unit adds to it."""
    lines = [*service.get("Environment", [])]
    for path in service.get("EnvironmentFile", []):
        lines += Path(path.removeprefix("-")).read_text().splitlines()
    environment = {"PATH": os.environ["PATH"]}
    for line in lines:
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            environment[name] = value.strip("\"'")
    return environment


def start(unit: str) -> subprocess.Popen[bytes] | None:
    """Start a unit as its user, after what comes before it; None where it puts itself aside."""
    service = service_of(unit)
    environment = environment_of(service)
    user = service.get("User", ["root"])[0]
    for name in service.get("RuntimeDirectory", []):
        folder = Path("/run", name)
        folder.mkdir(mode=0o700)
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)

    def words(line: str) -> list[str]:
        return [
            part
            for word in shlex.split(line.lstrip("-+!:@"))
            for part in (
                shlex.split(environment.get(word[1:], "")) if word.startswith("$") else [word]
            )
        ]

    place = service.get("WorkingDirectory", ["/"])[0]
    with Path("/var/log", f"{unit}.log").open("ab") as log:
        told: Any = {"env": environment, "user": user, "cwd": place, "stdout": log, "stderr": log}
        for line in service.get("ExecStartPre", []):
            subprocess.run(words(line), check=True, **told)
        (line,) = service["ExecStart"]
        process = subprocess.Popen(words(line), **told)
    if service.get("Type", [""])[0] == "forking":
        assert process.wait(30) == 0, unit
        return None
    return process


def main() -> None:
    """Start workers after servers, as they ask for; print `started`, and wait for the end."""
    names = sorted(path.name for path in WANTED.iterdir() if path.name.startswith(OURS))
    units = sorted(names, key=lambda name: "@" in name)
    running = [start(unit) for unit in units]
    print("started", *units, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    for process in running:
        if process is not None:
            process.terminate()


if __name__ == "__main__":
    main()
