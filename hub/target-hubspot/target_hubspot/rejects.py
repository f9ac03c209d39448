"""The file of rejected records: readable to its owner only, on disk before the STATE moves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from target_hubspot.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_client.writing.outcomes import Outcome


class Rejects:
    """Adds rejected records to a file.

    Args:
        path: None: nowhere.
        with_record: Whether the records themselves are kept.

    Raises:
        FileError: If the file cannot be opened.
    """

    def __init__(self, path: str | None, *, with_record: bool) -> None:
        self._path = path
        self._with_record = with_record
        self._file = None
        if path is not None:
            with _told():
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            # Halves of characters become what JSON calls them: `\\ud83d`.
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")

    @property
    def keeps(self) -> bool:
        """Whether rejected records are on disk."""
        return self._file is not None

    def add(self, stream: str, line: int, key: Any, outcome: Outcome, record: Any) -> None:
        """Write down one record, with what was wrong with it.

        Raises:
            FileError: If the disk takes no more.
        """
        if self._file is None:
            return
        entry = {
            "stream": stream,
            "line": line,
            "key_hash": hashlib.sha256(str(key).encode(errors="backslashreplace")).hexdigest()[:16],
            "code": outcome.code,
            "property": outcome.property,
            "message": outcome.message,
            "correlation_id": outcome.correlation_id,
        }
        if self._with_record:
            entry["record"] = record
        with _told():
            self._file.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")

    def flush(self) -> None:
        """Bring everything to the disk.

        Raises:
            FileError: If the disk takes no more.
        """
        if self._file is None:
            return
        with _told():
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file.

        Raises:
            FileError: If the disk takes no more.
        """
        if self._file is not None:
            with _told():
                self._file.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"`rejected_path` cannot be written: {error.strerror}.") from None
