"""The embedded PostgreSQL: one server for every process of a project, whatever happened before."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import pytest
from harness.database import binaries, connect
from target_deals_postgres.embedded import Server, ServerError, project_server, server_user
from target_deals_postgres.embedded.upgrade import dump, restore

if TYPE_CHECKING:
    from collections.abc import Iterator

BECOME_NOBODY = """
import os, pwd
from target_deals_postgres.embedded import __main__ as embedded
os.setgid(pwd.getpwnam("nobody").pw_gid)
os.setuid(pwd.getpwnam("nobody").pw_uid)
embedded.main()
"""


@contextlib.contextmanager
def new_project() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="project-"))
    root.chmod(0o755)
    yield root
    project_server(root).stop(signal.SIGQUIT)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def project() -> Iterator[Path]:
    with new_project() as root:
        yield root


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A project with data, which takes a while to make; its server may run or not."""
    with new_project() as root:
        with connect(project_server(root).start()) as opened, opened.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 1 AS a")
        yield root


def kept(server: Server) -> list[tuple[int]]:
    with connect(server.start()) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT a FROM kept")
        return cursor.fetchall()


def command(project: Path, action: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "target_deals_postgres.embedded", action],
        env={**os.environ, "MELTANO_PROJECT_ROOT": str(project), "SECRET": "token-in-environment"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def version(url: str) -> int:
    with connect(url) as opened:
        return opened.server_version


def test_concurrent_first_starts_end_with_one_server(project: Path) -> None:
    with ThreadPoolExecutor(5) as pool:
        urls = set(pool.map(lambda _: command(project, "start"), range(5)))
    assert len(urls) == 1
    assert version(urls.pop()) >= 180000
    pid = project_server(project).pid()
    assert command(project, "url") == command(project, "start")
    assert project_server(project).pid() == pid
    assert pid is not None
    assert "token-in-environment" not in Path(f"/proc/{pid}/environ").read_text()
    command(project, "stop")
    assert project_server(project).url() is None
    command(project, "remove")
    assert not project_server(project).data.exists()


def test_a_crash_leaves_data_and_a_stale_pid_file_that_do_not_hurt(used: Path) -> None:
    server = project_server(used)
    server.start()
    server.stop(signal.SIGKILL)
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    # Another living process has the number by now; or the machine went down before it was written.
    for left in ("\n".join([str(os.getpid()), *lines[1:]]) + "\n", ""):
        pid_file.write_text(left)
        assert kept(server) == [(1,)]
        server.stop(signal.SIGKILL)


def test_an_interrupted_initdb_is_made_anew(project: Path) -> None:
    server = project_server(project)
    fresh = server.data.with_name("postgres.new")
    fresh.mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")
    assert version(server.start())


def test_paths_too_long_or_odd_for_a_socket_get_a_closed_directory(project: Path) -> None:
    deep = project / ("a long 'name' $HOME \" " + "x" * 80) / ("y" * 80)
    server = Server(deep / ".data" / "postgres", project_server(project).binaries)
    for parent in (deep.parent, deep):
        parent.mkdir()
        parent.chmod(0o755)
    try:
        with connect(server.start()) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT current_setting('unix_socket_directories')")
            row = cursor.fetchone()
        assert row is not None
        directory = Path(row[0])
        assert directory.stat().st_mode & 0o777 == 0o700
        assert directory.owner() == (server_user() or Path(deep).owner())
    finally:
        server.stop()
    assert not directory.exists()


def test_a_server_that_cannot_start_says_why(used: Path) -> None:
    good = project_server(used)
    good.stop()
    server = Server(good.data, good.binaries, {"shared_buffers": "nonsense"})
    with pytest.raises(RuntimeError, match=r"(?s)did not start.*shared_buffers"):
        server.start()


def test_no_permission_is_changed_and_a_closed_project_works(project: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root's server runs as another user")
    closed = project / "closed"
    closed.mkdir(mode=0o700)
    server = project_server(closed)
    try:
        assert version(server.start())
        assert closed.stat().st_mode & 0o777 == 0o700
        assert project.stat().st_mode & 0o777 == 0o755
    finally:
        server.stop()
        shutil.rmtree(server.data.parent)


def test_a_normal_user_starts_it_too(project: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test shows it")
    home = project / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    url = subprocess.run(
        # The interpreter itself may be closed to others: become nobody once it runs.
        [sys.executable, "-c", BECOME_NOBODY, "start"],
        env={**os.environ, "MELTANO_PROJECT_ROOT": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    pid = project_server(home).pid()
    assert pid is not None
    assert psutil.Process(pid).username() == "nobody"
    assert version(url)
    project_server(home).stop()
    with pytest.raises(ServerError, match=r"belong to nobody.*or set database_url"):
        project_server(home).start()


def can_make_namespaces() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, check=False).returncode


class Container:
    """A process that sees no other processes, as in a container with the project on a volume."""

    def __init__(self, project: Path) -> None:
        command = [sys.executable, "-m", "target_deals_postgres.embedded", "start"]
        unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.popen = subprocess.Popen(
            [*unshare, "sh", "-c", '"$@"; read line', "sh", *command],
            env={**os.environ, "MELTANO_PROJECT_ROOT": str(project)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.popen.stdout is not None
        self.url = self.popen.stdout.readline().decode().strip()

    def end(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@pytest.mark.skipif(not can_make_namespaces(), reason="this user may make no PID namespaces")
def test_two_containers_on_one_volume_share_one_server(project: Path) -> None:
    first = Container(project)
    second = Container(project)
    assert first.url == second.url == command(project, "url")
    with connect(first.url) as opened, opened.cursor() as cursor:
        cursor.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
    with connect(second.url) as opened, opened.cursor() as cursor:
        cursor.execute("INSERT INTO t SELECT generate_series(1001, 2000)")
    second.end()  # it did not start the server, so the server stays
    assert command(project, "start") == first.url
    first.end()  # with all its processes: a crash
    third = Container(project)
    try:
        with connect(third.url) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM t")
            assert cursor.fetchone() == (2000,)
    finally:
        third.end()


@pytest.mark.skipif(not can_make_namespaces(), reason="this user may make no mount namespaces")
def test_a_container_that_has_the_volume_elsewhere_finds_the_socket(used: Path) -> None:
    url = project_server(used).start()
    code = (
        "from target_deals_postgres.embedded import project_server; import psycopg2;"
        "url = project_server().start(); print(url); psycopg2.connect(url)"
    )
    with tempfile.TemporaryDirectory() as elsewhere:
        mount = f'mount --bind {used} {elsewhere} && exec "$@"'
        found = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", code],
            env={**os.environ, "MELTANO_PROJECT_ROOT": elsewhere},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert found.strip() == url.replace(quote(str(used)), quote(elsewhere))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server becomes somebody else")
def test_roots_server_has_none_of_roots_groups(used: Path) -> None:
    project_server(used).start()
    pid = project_server(used).pid()
    assert pid is not None
    status = Path(f"/proc/{pid}/status").read_text()
    [groups] = [line.split()[1:] for line in status.splitlines() if line.startswith("Gid:")]
    [more] = [line.split()[1:] for line in status.splitlines() if line.startswith("Groups:")]
    assert "0" not in {*groups, *more}


def test_the_way_to_the_next_major_version(project: Path) -> None:
    versions = sorted(binaries(), key=int)
    if len(versions) < 2:
        pytest.skip("only one PostgreSQL is installed here")
    data = project / ".data" / "postgres"
    old = Server(data, binaries()[versions[0]], initdb=("--locale=C",))
    with connect(old.start()) as opened, opened.cursor() as cursor:
        cursor.execute("CREATE ROLE reader; CREATE TABLE t AS SELECT E'ü\\n' AS v")
        cursor.execute("GRANT SELECT ON t TO reader")
    file = data.with_name("postgres.sql")
    dump(old, file)
    assert file.stat().st_mode & 0o077 == 0
    new = Server(data, binaries()[versions[-1]])
    with pytest.raises(ServerError, match="runs: stop it first"):
        restore(new, file)
    old.stop()
    with pytest.raises(ServerError, match=f"of PostgreSQL {versions[0]}.*`make database-restore`"):
        new.start()
    kept = restore(new, file)
    assert (kept / "PG_VERSION").read_text().strip() == versions[0]
    with connect(new.start()) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT v, has_table_privilege('reader', 't', 'SELECT') FROM t")
        assert cursor.fetchall() == [("ü\n", True)]
        assert opened.server_version // 10000 == int(versions[-1])
    new.stop()


def test_a_dump_that_cannot_be_read_whole_leaves_all_as_it_was(used: Path) -> None:
    server = project_server(used)
    file = server.data.with_name("postgres.sql")
    file.write_text("CREATE TABLE half AS SELECT 1;\nSELECT nonsense;\n")
    server.stop()

    with pytest.raises(ServerError, match="nonsense"):
        restore(server, file)

    assert not server.data.with_name(f"postgres-{server.major}").exists()
    assert kept(server) == [(1,)]


def test_where_nothing_may_be_written_is_a_sentence(project: Path) -> None:
    (project / ".data").write_text("a file")
    done = subprocess.run(
        [sys.executable, "-m", "target_deals_postgres.embedded", "start"],
        env={**os.environ, "MELTANO_PROJECT_ROOT": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert ".data" in done.stderr


def test_without_an_embedded_server_nothing_of_unix_is_needed() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['fcntl', 'pwd', 'psutil']));"
        "from target_deals_postgres.target import TargetDealsPostgres;"
        "TargetDealsPostgres(config={'database_url': 'postgresql://a@h/d'});"
        "from io import StringIO; TargetDealsPostgres.invoke(file_input=StringIO())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "database_url is not set, and there is no embedded PostgreSQL here (" in done.stderr
    assert "Traceback" not in done.stderr
