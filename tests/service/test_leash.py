"""Runs on their leashes: how they begin without imports, and how they end in any case."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from scan_service.engine import processes
from scan_service.engine.leash import LEASE_LOST, TITLE, is_held
from service.kit import TENANT, TOKEN
from service.processes import BIN, HELD, Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from hubspot_simulator import Simulator


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server, and a worker: the last of its processes."""
    folder = tmp_path_factory.mktemp("leash")
    installation = Installation.fresh(postgres_server, folder, hubspot.url)
    try:
        installation.serve()
        installation.work()
        yield installation
    finally:
        hubspot.latency_ms = 0
        installation.stop()


@pytest.fixture
def held(service: Installation, hubspot: Simulator) -> Iterator[Callable[[str], None]]:
    """Starts a scan that does not end until the test, or this, lets it."""
    names = []

    def hold(name: str) -> None:
        names.append(name)
        service.start(name, batchSize=10)
        hubspot.latency_ms = HELD

    yield hold
    hubspot.latency_ms = 0
    for name in names:
        service.finished(name)


def fork_server(service: Installation) -> psutil.Process:
    (found,) = (
        child
        for child in psutil.Process(service.processes[-1].pid).children()
        if "scan_service.engine.forkserver" in child.cmdline()
    )
    return found


def memory(process: int) -> bytes:
    """All that a process has written; whoever runs the tests must be root."""
    pieces = []
    proc = Path("/proc") / str(process)
    with (proc / "maps").open() as maps, (proc / "mem").open("rb", 0) as written:
        for line in maps:
            place, rights = line.split()[:2]
            if rights.startswith("rw"):
                begin, end = (int(number, 16) for number in place.split("-"))
                written.seek(begin)
                pieces.append(written.read(end - begin))
    return b"".join(pieces)


@asynccontextmanager
async def leashed(folder: Path, script: str, lease: float) -> AsyncIterator[processes.Leashed]:
    forks = processes.ForkServer(folder.parent)
    try:
        yield await forks.leashed(
            [sys.executable, "-c", script],
            folder=folder,
            log=folder / "run.log",
            environment={**processes.allowed_environment(), "SCAN_RUN_FOLDER": str(folder)},
            lease=lease,
        )
    finally:
        await forks.close()


SLEEPER = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
)


def descendants(leash: processes.Leashed) -> list[psutil.Process]:
    """A command and what it started; the leash is told to wait for that."""

    def both() -> list[psutil.Process]:
        leash.beat()
        found = leash._members()
        return found if len(found) == 2 else []

    members: list[psutil.Process] = wait_for(both, pause=0.05)
    return members


def all_gone(members: list[psutil.Process]) -> bool:
    gone, _ = psutil.wait_procs(members, timeout=60)
    return len(gone) == len(members)


def test_silence_ends_a_run_with_its_grandchildren_and_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    async def silent() -> int | None:
        async with leashed(folder, SLEEPER, lease=1.5) as leash:
            members = await asyncio.to_thread(descendants, leash)
            assert is_held(folder)
            code = await leash.wait(60)
            assert await asyncio.to_thread(all_gone, members)
            return code

    assert asyncio.run(silent()) == LEASE_LOST
    assert not folder.exists()


def test_words_in_time_let_a_run_go_on_and_its_exit_code_come_through(tmp_path: Path) -> None:
    async def kept() -> int | None:
        script = "import time; time.sleep(3); raise SystemExit(7)"
        async with leashed(tmp_path, script, lease=2) as leash:
            while (code := await leash.wait(0.1)) is None:
                leash.beat()
            return code

    assert asyncio.run(kept()) == 7
    assert (tmp_path / "run.log").stat().st_mode & 0o777 == 0o600
    assert not is_held(tmp_path)


def test_the_exit_code_comes_through_a_flood_of_words(tmp_path: Path) -> None:
    async def flooded() -> int | None:
        async with leashed(tmp_path, "raise SystemExit(7)", lease=60) as leash:
            while (code := await leash.wait(0)) is None:
                for _ in range(100):
                    leash.beat()
            return code

    assert asyncio.run(flooded()) == 7


def test_the_exit_code_comes_through_a_word_that_is_too_late(tmp_path: Path) -> None:
    async def busy() -> int | None:
        async with leashed(tmp_path, "raise SystemExit(7)", lease=60) as leash:
            # Not awaited: this process does not get to reading before the other one has ended.
            wait_for(lambda: ended(leash._leash), pause=0.02)
            leash.beat()
            return await leash.wait(60)

    assert asyncio.run(busy()) == 7


def ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_run_can_be_asked_to_end(tmp_path: Path) -> None:
    async def asked() -> int | None:
        script = "import time; print('up', flush=True); time.sleep(60)"
        async with leashed(tmp_path, script, lease=60) as leash:
            await asyncio.to_thread(wait_for, (tmp_path / "run.log").read_text)
            assert leash.terminate()
            return await leash.wait(60)

    assert asyncio.run(asked()) == 128 + 15


def test_a_script_of_this_environment_is_forked_and_another_command_executed(
    tmp_path: Path,
) -> None:
    async def output(*command: str) -> tuple[int | None, str]:
        folder = tmp_path / str(len(command))
        folder.mkdir()
        forks = processes.ForkServer(tmp_path, ("scan-service",))
        try:
            leash = await forks.leashed(
                [*command], folder=folder, log=folder / "log", lease=60,
                environment={"SAID": "in its environment", "PATH": os.environ["PATH"]},
            )  # fmt: skip
            code = await leash.wait(60)
            return code, (folder / "log").read_text()
        finally:
            await forks.close()

    code, told = asyncio.run(output(str(BIN / "scan-service"), "nonsense"))
    assert code == 2
    assert "invalid choice: 'nonsense'" in told
    assert "importtime" not in told
    assert asyncio.run(output("/bin/sh", "-c", 'echo "$SAID"; exit 3')) == (
        3, "in its environment\n",
    )  # fmt: skip


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="reads memory: root, Linux"
)
def test_the_fork_server_never_holds_what_a_run_is_given(service: Installation) -> None:
    forks = fork_server(service)
    service.start("first")
    assert service.finished("first")["status"] == "completed"

    held = memory(forks.pid)
    secrets = [
        value.encode()
        for name, value in service.environment.items()
        if name in ("DATABASE_URL", "SCAN_SERVICE_SECRET_KEYS")
    ]

    assert b"scan_service.engine.forkserver" in held, "memory is read at all"
    assert [
        secret for secret in (*secrets, TOKEN.encode(), TENANT.encode()) if secret in held
    ] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere programs are executed")
def test_the_programs_of_a_run_are_named_and_show_no_token(
    service: Installation, held: Callable[[str], None]
) -> None:
    held("named")
    names = ("meltano", "tap-hubspot-deals", "target-deals-postgres", TITLE)
    wait_for(lambda: all(service.members(name) for name in names))
    (folder,) = service.run_folders()

    for name in names:
        (process,) = service.members(name)
        assert [word for word in process.cmdline() if word] == [name, str(folder)]
    shown = [Path(f"/proc/{each.pid}/environ").read_bytes() for each in service.members()]
    assert not any(TOKEN.encode() in each for each in shown)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere programs are executed")
def test_a_run_whose_leash_is_killed_ends_with_it(
    service: Installation, hubspot: Simulator, held: Callable[[str], None]
) -> None:
    held("unleashed")
    wait_for(lambda: service.members("target-deals-postgres"))

    for leash in service.members(TITLE):
        leash.kill()
    wait_for(lambda: not service.members(), seconds=5, why="nothing outlives its leash")

    hubspot.latency_ms = 0
    assert service.finished("unleashed")["status"] == "completed"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere programs are executed")
def test_a_program_ends_with_its_stand_in(
    service: Installation, hubspot: Simulator, held: Callable[[str], None]
) -> None:
    held("alone")
    names = ("tap-hubspot-deals", "target-deals-postgres")
    wait_for(lambda: all(service.members(name) for name in names))
    programs = [program for name in names for program in service.members(name)]
    (meltano,) = service.members("meltano")
    stand_ins = meltano.children()
    assert len(stand_ins) == len(programs) == 2

    for stand_in in stand_ins:
        stand_in.kill()

    psutil.wait_procs(programs, timeout=60)
    for program in programs:
        assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE
    hubspot.latency_ms = 0
    assert service.finished("alone")["status"] == "completed"


def test_a_killed_fork_server_is_replaced_and_takes_no_run_with_it(
    service: Installation, hubspot: Simulator, held: Callable[[str], None]
) -> None:
    held("running")
    wait_for(lambda: service.members("tap-hubspot-deals"))

    os.kill(fork_server(service).pid, signal.SIGKILL)
    hubspot.latency_ms = 0
    service.start("next")

    assert service.finished("running")["status"] == "completed"
    assert service.finished("next")["status"] == "completed"
    assert service.row("running")["runs"] == 1
