"""Knows how rows reach the process that writes a file of them: by its stdin, to the last one.

The first line describes the columns, each other line is one row as a JSON array of texts, the last
one is `END`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

END = b"null\n"
# As PostgreSQL prints them. `fromisoformat` alone takes weeks and more for days, and a text that is
# no time to HubSpot would become one.
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)


def received(lines: Iterable[bytes]) -> tuple[list[list[str]], Iterator[list[str | None]]]:
    """Return the columns and the rows; the process ends if whoever gives them is gone.

    Args:
        lines: of stdin.
    """
    given = iter(lines)
    columns: list[list[str]] = json.loads(next(given))
    return columns, _rows(given)


def _rows(given: Iterator[bytes]) -> Iterator[Any]:
    for line in given:
        if line == END:
            return
        yield json.loads(line)
    # Whoever gives the rows is gone, and removes nothing any more.
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    sys.exit(1)


def read_time(text: str, kind: str) -> date:
    """Return a `day`, or a `moment` in UTC.

    Raises:
        ValueError: it is a text of another kind, or of a year that Python does not have (20260).
    """
    if not (_DAY if kind == "day" else _MOMENT).fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text) if kind == "day" else datetime.fromisoformat(text)
