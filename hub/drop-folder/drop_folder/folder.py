"""The folder: which files are ready, whose turn it is, and where a file goes at its end.

A file is new by being there. It is claimed by a rename into `.work`, whose name carries the moment,
so that whatever is done to it twice after a crash ends in the same names.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import filecmp
import fnmatch
import hashlib
import os
import re
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from drop_folder.names import is_too_long, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from drop_folder.mapping import Mapping

UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
EMPTY_SECONDS = 600.0
MARK = "__"
STAMPED = "%Y%m%dT%H%M%S%fZ"
STAMP = re.compile(
    r"\.(\d{8}T\d{12}Z)\.(?:[0-9a-f]{8}\.(?:duplicate\.)?\w+|fehler\.csv|bericht\.txt)$"
)
CLAIMED = re.compile(r"\d{8}T\d{12}Z")
MENDED = re.compile(r"(\.\d{8}T\d{12}Z\.fehler)+$")
NO_LINK = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""Linux links nobody else's file (`fs.protected_hardlinks`), and some file systems link none."""


class FolderError(Exception):
    """The folder, or one file of it, cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Claim:
    """A file that is this run's: where it is now, and what it was called."""

    path: Path
    name: str
    stamp: str

    @property
    def shown(self) -> str:
        """The name for people."""
        return shown(self.name)

    @property
    def stem(self) -> str:
        """The name without its ending, and without what we added when we gave back bad rows."""
        return MENDED.sub("", self.name.rpartition(".")[0] or self.name)

    @property
    def ending(self) -> str:
        """What the name ends in, without the point."""
        return self.name.rpartition(".")[2] if "." in self.name else "csv"


class Folder:
    """One inbox with its `processed`, `errorprocessed` and `.work`.

    Args:
        mapping: Says where it is and what counts.

    Raises:
        FolderError: If it is not there or cannot be written.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.inbox = mapping.folder
        self.work = self.inbox / ".work"
        self.processed = self.inbox / "processed"
        self.errors = self.inbox / "errorprocessed"
        self._mapping = mapping
        try:
            for path, mode in ((self.work, 0o700), (self.processed, 0o750), (self.errors, 0o750)):
                path.mkdir(mode=mode, exist_ok=True)
                probe = path / f".probe-{os.getpid()}"
                probe.write_bytes(b"x")
                probe.unlink()
        except OSError as error:
            raise FolderError(
                f"{self.inbox} cannot be used as a drop folder: {error.strerror}."
            ) from None
        homes = {
            path.stat().st_dev for path in (self.inbox, self.work, self.processed, self.errors)
        }
        if len(homes) > 1:
            raise FolderError(
                f"{self.inbox} and its folders lie on several file systems: a file could be "
                "half-moved. Put them on one."
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[int | None]:
        """Hold the folder's lock and give its descriptor; None where another run holds it."""
        path = self._mapping.lock_path or self.inbox / ".lock"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield file.fileno()

    def claimed(self) -> list[Claim]:
        """What a run that ended too early left behind."""
        found = []
        for path in sorted(self.work.glob(f"*{MARK}*")):
            stamp, _, name = path.name.partition(MARK)
            if CLAIMED.fullmatch(stamp) and path.is_file():
                found.append(Claim(path, name, stamp))
        return found

    def ready(self) -> list[Path]:
        """The files that are finished, by name and age."""
        found = [path for path in self.inbox.iterdir() if self._is_candidate(path.name)]
        stats = {path: each for path in found if (each := _stat_of(path)) is not None}
        found = [path for path, each in stats.items() if self._is_settled(each)]
        if self._mapping.marker:
            found = [path for path in found if self._marker_of(path).exists()]
        elif self._mapping.settle_seconds and found:
            time.sleep(1)
            later = {path: each for path in found if (each := _stat_of(path)) is not None}
            found = [p for p, each in later.items() if each.st_size == stats[p].st_size]
        return sorted(found, key=lambda path: (path.name, stats[path].st_mtime))

    def _is_candidate(self, name: str) -> bool:
        if name.startswith((".", "~$")) or name.lower().endswith(UNFINISHED):
            return False
        return any(fnmatch.fnmatch(name.lower(), each.lower()) for each in self._mapping.patterns)

    def _is_settled(self, found: os.stat_result) -> bool:
        settle = 0.0 if self._mapping.marker else self._mapping.settle_seconds
        wanted = max(EMPTY_SECONDS, settle) if settle and not found.st_size else settle
        now = time.time()
        # A server may set a time of another zone, or by a clock that goes ahead.
        changed = found.st_mtime if found.st_mtime <= now else found.st_ctime
        return now - changed >= wanted

    def claim(self, path: Path) -> Claim | None:
        """Take a file; None where somebody else did.

        Raises:
            FolderError: If it cannot be worked on; it stays where it is.
        """
        if is_too_long(path.name, self.inbox):
            raise FolderError(
                f"{shown(path.name)} stays: its name is too long, give it a short one."
            )
        if not os.access(path, os.R_OK) and path.exists():
            raise FolderError(f"{shown(path.name)} stays: this user may not read it.")
        stamp = datetime.now(UTC).strftime(STAMPED)
        taken = self.work / f"{stamp}{MARK}{path.name}"
        try:
            path.rename(taken)
        except FileNotFoundError:
            return None
        if self._mapping.marker:
            self._marker_of(path).unlink(missing_ok=True)
        return Claim(taken, path.name, stamp)

    def _marker_of(self, path: Path) -> Path:
        """The file that says that another one is finished."""
        return path.with_name(f"{path.name}{self._mapping.marker}")

    def fingerprint(self, claim: Claim) -> str:
        """The first signs of the content's hash."""
        digest = hashlib.sha256()
        with claim.path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        return digest.hexdigest()[:8]

    def was_processed(self, claim: Claim, fingerprint: str) -> bool:
        """Whether the same content was processed before, and not by this very claim."""
        found = self.processed.glob(f"*.{fingerprint}.*")
        # The hash in a name is a short one: two files may share it.
        return any(
            not path.samefile(claim.path) and filecmp.cmp(path, claim.path, shallow=False)
            for path in found
        )

    # The end of a file

    def keep(self, claim: Claim, ending: str, *, bad: bool = False) -> None:
        """Move a claimed file where it belongs; never over another one."""
        home = self.errors if bad else self.processed
        _settle(claim.path, home / f"{claim.stem}.{claim.stamp}.{ending}.{claim.ending}")

    def beside(self, claim: Claim, ending: str) -> Path:
        """Where a file about a bad one stands."""
        return self.errors / f"{claim.stem}.{claim.stamp}.{ending}"

    def give_back(self, claim: Claim) -> None:
        """Put a file back where it came from: its time has not come."""
        home = self.inbox / claim.name
        if home.exists():
            home = self.inbox / f"{claim.stem}.{claim.stamp}.{claim.ending}"
        if self._mapping.marker:
            self._marker_of(home).touch()
        _settle(claim.path, home)

    def age_out(self) -> int:
        """Delete files that were kept long enough, if the mapping says how long; tell how many.

        Only what carries a stamp of ours is deleted, and by the stamp: not by a time that a copy
        or a backup may have changed.
        """
        if self._mapping.keep_days is None:
            return 0
        oldest = datetime.now(UTC) - timedelta(days=self._mapping.keep_days)
        gone = 0
        for home in (self.processed, self.errors):
            for path in home.iterdir():
                found = STAMP.search(path.name)
                if found is None or path.is_symlink() or not path.is_file():
                    continue
                if datetime.strptime(found[1], STAMPED).replace(tzinfo=UTC) < oldest:
                    path.unlink(missing_ok=True)
                    gone += 1
        return gone


def _stat_of(path: Path) -> os.stat_result | None:
    """What there is about a file; None where it is gone, or is a link or no file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _settle(path: Path, home: Path) -> None:
    """Move a file, never over another one; done again after a crash, it ends in the same."""
    if not (home.exists() and home.samefile(path)):
        try:
            home.hardlink_to(path)
        except OSError as error:
            if error.errno not in NO_LINK or home.exists():
                raise
            path.rename(home)  # under the lock nobody else makes this name meanwhile
            return
    path.unlink()


def write_whole(path: Path, text: str, *, encoding: str = "utf-8") -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "w", encoding=encoding, newline="") as file:
        file.write(text)
    part.replace(path)
