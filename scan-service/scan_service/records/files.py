"""Knows how the rows of a scan become a file: JSON and CSV by COPY, others through a child process.

Memory stays flat: PostgreSQL prints, and what it printed goes out in pieces.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
import tempfile
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import open_file
from psycopg import sql
from service_base.logs import logger

from scan_service.engine import processes
from scan_service.errors import InternalError
from scan_service.records.objects import table_of
from scan_service.records.projection import BY_ID, record_json, unpacked
from scan_service.records.rows import END
from scan_service.records.storage import columns, refuse_removed
from scan_service.records.table import csv_line, file_columns

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.records.objects import Part
    from scan_service.records.table import Column

_log = logger(__name__)
_PIECE = 64 * 1024
# The text format of COPY doubles backslashes; this one leaves JSON alone. Neither character can
# occur in JSON text unescaped.
_VERBATIM = sql.SQL("with (format csv, quote E'\\x01', delimiter E'\\x02')")
MEDIA_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "excel": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
EXTENSIONS = {
    "json": "json", "ndjson": "ndjson", "csv": "csv", "excel": "xlsx", "parquet": "parquet",
}  # fmt: skip
# What a child process writes, and which one.
WRITERS = {"excel": "workbook", "parquet": "parquet"}

# What stands before all records, between two, after each, and after all.
_FRAMES = {"json": (b"[", b",\n", b"", b"]\n"), "ndjson": (b"", b"", b"\n", b"")}


@asynccontextmanager
async def opened(
    db: Database,
    scan: Mapping[str, Any],
    part: Part,
    form: str,
    *,
    associations: bool,
    custom: bool,
    mark: bool,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the pieces of a file; whatever can fail early fails before the first one.

    Leaving before the last piece ends the statement that prints them. (A generator that is only
    left, not closed, keeps the connection's lock, for which the end of the transaction waits.)

    Args:
        db: the database.
        scan: whose records.
        part: what the scan reads of the object type.
        form: one of `MEDIA_TYPES`.
        associations: whether to show links.
        custom: whether to show the tenant's own properties.
        mark: whether CSV begins with a byte-order mark, by which Excel knows UTF-8.

    Raises:
        NotFoundError: the scan has been removed.
    """
    async with db.export(scan["tenant_id"]) as connection:
        await refuse_removed(connection, scan)
        present = await columns(connection, table_of(part.name))
        rows = None
        if present:
            is_table = form not in _FRAMES
            rows = unpacked(part, present, scan, rest=BY_ID, with_unparsed=is_table)
        if form in _FRAMES:
            printed = record_json(
                part, present, scan, associations=associations, raw=False, custom=custom
            )
            select = sql.SQL("select {} {}").format(printed, rows) if rows else None
            async with aclosing(_joined(_json(connection, select, _FRAMES[form]))) as pieces:
                yield pieces
            return
        table = file_columns(part, present, scan, custom=custom, associations=associations)
        if form == "csv":
            async with aclosing(_joined(_csv(connection, table, rows, mark=mark))) as pieces:
                yield pieces
            return
        async with (
            _written(connection, form, part.name, table, rows) as path,
            aclosing(_file(path)) as pieces,
        ):
            yield pieces


async def _json(
    connection: Connection, select: sql.Composable | None, frame: tuple[bytes, bytes, bytes, bytes]
) -> AsyncGenerator[bytes, None]:
    start, between, after, end = frame
    yield start
    if select is not None:
        before = b""
        statement = sql.SQL("copy ({}) to stdout {}").format(select, _VERBATIM)
        async with aclosing(_copied(connection, statement)) as copied:
            async for row in copied:
                yield before + row.rstrip(b"\n") + after
                before = between
    yield end


async def _csv(
    connection: Connection, table: list[Column], rows: sql.Composable | None, *, mark: bool
) -> AsyncGenerator[bytes, None]:
    if mark:
        yield codecs.BOM_UTF8
    # Not by COPY, which takes 1,664 columns, and names of 63 bytes.
    yield (",".join(_quoted(entry.heading) for entry in table) + "\r\n").encode()
    if rows is None:
        return
    statement = sql.SQL("copy (select {} {}) to stdout with (format binary)").format(
        csv_line(table), rows
    )
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        async for (row,) in copy.rows():
            yield bytes(row) + b"\r\n"


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if re.search('[",\r\n]', value) else value


async def _copied(connection: Connection, statement: sql.Composed) -> AsyncGenerator[bytes, None]:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        async for row in copy:
            yield bytes(row)


async def _joined(rows: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Join rows to pieces: a server sends 64 KB seven times faster than it sends 1,000 lines."""
    piece = bytearray()
    async with aclosing(rows):
        async for row in rows:
            piece += row
            if len(piece) >= _PIECE:
                yield bytes(piece)
                piece.clear()
    yield bytes(piece)


@asynccontextmanager
async def _written(
    connection: Connection, form: str, name: str, table: list[Column], rows: sql.Composable | None
) -> AsyncIterator[Path]:
    """Let a child process write the file, since that takes a core for minutes."""
    with tempfile.TemporaryDirectory(prefix="scan-export-") as folder:
        path = Path(folder) / f"records.{EXTENSIONS[form]}"
        command = [sys.executable, "-m", f"scan_service.records.{WRITERS[form]}", str(path), name]
        # Its own temporary files go there too: what a killed child leaves is removed with it.
        async with processes.piped(command, folder=folder) as child:
            head = [[entry.heading, entry.kind, entry.declared] for entry in table]
            await child.write(json.dumps(head).encode() + b"\n")
            if rows is not None:
                cells = sql.SQL(", ").join(entry.cell for entry in table)
                statement = sql.SQL(
                    "copy (select to_json(array[{}]::text[]) {}) to stdout {}"
                ).format(cells, rows, _VERBATIM)
                async with aclosing(_joined(_copied(connection, statement))) as pieces:
                    async for piece in pieces:
                        await child.write(piece)
            await child.write(END)
            code = await child.end()
        if code:
            _log.error("the file could not be written", form=form, exit_code=code)
            raise InternalError
        yield path


async def _file(path: Path) -> AsyncGenerator[bytes, None]:
    async with await open_file(path, "rb") as file:
        while piece := await file.read(_PIECE):
            yield piece
